import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { Browser, Page, Request } from 'playwright-core';
import type { ResumableConstructor } from '../../client/resumable-types.ts';
import { launchChromium, newProfile, type Profile } from '../support/chromium.ts';
import { chunksOf } from '../support/clients.ts';
import { type DiskFile, FileFolder } from '../support/files.ts';
import { OtherSite } from '../support/other-site.ts';
import { expectCompleted, expectNoLeftovers } from '../support/outcome.ts';
import { as, token } from '../support/owners.ts';
import { TestStack } from '../support/stack.ts';
import { arrival, storedPieces, untilHeld, untilReceived } from '../support/uploads-page.ts';

const MiB = 1024 * 1024;
const PART = 5 * MiB;
const DOCUMENT = readFileSync(new URL('../../docs/client.md', import.meta.url), 'utf8');

const site = new OtherSite();
const stranger = new OtherSite();
const files = new FileFolder();
let stack: TestStack;
let browser: Browser;
/** The site's origin. */
let origin = '';
let profiles: Profile[] = [];
beforeAll(async () => {
  origin = await site.open();
  stack = new TestStack({ env: { AUTH: 'jwt' }, context: { partSize: PART, allowedOrigins: [origin] } });
  [browser] = await Promise.all([launchChromium(), stack.start()]);
  for (const one of [site, stranger]) one.contentSecurityPolicy = documentedPolicy();
  site.scripts.set('/upload-file.js', documentedFunction());
}, 180_000);
afterEach(async () => {
  for (const { context } of profiles) await context.close();
  profiles = [];
  await stack.setFaults([]);
});
afterAll(async () => {
  await browser?.close();
  await stack?.stop();
  await Promise.all([site.close(), stranger.close()]);
  files.remove();
}, 60_000);

/** The policy that docs/client.md tells pages to have, for this API and this S3. */
function documentedPolicy(): string {
  const policy = /^Content-Security-Policy: (.+)$/m.exec(DOCUMENT)?.[1] ?? '';
  const hosts = policy.match(/https:\S+/g) ?? [];
  expect(hosts).toEqual([expect.stringContaining('.execute-api.'), expect.stringContaining('.s3.')]);
  const [api = '', bucket = ''] = hosts;
  return policy.replace(api, stack.apiUrl).replace(bucket, stack.awsEndpointUrl);
}

/** The one that docs/client.md gives to copy. */
function documentedFunction(): string {
  const blocks = [...DOCUMENT.matchAll(/^```js\n(.+?)^```$/gms)].map(([, code = '']) => code);
  const [code, ...others] = blocks.filter((block) => block.includes('export async function uploadFile'));
  if (!code || others.length > 0) throw new Error('docs/client.md should have one function uploadFile.');
  return code;
}

async function visit(url = origin): Promise<{ page: Page } & Profile> {
  const profile = await newProfile(browser);
  profiles.push(profile);
  const page = await profile.context.newPage();
  await page.goto(url);
  return { page, ...profile };
}

/** What a page says at the end of each file: the message of `fileSuccess`, or why it failed. */
type Ends = Record<string, { uploadId?: string; error?: string }>;

/** Uploads with Resumable.js as npm has it. */
async function withResumable(...begin: Parameters<typeof beginWithResumable>): Promise<Ends> {
  await beginWithResumable(...begin);
  const [page, , , ...chosen] = begin;
  return await ended(page, chosen.length);
}

async function beginWithResumable(
  page: Page,
  options: Record<string, unknown>,
  subject: string,
  ...chosen: readonly DiskFile[]
): Promise<void> {
  const authorization = `Bearer ${await token(stack, subject)}`;
  await page.evaluate(
    ({ options, authorization, target }) => {
      const { Resumable } = globalThis as unknown as { Resumable: ResumableConstructor };
      const ends: Ends = {};
      Object.assign(globalThis, { ends });
      const r = new Resumable({ target, headers: { authorization }, ...options });
      r.assignBrowse(document.querySelector('#choose') as Element);
      r.on('fileAdded', () => r.upload());
      r.on('fileSuccess', (file, message) => {
        ends[file.fileName] = JSON.parse(message || '{}');
      });
      r.on('fileError', (file, error) => {
        ends[file.fileName] = { error };
      });
    },
    { options, authorization, target: `${stack.apiUrl}/upload` },
  );
  await page.setInputFiles(
    '#choose',
    chosen.map(({ path }) => path),
  );
}

async function ended(page: Page, count: number): Promise<Ends> {
  await page.waitForFunction(
    (count) => Object.keys((globalThis as unknown as { ends: Ends }).ends).length === count,
    count,
    { timeout: 90_000 },
  );
  return await page.evaluate(() => (globalThis as unknown as { ends: Ends }).ends);
}

describe('Resumable.js as npm has it', () => {
  test.each([
    ['its defaults', { chunkSize: MiB }, {}],
    ['octets', { chunkSize: MiB, method: 'octet' }, { method: 'octet' }],
    ['forceChunkSize', { chunkSize: MiB, forceChunkSize: true }, { forceChunkSize: true }],
    [
      'octets of 4 MiB and forceChunkSize',
      { chunkSize: 4 * MiB, forceChunkSize: true, method: 'octet' },
      { chunkSize: 4 * MiB, forceChunkSize: true, method: 'octet' },
    ],
  ] as const)(
    'uploads with %s, and sends nothing twice when the file is chosen again',
    async (_, geometry, options) => {
      const { page, errors } = await visit();
      const file = files.add(4 * MiB + 700_001);
      const chunks = chunksOf(file.bytes.byteLength, geometry);
      let posts = 0;
      page.on('request', (request) => void (request.method() === 'POST' && posts++));
      await stack.clearCalls();
      const { [file.name]: end } = await withResumable(page, options, 'alice', file);
      const uploadId = end?.uploadId ?? '';
      const alice = await as(stack, 'alice');
      await expectCompleted(alice, uploadId, file);
      await expectNoLeftovers(stack, uploadId, 'alice');
      expect(posts).toBe(chunks.length);
      // A last chunk that has twice the size is stored as two.
      expect(await storedPieces(stack, 'proxy')).toBe(Math.ceil(file.bytes.byteLength / geometry.chunkSize));

      await page.reload();
      await stack.clearCalls();
      await withResumable(page, options, 'alice', file);
      expect(await storedPieces(stack, 'proxy')).toBe(0);
      expect(errors).toEqual([]);
    },
    180_000,
  );

  test('several files at once, one with a name that asks for trouble', async () => {
    const { page, errors } = await visit();
    const several = [
      files.add(1),
      files.add(MiB),
      files.add(5 * MiB + 1),
      files.add(2 * MiB + 3, `夏の「動画」 "最終" 'x' 🎬 a\\b & <c>.mp4`),
    ];
    const ends = await withResumable(page, {}, 'alice', ...several);
    const alice = await as(stack, 'alice');
    for (const file of several) await expectCompleted(alice, ends[file.name]?.uploadId ?? '', file);
    expect(errors).toEqual([]);
  }, 180_000);

  test('a page in the middle of a file goes on after a reload', async () => {
    const { page, errors } = await visit();
    const file = files.add(8 * MiB);
    await stack.setFaults([
      { ...arrival('proxy'), skip: 4, times: 0, action: { kind: 'delay', ms: 900_000 } },
    ]);
    let stored = 0;
    const four = page.waitForResponse(
      (response) => response.request().method() === 'POST' && response.ok() && ++stored === 4,
    );
    await beginWithResumable(page, {}, 'alice', file);
    await four;
    await untilHeld(stack, 3);
    await stack.setFaults([]);
    await page.reload();
    await stack.clearCalls();
    const ends = await withResumable(page, {}, 'alice', file);
    await expectCompleted(await as(stack, 'alice'), ends[file.name]?.uploadId ?? '', file);
    expect(await storedPieces(stack, 'proxy')).toBe(4);
    expect(errors).toEqual([]);
  }, 180_000);

  test('a page from elsewhere gets nothing stored', async () => {
    const { page, errors } = await visit(await stranger.open());
    const file = files.add(1000);
    await stack.clearCalls();
    const { [file.name]: end } = await withResumable(page, { maxChunkRetries: 1 }, 'alice', file);
    expect(end).toHaveProperty('error');
    expect(await storedPieces(stack, 'proxy')).toBe(0);
    expect(errors.join()).toContain('blocked by CORS policy');
  }, 180_000);
});

/** Uploads with our helper for one of the modes, as docs/client.md has it. */
async function withHelper(...begin: Parameters<typeof beginWithHelper>): Promise<Ends> {
  await beginWithHelper(...begin);
  const [page, , , ...chosen] = begin;
  return await ended(page, chosen.length);
}

async function beginWithHelper(
  page: Page,
  mode: 'presigned' | 'proxy',
  subject: string,
  ...chosen: readonly DiskFile[]
): Promise<void> {
  await page.evaluate(
    async ({ api, mode, bearer }) => {
      const { Resumable } = globalThis as unknown as { Resumable: ResumableConstructor };
      const module = '/client/resumable-uploads.ts';
      const { presignedResumable, proxyResumable, waitUntilCompleted } = (await import(
        module
      )) as typeof import('../../client/resumable-uploads.ts');
      const headers = async () => ({ authorization: bearer });
      const r = (mode === 'proxy' ? proxyResumable : presignedResumable)(Resumable, { api, headers });
      const ends: Ends = {};
      Object.assign(globalThis, { ends });
      r.assignBrowse(document.querySelector('#choose') as Element);
      r.on('fileAdded', () => r.upload());
      r.on('fileError', (file, error) => {
        ends[file.fileName] = { error };
      });
      r.on('fileSuccess', (file) => {
        void waitUntilCompleted({ api, headers, uploadId: file.uploadId ?? '' }).then(({ uploadId }) => {
          ends[file.fileName] = { uploadId };
        });
      });
    },
    { api: stack.apiUrl, mode, bearer: `Bearer ${await token(stack, subject)}` },
  );
  await page.setInputFiles(
    '#choose',
    chosen.map(({ path }) => path),
  );
}

/** All that a page sends from now on, but for what the browser asks by itself before it. */
function requestsOf(page: Page): readonly Request[] {
  const requests: Request[] = [];
  page.on('request', (request) => void (request.method() !== 'OPTIONS' && requests.push(request)));
  return requests;
}

/** Every request to the API has the token; none to S3 has it, or any other header for who sends it. */
async function expectTokenForApiAlone(requests: readonly Request[], toStorage: number): Promise<void> {
  const sentTo = async (url: string): Promise<Record<string, string>[]> =>
    await Promise.all(
      requests.filter((request) => request.url().startsWith(`${url}/`)).map((one) => one.allHeaders()),
    );
  const puts = await sentTo(stack.awsEndpointUrl);
  expect(puts).toHaveLength(toStorage);
  expect(puts.filter((headers) => 'authorization' in headers || 'cookie' in headers)).toEqual([]);
  const tokens = (await sentTo(stack.apiUrl)).map(({ authorization }) => authorization);
  expect(tokens.length).toBeGreaterThan(0);
  expect(tokens.filter((one) => !one?.startsWith('Bearer '))).toEqual([]);
}

describe.each(['presigned', 'proxy'] as const)('our helper in %s mode', (mode) => {
  test('an owner goes on in another profile; somebody else begins anew', async () => {
    const size = 23 * MiB;
    const pieces = Math.ceil(size / (mode === 'proxy' ? 4 * MiB : PART));
    const one = await visit();
    const file = files.add(size);
    await stack.setFaults([{ ...arrival(mode), skip: 2, times: 0, action: { kind: 'delay', ms: 900_000 } }]);
    let stored = 0;
    const two = one.page.waitForResponse(
      (response) =>
        ['PUT', 'POST'].includes(response.request().method()) &&
        /partNumber=|resumableChunkNumber=/.test(response.url()) &&
        response.ok() &&
        ++stored === 2,
    );
    await beginWithHelper(one.page, mode, 'alice', file);
    await two;
    await untilHeld(stack, 3);
    await one.page.close({ runBeforeUnload: true });
    await stack.setFaults([]);
    await untilReceived(await as(stack, 'alice'), file.name, 2);

    const other = await visit();
    await stack.clearCalls();
    const requests = requestsOf(other.page);
    const ends = await withHelper(other.page, mode, 'alice', file);
    const sent = await storedPieces(stack, mode);
    await expectCompleted(await as(stack, 'alice'), ends[file.name]?.uploadId ?? '', file);
    expect(sent).toBe(pieces - 2);
    await expectTokenForApiAlone(requests, mode === 'presigned' ? pieces - 2 : 0);

    const bob = await visit();
    await stack.clearCalls();
    const hisEnds = await withHelper(bob.page, mode, 'bob', file);
    expect(await storedPieces(stack, mode)).toBe(pieces);
    expect(hisEnds[file.name]?.uploadId).not.toBe(ends[file.name]?.uploadId);
    await expectCompleted(await as(stack, 'bob'), hisEnds[file.name]?.uploadId ?? '', file);
    expect([...one.errors, ...other.errors, ...bob.errors]).toEqual([]);
  }, 240_000);
});

describe('the function of docs/client.md', () => {
  async function start(page: Page, file: DiskFile, subject: string): Promise<void> {
    await page.setInputFiles('#choose', file.path);
    await page.evaluate(
      async ({ api, authorization }) => {
        const ends: Ends = {};
        Object.assign(globalThis, { ends, shares: [] });
        const script = '/upload-file.js';
        const { uploadFile } = (await import(script)) as {
          uploadFile: (file: File, options: Record<string, unknown>) => Promise<{ uploadId: string }>;
        };
        const [file] = (document.querySelector('#choose') as HTMLInputElement).files ?? [];
        if (!file) throw new Error('No file was chosen.');
        const { shares } = globalThis as unknown as { shares: number[] };
        uploadFile(file, {
          api,
          headers: async () => ({ authorization }),
          onProgress: (share: number) => shares.push(share),
        }).then(
          ({ uploadId }) => {
            ends[file.name] = { uploadId };
          },
          (error: Error) => {
            ends[file.name] = { error: error.message };
          },
        );
      },
      { api: stack.apiUrl, authorization: `Bearer ${await token(stack, subject)}` },
    );
  }
  const shares = async (page: Page): Promise<number[]> =>
    await page.evaluate(() => (globalThis as unknown as { shares: number[] }).shares);

  test('uploads, goes on after a reload with what is missing, and persists through faults', async () => {
    const { page, errors } = await visit();
    const file = files.add(7 * PART + 1);
    await stack.setFaults([
      { ...arrival('presigned'), skip: 2, times: 0, action: { kind: 'delay', ms: 900_000 } },
    ]);
    await start(page, file, 'alice');
    await page.waitForFunction(() => (globalThis as unknown as { shares: number[] }).shares.length === 2);
    await page.reload();
    await stack.setFaults([
      { ...arrival('presigned'), skip: 1, action: { kind: 'fail', status: 403, code: 'AccessDenied' } },
      { caller: 'record-parts', operation: 'UpdateItem', skip: 1, action: { kind: 'kill', when: 'after' } },
    ]);
    await stack.clearCalls();
    const requests = requestsOf(page);
    await start(page, file, 'alice');
    const { [file.name]: end } = await ended(page, 1);
    // Six are missing, and one is refused the first time.
    await expectTokenForApiAlone(requests, 7);
    expect(end?.error).toBeUndefined();
    await expectCompleted(await as(stack, 'alice'), end?.uploadId ?? '', file);
    expect((await shares(page)).at(-1)).toBe(1);
    // Six are missing; the report that died is made again, and its part is not sent again.
    expect(await storedPieces(stack, 'presigned')).toBe(6);
    expect(errors.filter((error) => !/status of (403|500)/.test(error))).toEqual([]);
    expect(errors).toHaveLength(2);

    await stack.clearCalls();
    await start(page, file, 'alice');
    expect((await ended(page, 1))[file.name]).toEqual(end);
    expect(await storedPieces(stack, 'presigned')).toBe(0);
  }, 180_000);

  test('says what is wrong with a file that is refused', async () => {
    const { page } = await visit();
    const file = files.add(0);
    await start(page, file, 'alice');
    expect((await ended(page, 1))[file.name]?.error).toMatch(/size|bytes/);
  }, 60_000);
});
