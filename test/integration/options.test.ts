import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createBody, createPresigned, objectAt, sha256, sourceFile } from '../support/clients.ts';
import { MP4 } from '../support/media.ts';
import { conform } from '../support/openapi.ts';
import { expectEveryItemToHaveTtl } from '../support/outcome.ts';
import { as, token } from '../support/owners.ts';
import { TestStack, until } from '../support/stack.ts';

/** Stacks with the construct's other options run, and take files in both modes, as the command line sends them. */

const run = promisify(execFile);
const ROOT = new URL('../..', import.meta.url).pathname;
const MiB = 1024 * 1024;

/** Sends a file with the command line's client, and gives the key that it tells. */
async function uploadFile(
  stack: TestStack,
  bytes: Uint8Array,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<string> {
  const path = join(stack.dir, `${randomBytes(6).toString('hex')}.mp4`);
  writeFileSync(path, bytes);
  const { stdout } = await run(
    join(ROOT, 'node_modules/.bin/node'),
    ['--disable-warning=ExperimentalWarning', 'cli/upload.ts', path, '--api', stack.apiUrl, ...args],
    { cwd: ROOT, env: { ...process.env, ...env }, timeout: 120_000 },
  );
  return /^\s*key\s+(\S+)/m.exec(stdout)?.[1] ?? stdout;
}

/** Bytes that begin like a video's. */
function video(size: number): Uint8Array {
  const bytes = randomBytes(size);
  MP4.copy(bytes);
  return bytes;
}

async function expectUploaded(stack: TestStack, key: string, bytes: Uint8Array): Promise<void> {
  expect(await objectAt(stack, key)).toMatchObject({ sha256: sha256(bytes), size: bytes.byteLength });
  await until('the event', 20_000, async () => {
    const events = await stack.events();
    return events.some(({ detail }) => detail['key'] === key) ? true : undefined;
  });
  expect(await stack.objects('staging/')).toEqual([]);
  expect(await stack.multipartUploads()).toEqual([]);
}

const FILES = [
  ['presigned', 5 * MiB + 1000],
  ['presigned', 1000],
  ['proxy', 1000],
  ['proxy', 6 * MiB],
] as const;

describe('with tokens, a key of its own, acceleration, limits, throttles, logs, traces, alarms and a dashboard', () => {
  const stack = new TestStack({
    env: { AUTH: 'jwt' },
    context: {
      kmsKey: 'new',
      transferAcceleration: true,
      partSize: '5 MiB',
      minFileSize: 100,
      maxFileSize: '20 MiB',
      allowedContentTypes: ['video/*'],
      allowedExtensions: ['.mp4'],
      urlExpiry: '30m',
      abandonAfter: '2h',
      maxUploadAge: '2d',
      keepRecords: '1d',
      removalPolicy: 'destroy',
      deletionProtection: true,
      pointInTimeRecovery: true,
      logRetentionDays: 7,
      logLevel: 'DEBUG',
      workflowLogs: 'all',
      accessLogs: false,
      bucketAccessLogsBucketName: 'logs-of-buckets',
      tracing: true,
      sourceMaps: true,
      reservedConcurrency: { 'receive-chunk': 2, watchdog: 1 },
      throttle: {
        rateLimit: 1000,
        burstLimit: 1000,
        routes: { 'GET /upload/options': { rateLimit: 1, burstLimit: 2 } },
      },
      alarms: true,
      alarmTopicArn: 'arn:aws:sns:us-east-1:000000000000:ops',
      dashboard: true,
    },
  });
  let alice: TestStack;
  beforeAll(async () => {
    await stack.start();
    alice = await as(stack, 'alice');
  }, 120_000);
  afterAll(async () => {
    await expectEveryItemToHaveTtl(stack);
    await stack.stop();
  }, 60_000);

  test.each(FILES)('a %s file of %i bytes comes out whole', async (mode, size) => {
    const bytes = video(size);
    const key = await uploadFile(stack, bytes, ['--mode', mode, '--token', await token(stack, 'alice')]);
    expect(key).toMatch(/^uploads\/alice\//);
    await expectUploaded(stack, key, bytes);
  });

  test('URLs live as long as they were given, and lead to the endpoint of this machine', async () => {
    const { partUrls } = await createPresigned(alice, sourceFile(1000));
    const url = new URL(partUrls[0]?.url ?? '');
    expect(url.origin).toBe(stack.awsEndpointUrl);
    expect(url.searchParams.get('X-Amz-Expires')).toBe('1800');
  });

  test.each([
    ['too small', { size: 99 }, 400],
    ['too large', { size: 21 * MiB }, 400],
    ['of a type that is not taken', { contentType: 'text/html' }, 415],
    ['of a name that is not taken', { fileName: 'a.exe' }, 415],
  ])('a file %s is refused', async (_, change, status) => {
    const answer = await alice.api('POST', '/uploads', { ...createBody(sourceFile(1000)), ...change });
    await expect(conform('POST', '/uploads', answer)).rejects.toMatchObject({ status });
  });

  test('the throttled route is, and others are not', async () => {
    const statuses = await Promise.all(
      Array.from({ length: 6 }, async () => (await alice.api('GET', '/upload/options')).status),
    );
    expect(statuses).toEqual(expect.arrayContaining([200, 429]));
    expect(statuses.filter((status) => status === 200).length).toBeLessThan(6);
    expect((await alice.api('POST', '/uploads', createBody(sourceFile(1000)))).status).toBe(201);
  });

  test('an upload expires after the time that was given', async () => {
    const { uploadId } = await createPresigned(alice, sourceFile(1000));
    await stack.advance(2 * 3600 + 301);
    await stack.watch();
    const late = await as(stack, 'alice', { clockOffset: 2 * 3600 + 301 });
    const answer = await late.api('GET', `/uploads/${uploadId}`);
    expect(await conform('GET', '/uploads/{uploadId}', answer)).toMatchObject({ status: 'expired' });
  });
});

describe('in an app that brings its bucket, table, bus and key, asks a function, and looks at what comes', () => {
  const stack = new TestStack({
    env: { AUTH: 'iam', UPLOADS_APP: 'test/support/everything-app.ts' },
    context: { partSize: '5 MiB' },
  });
  beforeAll(async () => {
    await stack.start();
  }, 120_000);
  afterAll(async () => {
    await expectEveryItemToHaveTtl(stack);
    await stack.stop();
  }, 60_000);

  const signed = async (bytes: Uint8Array, mode: string): Promise<string> =>
    await uploadFile(stack, bytes, ['--mode', mode, '--iam'], {
      AWS_ACCESS_KEY_ID: stack.accessKeyId,
      AWS_SECRET_ACCESS_KEY: stack.secretAccessKey,
      AWS_REGION: stack.region,
    });

  test('the bucket, the table and the bus are its own', () => {
    expect(stack.bucketName).toContain('videos');
    expect(stack.tableName).toContain('Records');
  });

  test.each(FILES)('a %s file of %i bytes comes out whole', async (mode, size) => {
    const bytes = video(size);
    const key = await signed(bytes, mode);
    expect(key).toMatch(/^uploads\//);
    await expectUploaded(stack, key, bytes);
  });

  test('who is not signed may not', async () => {
    expect((await stack.api('POST', '/uploads', createBody(sourceFile(1000)))).status).toBe(403);
  });
});

describe('with a bucket and a bus that are there already, by their names', () => {
  const stack = new TestStack({
    context: {
      partSize: '5 MiB',
      bucketName: `videos-${randomBytes(4).toString('hex')}`,
      eventBusName: 'default',
      workflowLogs: 'errors',
      logLevel: 'ERROR',
    },
  });
  beforeAll(async () => {
    await stack.start();
  }, 120_000);
  afterAll(async () => {
    await expectEveryItemToHaveTtl(stack);
    await stack.stop();
  }, 60_000);

  test.each(FILES)('a %s file of %i bytes comes out whole', async (mode, size) => {
    const bytes = video(size);
    await expectUploaded(stack, await uploadFile(stack, bytes, ['--mode', mode]), bytes);
    expect(stack.bucketName).toMatch(/^videos-/);
  });
});
