import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createDynamoDb, type DynamoDb } from '../../../local/dynamodb.ts';
import { realEngines } from '../../engines/real-engines.ts';
import { contractCases } from '../dynamodb-contract/cases.ts';
import { dynamoDbLocalDifferences } from '../dynamodb-contract/known-differences.ts';
import { clock, targetOf, template } from '../dynamodb-contract/target.ts';

/** Where DynamoDB Local departs from AWS is listed, and the list is exact. */
describe("AWS's DynamoDB Local answers as AWS documents, but for what is listed", () => {
  let dynamoDb: DynamoDb;
  beforeAll(async () => {
    dynamoDb = await createDynamoDb({ endpoint: realEngines().dynamoDb.endpoint, clock, template });
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
