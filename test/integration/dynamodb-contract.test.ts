import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createDynamoDb, type DynamoDb } from '../../local/dynamodb.ts';
import { contractCases } from './dynamodb-contract/cases.ts';
import { clock, targetOf, template } from './dynamodb-contract/target.ts';

/**
 * One list of requests, as the functions and the workflow make them, with what AWS documents for each. Our DynamoDB
 * must answer just so. AWS's DynamoDB Local is asked the same (on-real-engines).
 */
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
