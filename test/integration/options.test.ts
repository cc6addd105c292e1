import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { WRITTEN, WRITTEN_NAMES } from '../infra/written-options.ts';
import { createBody, createPresigned, objectAt, sha256, sourceFile } from '../support/clients.ts';
import { MP4 } from '../support/media.ts';
import { conform } from '../support/openapi.ts';
import { expectEveryItemToHaveTtl } from '../support/outcome.ts';
import { as, routes, token } from '../support/owners.ts';
import { TestStack, until } from '../support/stack.ts';

/**
 * Stacks with every option of the construct (test/infra/every-option.ts, test/infra/written-options.ts) run, and take
 * files in both modes, as the command line sends them.
 */

const run = promisify(execFile);
const ROOT = new URL('../..', import.meta.url).pathname;
const MiB = 1024 * 1024;
const APP = 'test/integration/options/every-option-app.ts';

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
  // The issuer is this machine's own.
  const { auth: _, ...context } = WRITTEN;
  const stack = new TestStack({ env: { AUTH: 'jwt' }, context });
  let alice: TestStack;
  beforeAll(async () => {
    await stack.start();
    alice = await as(stack, 'alice');
  }, 120_000);
  afterAll(async () => {
    try {
      await expectEveryItemToHaveTtl(stack);
    } finally {
      await stack.stop();
    }
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

describe('in an app with every option of the construct, tokens with a scope, and a key by its ARN', () => {
  const stack = new TestStack({ env: { UPLOADS_APP: APP } });
  const scoped = { claims: { scope: 'profile upload' } };
  beforeAll(async () => {
    await stack.start();
  }, 120_000);
  afterAll(async () => {
    try {
      await expectEveryItemToHaveTtl(stack);
    } finally {
      await stack.stop();
    }
  }, 60_000);

  test.each(FILES)('a %s file of %i bytes comes out whole', async (mode, size) => {
    const bytes = video(size);
    const bearerToken = await token(stack, 'alice', scoped);
    const key = await uploadFile(stack, bytes, ['--mode', mode, '--token', bearerToken]);
    expect(key).toMatch(/^uploads\/tenants\/public\/alice\//);
    await expectUploaded(stack, key, bytes);
  });

  test('a token without the scope is refused on every route, and calls nothing', async () => {
    await stack.clearCalls();
    for (const claims of [{}, { scope: 'profile' }, { scope: 'uploads' }]) {
      const user = await as(stack, 'alice', { claims });
      for (const { method, path } of routes(stack)) {
        const body = method === 'POST' ? createBody(sourceFile(1000)) : undefined;
        const { status } = await user.api(method, path.replace('{uploadId}', 'f'.repeat(32)), body);
        expect(`${method} ${path}: ${status}`).toBe(`${method} ${path}: 403`);
      }
    }
    expect(await stack.calls()).toEqual([]);
  });

  test('objects and records are read and written under the key, by whoever may use it', async () => {
    const used = (await stack.grants()).flatMap((grant) => grant['used'] as { action: string }[]);
    expect(used.map(({ action }) => action)).toEqual(
      expect.arrayContaining(['kms:Decrypt', 'kms:GenerateDataKey']),
    );
  });
});

describe('in the same app, which also brings its bucket, table and bus, with signatures', () => {
  const stack = new TestStack({ env: { AUTH: 'iam', UPLOADS_APP: APP } });
  beforeAll(async () => {
    await stack.start();
  }, 120_000);
  afterAll(async () => {
    try {
      await expectEveryItemToHaveTtl(stack);
    } finally {
      await stack.stop();
    }
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
    expect(key).toMatch(/^uploads\/tenants\/public\//);
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
      bucketName: `${WRITTEN_NAMES.bucketName}-${randomBytes(4).toString('hex')}`,
      eventBusName: WRITTEN_NAMES.eventBusName,
      workflowLogs: 'errors',
      logLevel: 'ERROR',
    },
  });
  beforeAll(async () => {
    await stack.start();
  }, 120_000);
  afterAll(async () => {
    try {
      await expectEveryItemToHaveTtl(stack);
    } finally {
      await stack.stop();
    }
  }, 60_000);

  test.each(FILES)('a %s file of %i bytes comes out whole', async (mode, size) => {
    const bytes = video(size);
    await expectUploaded(stack, await uploadFile(stack, bytes, ['--mode', mode]), bytes);
    expect(stack.bucketName).toMatch(/^videos-/);
  });
});
