import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Permission, PermissionTrial } from '../support/permissions.ts';
import { SCENARIOS } from '../support/scenarios.ts';
import { TestStack } from '../support/stack.ts';

/**
 * Every permission of the template is needed, and is missed where it is not there: each is taken away in turn, and
 * the scenario that used it must then fail, by a refusal that names action, resource and role.
 */

// Retries of the workflow, which a refusal does not get better by, are soon over.
const env = { LOCAL_RETRY_SCALE: '0.002' };
const context = { partSize: 5 * 1024 * 1024 };

/** What the stack without further options is allowed. */
const ordinary = new Set<string>();

/**
 * DynamoDB's documentation asks for all of these of whoever uses a table under a customer's key, and S3's of whoever
 * writes under one, without saying which call needs which; the local stack asks for what each call certainly needs.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html#mpuAndPermissions
 */
const ASKED_FOR_BY_DOCUMENTS = /kms:(DescribeKey|Encrypt|GenerateDataKey) on kms$/;

async function unnoticed(trial: PermissionTrial, permissions: readonly Permission[]): Promise<string[]> {
  const wrong: string[] = [];
  for (const permission of permissions) wrong.push(await trial.missing(permission));
  return wrong.filter(Boolean);
}

describe('by default', () => {
  const stack = new TestStack({ context, env });
  const trial = new PermissionTrial(stack);
  beforeAll(async () => {
    await stack.start();
  }, 120_000);
  afterAll(async () => {
    await stack.stop();
  }, 60_000);

  test.each(SCENARIOS)(
    '$name',
    async (scenario) => {
      expect(await trial.discover(scenario)).toEqual([]);
    },
    90_000,
  );

  test('no permission is unused', () => {
    for (const { name } of trial.permissions) ordinary.add(name);
    expect(ordinary.size).toBeGreaterThan(60);
    expect(trial.unused()).toEqual([]);
  });

  test('an object that is not there is 404 to who may list the bucket, and 403 to who may not', async () => {
    const missing = SCENARIOS.find(({ name }) => name.startsWith('a multipart upload that somebody'));
    const listing = trial.permissions.find(
      ({ holder, action }) => holder.includes('CompleteUpload') && action === 's3:ListBucket',
    );
    if (!missing || !listing) throw new Error('There is no such scenario or permission.');
    const heads = async (): Promise<number[]> =>
      (await stack.calls()).filter(({ operation }) => operation === 'HeadObject').map(({ status }) => status);
    await stack.clearCalls();
    await missing.play(stack);
    expect(await heads()).toEqual([404]);

    await stack.clearCalls();
    await trial.takeAway(listing);
    await expect(missing.play(stack)).rejects.toThrow('should have ended in MultipartUploadGone');
    await stack.setWithoutGrants([]);
    expect(await heads()).toEqual([403]);
  }, 60_000);

  test('without any one of them, what needs it fails, and says which it was', async () => {
    expect(await unnoticed(trial, trial.permissions)).toEqual([]);
  }, 900_000);
});

describe('with a key, a function that is asked, and content that is looked at', () => {
  const stack = new TestStack({
    context,
    env: { ...env, UPLOADS_APP: 'test/support/everything-app.ts' },
  });
  const trial = new PermissionTrial(stack);
  beforeAll(async () => {
    await stack.start();
  }, 120_000);
  afterAll(async () => {
    await stack.stop();
  }, 60_000);

  test.each(SCENARIOS)(
    '$name',
    async (scenario) => {
      expect(await trial.discover(scenario)).toEqual([]);
    },
    90_000,
  );

  test('no permission is unused, but for what KMS may want', () => {
    expect(trial.unused().filter((name) => !ASKED_FOR_BY_DOCUMENTS.test(name))).toEqual([]);
  });

  test('without any one of those that come with these options, what needs it fails', async () => {
    const further = trial.permissions.filter(
      ({ name, usedBy }) => !ordinary.has(name) && (usedBy.length > 0 || !ASKED_FOR_BY_DOCUMENTS.test(name)),
    );
    expect(further.length).toBeGreaterThan(12);
    expect(await unnoticed(trial, further)).toEqual([]);
  }, 900_000);
});
