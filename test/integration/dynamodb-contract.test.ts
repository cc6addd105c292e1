import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createDynamoDb, type DynamoDb } from '../../local/dynamodb.ts';
import { resolveTemplate } from '../../local/template.ts';
import { contractCases, type Target } from './dynamodb-contract/cases.ts';
import { dynamoDbLocalDifferences } from './dynamodb-contract/known-differences.ts';

/**
 * One list of requests, as the functions and the workflow make them, with what AWS documents for each. Our DynamoDB
 * must answer just so. With `ENGINES=real` AWS's DynamoDB Local is asked too; where it departs is listed, and the
 * list must be exact.
 */
const TABLE = `contract-${randomBytes(4).toString('hex')}`;

const template = resolveTemplate(
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
const clock = { now: () => Date.now(), advance: () => undefined };

const targetOf = ({ engine }: DynamoDb): Target => ({
  table: TABLE,
  pk: randomBytes(8).toString('hex'),
  send: async (operation, input) => await engine(operation, input, { kind: 'root' }),
});

describe('our DynamoDB answers as AWS documents', () => {
  const dir = mkdtempSync(join(tmpdir(), 'dynamodb-contract-'));
  let dynamoDb: DynamoDb;
  beforeAll(async () => {
    dynamoDb = await createDynamoDb({ dir, clock, template });
  });
  afterAll(async () => {
    await dynamoDb.close();
    rmSync(dir, { recursive: true, force: true });
  });

  test.each(contractCases)('$name', async ({ run, expected }) => {
    expect(await run(targetOf(dynamoDb))).toEqual(expected);
  });
});

const endpoint = process.env.ENGINES === 'real' ? process.env.DYNAMODB_ENDPOINT : undefined;
const describeReal = endpoint === undefined ? describe.skip : describe;

describeReal("AWS's DynamoDB Local answers as AWS documents, but for what is listed", () => {
  let dynamoDb: DynamoDb;
  beforeAll(async () => {
    dynamoDb = await createDynamoDb({ endpoint: endpoint ?? '', clock, template });
  }, 60_000);
  afterAll(async () => await dynamoDb?.close());

  test.each(contractCases)('$name', async ({ name, run, expected }) => {
    const known = dynamoDbLocalDifferences.find((difference) => difference.case === name);
    expect(await run(targetOf(dynamoDb))).toEqual(known?.observed ?? expected);
  });

  test('every listed difference names a case, and differs', () => {
    for (const { case: name, observed } of dynamoDbLocalDifferences) {
      const found = contractCases.find((one) => one.name === name);
      expect({ name, found: found !== undefined }).toEqual({ name, found: true });
      expect(observed).not.toEqual(found?.expected);
    }
  });
});
