import { beforeEach, describe, expect, jest, test } from '@jest/globals';
import ResumableJs from 'resumablejs';
import { presignedResumable } from '../../../client/presigned.ts';
import { proxyResumable } from '../../../client/proxy.ts';
import { ApiError, type Resumable, type ResumableFile } from '../../../client/resumable-uploads.ts';
import { installBrowser } from './fake-browser.ts';
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

function when(
  r: Resumable,
  event: 'fileSuccess' | 'fileError',
): Promise<{ file: ResumableFile; message: string }> {
  return new Promise((resolve) => {
    const tell = (file: ResumableFile, message: string) => resolve({ file, message });
    if (event === 'fileSuccess') r.on(event, tell);
    else r.on(event, tell);
  });
}

function uploadAll(r: Resumable, ...files: File[]): Promise<void> {
  const done = new Promise<void>((resolve) => r.on('complete', resolve));
  r.on('filesAdded', () => r.upload());
  r.addFiles(files);
  return done;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe.each(['presigned', 'proxy'] as const)('Resumable.js in %s mode', (mode) => {
  const make = (more = {}) => modes[mode](ResumableJs, { ...options, ...more });
  const sendsPart = mode === 'presigned' ? /^\/.+\/\d+$/ : /^\/upload$/;
  const method = mode === 'presigned' ? 'PUT' : 'POST';

  test('uploads a whole file, each part once, and succeeds once', async () => {
    const r = make();
    const successes: string[] = [];
    r.on('fileSuccess', (file) => successes.push(file.uploadId ?? ''));
    await uploadAll(r, fileOf('a.mp4'));
    expect(server.content('a.mp4')).toBe(text);
    expect(server.count(method, sendsPart)).toBe(10);
    expect(successes).toEqual(['a.mp4']);
    expect(r.files[0]?.progress()).toBe(1);
  });

  test('uploads several files', async () => {
    await uploadAll(make(), fileOf('a.mp4'), fileOf('b.mp4'), fileOf('c.mp4', 'short'));
    expect(['a.mp4', 'b.mp4', 'c.mp4'].map((name) => server.content(name))).toEqual([text, text, 'short']);
  });

  test('sends only what the server lacks, and shows the rest as progress at once', async () => {
    server.begin('a.mp4', text, 10, [1, 2, 3, 5, 6, 7, 8]);
    const r = make();
    const progress: number[] = [];
    r.on('fileProgress', (file) => progress.push(file.progress()));
    await uploadAll(r, fileOf('a.mp4'));
    expect(server.count(method, sendsPart)).toBe(3);
    expect(server.content('a.mp4')).toBe(text);
    expect(progress.find((value) => value > 0)).toBeCloseTo(70 / 95, 1);
  });

  test('succeeds without sending anything where all is there', async () => {
    server.begin('a.mp4', text, 10, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    await uploadAll(make(), fileOf('a.mp4'));
    expect(server.count(method, sendsPart)).toBe(0);
  });

  test('sends a part again after a passing fault, a cut connection and a throttled request', async () => {
    let faults = 0;
    server.failing(3, (request) => {
      if (request.method !== method || !sendsPart.test(request.url.pathname)) return undefined;
      return ([{ status: 503 }, 'cut', { status: 429 }] as const)[faults++];
    });
    await uploadAll(make(), fileOf('a.mp4'));
    expect(server.content('a.mp4')).toBe(text);
    expect(server.count(method, sendsPart)).toBe(13);
  });

  test('waits as long as the server asks', async () => {
    const times: number[] = [];
    server.failing(1, ({ url, method: verb }) => {
      if (verb !== method || !sendsPart.test(url.pathname)) return undefined;
      times.push(Date.now());
      return { status: 503, headers: { 'Retry-After': '1' } };
    });
    await uploadAll(make(), fileOf('a.mp4', 'short'));
    expect(Date.now() - (times[0] ?? 0)).toBeGreaterThanOrEqual(950);
  });

  test('pauses and goes on', async () => {
    const r = make();
    server.latencyMs = 10;
    const done = uploadAll(r, fileOf('a.mp4'));
    while (server.count(method, sendsPart) < 5) await pause(1);
    r.pause();
    await pause(50);
    const before = server.requests.length;
    await pause(30);
    expect(server.requests.length).toBe(before);
    expect(r.files[0]?.isComplete()).toBe(false);
    r.upload();
    await done;
    expect(server.content('a.mp4')).toBe(text);
  });

  test('one paused file leaves its slots to the others', async () => {
    const r = make();
    const success = when(r, 'fileSuccess');
    server.latencyMs = 10;
    void uploadAll(r, fileOf('a.mp4'), fileOf('b.mp4'));
    while (server.count(method, sendsPart) < 2) await pause(1);
    const [first] = r.files; // Either: they are added in the order in which their identifiers are ready.
    first?.pause(true);
    first?.abort();
    r.upload();
    expect((await success).file).toBe(r.files[1]);
    first?.pause(false);
    const other = when(r, 'fileSuccess');
    r.upload();
    expect((await other).file).toBe(first);
    expect(server.content('a.mp4')).toBe(text);
  });

  test('deletes on the server what is cancelled, and nothing that is finished', async () => {
    const r = make();
    server.latencyMs = 10;
    void uploadAll(r, fileOf('a.mp4'));
    while (!r.files[0]?.uploadId) await pause(1);
    r.files[0].cancel();
    for (let wait = 0; wait < 100 && server.count('DELETE', /./) === 0; wait++) await pause(20);
    expect(server.count('DELETE', /^\/uploads\/a\.mp4$/)).toBe(1);
    expect(r.files).toEqual([]);

    const other = make();
    await uploadAll(other, fileOf('b.mp4'));
    other.files[0]?.cancel();
    await pause(20);
    expect(server.count('DELETE', /b\.mp4/)).toBe(0);
  });

  test('surfaces the sentence of a refusal, and goes on with the next file', async () => {
    const r = make();
    const failure = when(r, 'fileError');
    server.failing(1, ({ url, method: verb, body }) =>
      verb === 'POST' && (body.includes('a.mp4') || url.search.includes('a.mp4'))
        ? problem(400, 'Files may have at most 10 bytes.')
        : undefined,
    );
    await uploadAll(r, fileOf('a.mp4'), fileOf('b.mp4'));
    const { file, message } = await failure;
    expect([file.fileName, message]).toEqual(['a.mp4', 'Files may have at most 10 bytes.']);
    expect(file.uploadError).toBeInstanceOf(ApiError);
    expect(server.content('b.mp4')).toBe(text);
  });

  test('is not complete while a file is being cut into chunks', async () => {
    const r = make();
    const sentAt: number[] = [];
    r.on('complete', () => sentAt.push(server.count(method, sendsPart)));
    r.on('fileAdded', (file) => {
      const { abort } = file;
      file.abort = () => {
        abort(); // The first that is done when a file is cut.
        queueMicrotask(() => r.upload()); // As when another file gives up its slots.
      };
    });
    await uploadAll(r, fileOf('a.mp4'));
    await pause(20);
    expect(sentAt).toEqual([10]);
  });

  test('asks for a sign-in after one more try, and goes on by file.retry()', async () => {
    let token = 'Bearer old';
    const r = make({ headers: () => ({ authorization: token }) });
    const failure = when(r, 'fileError');
    r.on('filesAdded', () => r.upload());
    r.addFile(fileOf('a.mp4'));
    const { file, message } = await failure;
    expect(message).toBe('Sign in first.');
    expect(server.requests.length).toBe(2);
    token = 'Bearer good';
    const success = when(r, 'fileSuccess');
    file.retry();
    await success;
    expect(server.content('a.mp4')).toBe(text);
  });

  test('sends again what the server turns out to lack in the end', async () => {
    const describeUpload = server.describe.bind(server);
    let lied = false;
    server.describe = (uploadId) => {
      const upload = describeUpload(uploadId);
      if (lied || upload.status !== 'completing') return upload;
      lied = true;
      server.uploads.get(uploadId)?.recorded.delete(4);
      return describeUpload(uploadId);
    };
    const r = make();
    const successes: string[] = [];
    r.on('fileSuccess', (file) => successes.push(file.fileName));
    await uploadAll(r, fileOf('a.mp4'));
    expect(server.count(method, sendsPart)).toBe(11);
    expect(successes).toEqual(['a.mp4']);
  });
});

describe('presigned mode', () => {
  const make = (more = {}) => presignedResumable(ResumableJs, { ...options, ...more });

  test('cuts each file as the server says', async () => {
    server.partSizes = { 'a.mp4': 50, 'b.mp4': 7 };
    await uploadAll(make(), fileOf('a.mp4'), fileOf('b.mp4'));
    expect(server.uploads.get('a.mp4')?.stored.size).toBe(2);
    expect(server.uploads.get('b.mp4')?.stored.size).toBe(14);
    expect([server.content('a.mp4'), server.content('b.mp4')]).toEqual([text, text]);
  });

  test('signs again when a URL has expired', async () => {
    const refused: string[] = [];
    server.failing(1, ({ method, url }) => {
      if (method !== 'PUT') return undefined;
      refused.push(url.href);
      return { status: 403, body: '<Code>AccessDenied</Code><Message>Request has expired</Message>' };
    });
    await uploadAll(make(), fileOf('a.mp4'));
    expect(server.content('a.mp4')).toBe(text);
    expect(server.requests.filter(({ url }) => url.href === refused[0]).length).toBe(1);
  });

  test('gives up with S3’s reason when S3 refuses for good', async () => {
    server.failing(99, ({ method }) =>
      method === 'PUT' ? { status: 400, body: '<Code>EntityTooLarge</Code>' } : undefined,
    );
    const r = make();
    const failure = when(r, 'fileError');
    r.on('filesAdded', () => r.upload());
    r.addFile(fileOf('a.mp4', 'short'));
    expect((await failure).message).toBe('Storage refuses a part of this file (EntityTooLarge).');
    expect(server.count('PUT', /./)).toBe(5);
  });

  test('asks the API at most five times for each hundred parts', async () => {
    await uploadAll(make(), fileOf('a.mp4', 'x'.repeat(4000)));
    expect(server.count('PUT', /./)).toBe(400);
    expect(server.requests.filter(({ url }) => url.host === 'api.example').length).toBeLessThanOrEqual(20);
  });

  test('succeeds only when the parts are recorded, in few reports, through passing faults', async () => {
    server.failing(2, ({ url }) => (url.pathname.endsWith('/parts') ? { status: 503 } : undefined));
    const r = make();
    const recordedAtSuccess: number[] = [];
    r.on('fileSuccess', () => recordedAtSuccess.push(server.uploads.get('a.mp4')?.recorded.size ?? 0));
    await uploadAll(r, fileOf('a.mp4'));
    expect(recordedAtSuccess).toEqual([10]);
    expect(server.count('POST', /\/parts$/)).toBe(3);
  });

  test.each([
    [
      'storage',
      (path: string) => /^\/a\.mp4\/\d+$/.test(path),
      { status: 404, body: '<Code>NoSuchUpload</Code>' },
    ],
    [
      'storage, with others stored and not reported,',
      (path: string) => path === '/a.mp4/10',
      { status: 404, body: '<Code>NoSuchUpload</Code>' },
    ],
    ['the API', (path: string) => path.endsWith('/parts'), problem(409, 'Nothing is left to send.')],
  ])(
    'succeeds when %s refuses parts since another tab has finished the upload',
    async (_who, isRefused, refusal) => {
      server.failing(99, ({ url }) => {
        if (!isRefused(url.pathname)) return undefined;
        const state = server.uploads.get('a.mp4');
        for (let part = 1; part <= 10; part++) state?.recorded.add(part);
        return refusal;
      });
      const r = make();
      const successes: string[] = [];
      r.on('fileSuccess', (file) => successes.push(file.fileName));
      await uploadAll(r, fileOf('a.mp4'));
      expect(successes).toEqual(['a.mp4']);
    },
  );

  test('fails when the upload is gone for good', async () => {
    server.failing(99, ({ method }) => (method === 'PUT' ? { status: 404 } : undefined));
    const r = make();
    const failure = when(r, 'fileError');
    r.on('filesAdded', () => r.upload());
    r.addFile(fileOf('a.mp4'));
    expect((await failure).message).toContain('gone from storage');
  });

  test('never sends Authorization to storage', async () => {
    await uploadAll(make(), fileOf('a.mp4'));
    const toStorage = server.requests.filter(({ url }) => url.host === 's3.example');
    expect(toStorage).toHaveLength(10);
    expect(toStorage.filter(({ headers }) => 'authorization' in headers)).toEqual([]);
    const toApi = server.requests.filter(({ url }) => url.host === 'api.example');
    expect(new Set(toApi.map(({ headers }) => headers['authorization']))).toEqual(new Set(['Bearer good']));
  });
});

test('proxy mode resumes by two requests, however many chunks there are', async () => {
  server.begin('a.mp4', text, 10, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  await uploadAll(proxyResumable(ResumableJs, options), fileOf('a.mp4'));
  expect(server.requests.map(({ method, url }) => `${method} ${url.pathname}`)).toEqual([
    'GET /upload/options',
    'GET /upload',
    'GET /uploads/a.mp4',
    'POST /upload',
  ]);
});
