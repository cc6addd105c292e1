import { randomBytes } from 'node:crypto';
import type { DynamoDb } from '../../../local/dynamodb.ts';
import { resolveTemplate } from '../../../local/template.ts';
import type { Target } from './cases.ts';

const TABLE = `contract-${randomBytes(4).toString('hex')}`;

export const template = resolveTemplate(
  {
    Resources: {
      Table: {
        Type: 'AWS::DynamoDB::Table',
        Properties: {
          TableName: TABLE,
          AttributeDefinitions: [
            { AttributeName: 'pk', AttributeType: 'S' },
            { AttributeName: 'sk', AttributeType: 'S' },
            { AttributeName: 'watch', AttributeType: 'S' },
            { AttributeName: 'nextLook', AttributeType: 'N' },
          ],
          KeySchema: [
            { AttributeName: 'pk', KeyType: 'HASH' },
            { AttributeName: 'sk', KeyType: 'RANGE' },
          ],
          GlobalSecondaryIndexes: [
            {
              IndexName: 'by-next-look',
              KeySchema: [
                { AttributeName: 'watch', KeyType: 'HASH' },
                { AttributeName: 'nextLook', KeyType: 'RANGE' },
              ],
              Projection: { ProjectionType: 'KEYS_ONLY' },
            },
          ],
          BillingMode: 'PAY_PER_REQUEST',
          TimeToLiveSpecification: { AttributeName: 'ttl', Enabled: true },
        },
      },
    },
  },
  { stackName: 'Contract', region: 'us-east-1' },
  () => '',
);
export const clock = { now: () => Date.now(), advance: () => undefined };

export const targetOf = ({ engine }: DynamoDb): Target => ({
  table: TABLE,
  pk: randomBytes(8).toString('hex'),
  send: async (operation, input) => await engine(operation, input, { kind: 'root' }),
});
