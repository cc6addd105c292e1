import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import ResumableJs from 'resumablejs';
import { presignedResumable } from '../../../client/presigned.ts';
import { proxyResumable } from '../../../client/proxy.ts';
import { ApiError, type Resumable, type ResumableFile } from '../../../client/resumable-uploads.ts';
import { type FakeRequest, installBrowser } from './fake-browser.ts';
import { FakeUploads, problem } from './fake-uploads.ts';

const text = Array.from({ length: 95 }, (_, index) => String.fromCharCode(97 + (index % 26))).join('');
const fileOf = (name: string, content = text) =>
  new File([content], name, { lastModified: 1_700_000_000_000 });
const options = { api: 'https://api.example', headers: async () => ({ authorization: 'Bearer good' }) };
const modes = { presigned: presignedResumable, proxy: proxyResumable };

let server: FakeUploads;
beforeEach(() => {
  server = new FakeUploads();
  installBrowser(server.serve);
  jest.spyOn(Math, 'random').mockReturnValue(0); // No waits between tries.
});
afterEach(() => setOnline(true));

function setOnline(value: boolean): void {
  Object.defineProperty(globalThis.navigator, 'onLine', { value, configurable: true });
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** How it ends: a failure's sentence, or nothing. */
function end(r: Resumable, ...files: File[]): Promise<string | undefined> {
  const ended = new Promise<string | undefined>((resolve) => {
    r.on('complete', () => resolve(undefined));
    r.on('fileError', (_file, message) => resolve(message));
  });
  r.on('fileAdded', () => r.upload());
  r.addFiles(files);
  return ended;
}

async function added(r: Resumable, ...files: File[]): Promise<ResumableFile> {
  r.addFiles(files);
  return await new Promise((resolve) => r.on('filesAdded', ([file]) => resolve(file as ResumableFile)));
}

const isForStorage = ({ url }: FakeRequest) => url.host === 's3.example';
const isChunk = (request: FakeRequest) =>
  isForStorage(request) || (request.method === 'POST' && request.url.pathname === '/upload');

describe.each(['presigned', 'proxy'] as const)('in %s mode', (mode) => {
  const make = (more = {}) => modes[mode](ResumableJs, { ...options, ...more });

  test('requests to the API wait while the browser is offline', async () => {
    let asked = 0;
    server.failing(99, (request) => {
      if (isChunk(request) || navigator.onLine === false) return isChunk(request) ? undefined : 'cut';
      if (asked++ > 0) return undefined;
      setOnline(false);
      setTimeout(() => setOnline(true), 1500);
      return 'cut';
    });
    expect(await end(make(), fileOf('a.mp4'))).toBeUndefined();
    expect(server.content('a.mp4')).toBe(text);
  });

  test('an outage of the API is outlasted as long as one of storage', async () => {
    server.failing(40, (request) => (isChunk(request) ? undefined : { status: 503 }));
    expect(await end(make(), fileOf('a.mp4'))).toBeUndefined();
    expect(server.content('a.mp4')).toBe(text);
  });

  test('an API that puts requests off is believed after some of them', async () => {
    server.failing(99, (request) =>
      isChunk(request) ? undefined : problem(429, 'Too much is in progress.'),
    );
    expect(await end(make(), fileOf('a.mp4'))).toBe('Too much is in progress.');
    expect(server.requests.length).toBe(9);
  });

  test('an answer that breaks off is asked for again', async () => {
    const broken = new Set<string>();
    server.failing(99, ({ method, url }) => {
      const what = `${method} ${url.pathname}`;
      if (url.host === 's3.example' || broken.has(what)) return undefined;
      broken.add(what);
      return { status: 200, body: '{"uploadId":"a.m' };
    });
    expect(await end(make(), fileOf('a.mp4'))).toBeUndefined();
    expect(server.content('a.mp4')).toBe(text);
    expect(broken.size).toBeGreaterThanOrEqual(3);
  });

  test('a token that cannot be renewed at once does not end a file', async () => {
    let calls = 0;
    const headers = async () => {
      if (++calls % 2 === 1) throw new TypeError('Failed to fetch');
      return { authorization: 'Bearer good' };
    };
    expect(await end(make({ headers }), fileOf('a.mp4'))).toBeUndefined();
    expect(server.content('a.mp4')).toBe(text);
  });

  test('a page may say itself that nobody is signed in', async () => {
    const headers = () => {
      throw new ApiError('You are signed out.', 403);
    };
    expect(await end(make({ headers }), fileOf('a.mp4'))).toBe('You are signed out.');
  });

  test('a token that has just ended is renewed, for each request', async () => {
    const refused = new Set<string>();
    server.failing(99, (request) => {
      const what = `${request.method} ${request.url.pathname} ${request.url.searchParams.get('resumableChunkNumber')}`;
      if (isForStorage(request) || refused.has(what)) return undefined;
      refused.add(what);
      return problem(401, 'The token has ended.');
    });
    expect(await end(make(), fileOf('a.mp4'))).toBeUndefined();
    expect(server.content('a.mp4')).toBe(text);
  });

  test('a file that is under way can be sent anew', async () => {
    const r = make();
    server.latencyMs = 10;
    const successes: string[] = [];
    r.on('fileSuccess', ({ fileName }) => successes.push(fileName));
    const done = end(r, fileOf('a.mp4'));
    while (server.requests.filter(isChunk).length < 2) await pause(1);
    r.files[0]?.retry();
    expect(await done).toBeUndefined();
    expect(successes).toEqual(['a.mp4']);
    expect(server.content('a.mp4')).toBe(text);
    expect(server.uploads.get('a.mp4')?.recorded.size).toBe(10);
  });

  test('a file that is being cut into chunks can be sent anew', async () => {
    const r = make();
    const done = end(r, fileOf('a.mp4'));
    let cut = 0;
    r.on('chunkingProgress', (file) => {
      if (++cut === 5) file.retry();
    });
    expect(await done).toBeUndefined();
    expect(server.content('a.mp4')).toBe(text);
    expect(server.requests.filter(isChunk).length).toBe(10);
  });

  test('an empty file fails by itself, and those after it arrive', async () => {
    const r = make();
    const failures: string[] = [];
    r.on('fileError', ({ fileName, uploadError }) =>
      failures.push(`${fileName} ${(uploadError as ApiError).type}`),
    );
    const done = new Promise<void>((resolve) => r.on('complete', resolve));
    r.on('filesAdded', () => r.upload());
    const progress: number[] = [];
    r.on('fileAdded', () => progress.push(r.progress()));
    r.addFiles([fileOf('a.mp4'), fileOf('empty.mp4', ''), fileOf('c.mp4')]);
    await done;
    expect(failures).toEqual(['empty.mp4 urn:resumable-uploads:problem:empty-file']);
    expect([server.content('a.mp4'), server.content('c.mp4')]).toEqual([text, text]);
    expect(progress).toEqual([0, 0, 0]);
  });

  test('a file that cannot be read fails with a sentence, and asks nothing of the server', async () => {
    const folder = fileOf('folder');
    folder.slice = () => unreadable;
    expect(await end(make(), folder)).toMatch(/^This file cannot be read/);
    expect(
      server.requests.map(({ url }) => url.pathname).filter((path) => path !== '/upload/options'),
    ).toEqual([]);
  });

  test('a file that changes during its upload ends with a sentence, not with tries', async () => {
    const changing = fileOf('a.mp4');
    const slice = changing.slice.bind(changing);
    changing.slice = (...range) =>
      server.requests.filter(isChunk).length > 3 ? unreadable : slice(...range);
    expect(await end(make(), changing)).toMatch(/^This file cannot be read/);
  });

  test('works in browsers without Promise.withResolvers', async () => {
    const { withResolvers } = Promise;
    Object.assign(Promise, { withResolvers: undefined });
    try {
      expect(await end(make(), fileOf('a.mp4'))).toBeUndefined();
    } finally {
      Object.assign(Promise, { withResolvers });
    }
  });
});

const unreadable = new Blob(['x']);
unreadable.arrayBuffer = () => Promise.reject(new DOMException('gone', 'NotFoundError'));
unreadable.text = unreadable.arrayBuffer as () => Promise<never>;

test('in proxy mode a token that is refused twice is final, at any chunk', async () => {
  server.failing(99, ({ url }) =>
    url.searchParams.get('resumableChunkNumber') === '5' ? problem(401, 'Sign in first.') : undefined,
  );
  const r = proxyResumable(ResumableJs, options);
  const file = await added(r, fileOf('a.mp4'));
  const message = await new Promise((resolve) => {
    r.on('fileError', (_file, sentence) => resolve(sentence));
    r.upload();
  });
  expect(message).toBe('Sign in first.');
  expect((file.uploadError as ApiError).status).toBe(401);
  const tries = server.requests.filter(({ url }) => url.searchParams.get('resumableChunkNumber') === '5');
  expect(tries.length).toBe(2);
});

test.each([
  ['is signed again after four cut connections', 4, 'cut', 403, 'AccessDenied', 1],
  ['may time out often', 0, 'cut', 400, 'RequestTimeout', 12],
  ['may meet a signer whose session has ended often', 0, 'cut', 400, 'ExpiredToken', 12],
] as const)('a part %s', async (_name, cuts, cut, status, code, refusals) => {
  let tries = 0;
  server.failing(99, ({ method, url }) => {
    if (method !== 'PUT' || !url.pathname.endsWith('/2')) return undefined;
    tries++;
    if (tries <= cuts) return cut;
    return tries <= cuts + refusals ? { status, body: `<Code>${code}</Code>` } : undefined;
  });
  expect(await end(presignedResumable(ResumableJs, options), fileOf('a.mp4'))).toBeUndefined();
  expect(tries).toBe(cuts + refusals + 1);
});

test('the end of all files is told once where a report of many parts is refused', async () => {
  server.partSizes['a.mp4'] = 1;
  server.failing(99, ({ url }) => (url.pathname.endsWith('/parts') ? problem(403, 'No.') : undefined));
  const r = presignedResumable(ResumableJs, options);
  let ends = 0;
  r.on('complete', () => ends++);
  const failures: string[] = [];
  r.on('fileError', (_file, message) => failures.push(message));
  await end(r, fileOf('a.mp4'));
  await pause(100);
  expect([failures, ends]).toEqual([['No.'], 1]);
});

test('what storage refuses for good has a type', async () => {
  server.failing(99, ({ method }) => (method === 'PUT' ? { status: 403 } : undefined));
  const r = presignedResumable(ResumableJs, options);
  const file = added(r, fileOf('a.mp4'));
  await end(r);
  expect(((await file).uploadError as ApiError).type).toBe(
    'urn:resumable-uploads:problem:refused-by-storage',
  );
});
