import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  filesOf,
  removeFolder,
  type ServedEngine,
  scratchFolder,
  serveEngine,
  uploadParts,
  xmlText,
} from './served-engine.ts';

const day = 86_400_000;
const minPart = Buffer.alloc(5 * 1024 * 1024, 'a');

let dir: string;
let served: ServedEngine | undefined;

beforeEach(() => {
  dir = scratchFolder();
});
afterEach(async () => {
  await served?.stop();
  served = undefined;
  removeFolder(dir);
});

describe('bytes on disk', () => {
  test('what is overwritten, deleted, aborted or not listed goes from the disk', async () => {
    served = await serveEngine(dir);
    const { url } = served;
    await fetch(`${url}/a`, { method: 'PUT', body: 'one' });
    await fetch(`${url}/a`, { method: 'PUT', body: 'two' });
    expect(filesOf(dir)).toHaveLength(1);
    await fetch(`${url}/a`, { method: 'DELETE' });
    expect(filesOf(dir)).toHaveLength(0);

    const aborted = await uploadParts(`${url}/b`, ['one', 'two']);
    await fetch(`${url}/b?partNumber=1&uploadId=${aborted.uploadId}`, { method: 'PUT', body: 'again' });
    expect(filesOf(dir)).toHaveLength(2);
    await fetch(`${url}/b?uploadId=${aborted.uploadId}`, { method: 'DELETE' });
    expect(filesOf(dir)).toHaveLength(0);

    const completed = await uploadParts(`${url}/c`, ['one']);
    await fetch(`${url}/c?partNumber=2&uploadId=${completed.uploadId}`, {
      method: 'PUT',
      body: 'not listed',
    });
    const files = filesOf(dir);
    expect((await completed.complete()).status).toBe(200);
    expect(filesOf(dir)).toHaveLength(1);
    expect(files).toEqual(expect.arrayContaining(filesOf(dir)));
  });

  test('completing moves no bytes: the object consists of the very files of its parts', async () => {
    served = await serveEngine(dir);
    const upload = await uploadParts(`${served.url}/video`, [minPart, minPart, 'end']);
    const files = filesOf(dir).toSorted();
    await upload.complete();
    expect(filesOf(dir).toSorted()).toEqual(files);
  });

  test('an object that is deleted while it is read is read to its end, then its files go', async () => {
    served = await serveEngine(dir);
    await (await uploadParts(`${served.url}/video`, [minPart, minPart])).complete();
    const reading = await fetch(`${served.url}/video`);
    const reader = reading.body?.getReader();
    let size = (await reader?.read())?.value?.length ?? 0;
    await fetch(`${served.url}/video`, { method: 'DELETE' });
    for (let step = await reader?.read(); step?.done === false; step = await reader?.read()) {
      size += step.value.length;
    }
    expect(size).toBe(2 * minPart.length);
    for (let wait = 0; wait < 100 && filesOf(dir).length > 0; wait++)
      await new Promise((resolve) => setTimeout(resolve, 50));
    expect(filesOf(dir)).toHaveLength(0);
  });

  test('after SIGKILL all that was acknowledged is there, and nothing else is on the disk', async () => {
    const program = `
      import { createServer } from 'node:http';
      import { createS3Engine } from ${JSON.stringify(new URL('../../../local/s3/engine.ts', import.meta.url).href)};
      const engine = createS3Engine({ dir: ${JSON.stringify(dir)}, clock: { now: Date.now, advance() {} } });
      engine.createBucket('bucket');
      const server = createServer((req, res) => void engine.handle(req, res));
      server.listen(0, '127.0.0.1', () => console.log(server.address().port));`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [port] = (await once(child.stdout, 'data')) as [Buffer];
    const url = `http://127.0.0.1:${port.toString().trim()}/bucket`;
    await fetch(`${url}/whole`, { method: 'PUT', body: 'acknowledged' });
    const { uploadId } = await uploadParts(`${url}/video`, ['part one']);
    const unfinished = request(`${url}/cut`, { method: 'PUT', headers: { 'content-length': '9000000' } });
    unfinished.on('error', () => undefined);
    unfinished.write(Buffer.alloc(4_000_000));
    for (let tries = 0; filesOf(dir).length < 3 && tries < 100; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(filesOf(dir)).toHaveLength(3);
    child.kill('SIGKILL');
    await once(child, 'exit');
    unfinished.destroy();
    // As if it had died between writing a file and recording it.
    writeFileSync(join(dir, 'blobs', 'ab', `ab${'0'.repeat(30)}`), 'orphan');

    served = await serveEngine(dir);
    expect(await (await fetch(`${served.url}/whole`)).text()).toBe('acknowledged');
    expect((await fetch(`${served.url}/cut`)).status).toBe(404);
    const list = await (await fetch(`${served.url}/video?uploadId=${uploadId}`)).text();
    expect(xmlText(list, 'PartNumber')).toBe('1');
    expect(filesOf(dir)).toHaveLength(2);
  });
});

describe('lifecycle rules', () => {
  test('abort uploads at the first midnight UTC after their days, and say so beforehand', async () => {
    served = await serveEngine(dir, {
      lifecycle: [{ id: 'abandoned', prefix: 'uploads/', abortIncompleteMultipartUploadDays: 2 }],
    });
    const created = await fetch(`${served.url}/uploads/a?uploads`, { method: 'POST' });
    expect(created.headers.get('x-amz-abort-date')).toBe('Tue, 13 Jan 2026 00:00:00 GMT');
    expect(created.headers.get('x-amz-abort-rule-id')).toBe('abandoned');
    const { uploadId } = await uploadParts(`${served.url}/uploads/a`, ['part']);
    await uploadParts(`${served.url}/elsewhere`, ['part']);

    served.now = Date.UTC(2026, 0, 12, 23, 59);
    expect(await served.engine.applyLifecycle()).toEqual({ abortedUploads: 0, expiredObjects: 0 });
    served.now = Date.UTC(2026, 0, 13);
    expect(await served.engine.applyLifecycle()).toEqual({ abortedUploads: 2, expiredObjects: 0 });
    expect((await fetch(`${served.url}/uploads/a?uploadId=${uploadId}`)).status).toBe(404);
    expect(filesOf(dir)).toHaveLength(1);
  });

  test('expire objects by prefix, and leave others and disabled rules alone', async () => {
    served = await serveEngine(dir, {
      lifecycle: [
        { prefix: 'staging/', expirationDays: 1 },
        { prefix: 'kept/', expirationDays: 1, enabled: false },
      ],
    });
    for (const key of ['staging/a', 'staging/b', 'kept/a', 'other']) {
      await fetch(`${served.url}/${key}`, { method: 'PUT', body: key });
    }
    served.now += 3 * day;
    expect(await served.engine.applyLifecycle()).toEqual({ abortedUploads: 0, expiredObjects: 2 });
    expect((await fetch(`${served.url}/staging/a`)).status).toBe(404);
    expect((await fetch(`${served.url}/kept/a`)).status).toBe(200);
    expect(filesOf(dir)).toHaveLength(2);
  });
});

describe('opaque ETags, as under SSE-KMS', () => {
  test('differ for equal bytes, and still complete an upload', async () => {
    served = await serveEngine(dir, { opaqueEtags: true });
    const put = async (): Promise<string | null> =>
      (await fetch(`${served?.url}/a`, { method: 'PUT', body: 'same' })).headers.get('etag');
    const [first, second] = [await put(), await put()];
    expect(first).toMatch(/^"[0-9a-f]{32}"$/);
    expect(second).not.toBe(first);
    const done = await (await uploadParts(`${served.url}/b`, [minPart, 'end'])).complete();
    expect(xmlText(await done.text(), 'ETag')).toMatch(/^"[0-9a-f]{32}-2"$/);
  });

  test('follow from an upload that asks for KMS itself', async () => {
    served = await serveEngine(dir);
    const headers = { 'x-amz-server-side-encryption': 'aws:kms' };
    const answer = await fetch(`${served.url}/a`, { method: 'PUT', body: 'same', headers });
    expect(answer.headers.get('etag')).not.toBe('"51037a4a37730f52c8732586d3aaa316"');
    expect(answer.headers.get('x-amz-server-side-encryption')).toBe('aws:kms');
  });
});

test('a bucket keeps its objects and takes new options when it is made again', async () => {
  served = await serveEngine(dir);
  await fetch(`${served.url}/a`, { method: 'PUT', body: 'kept' });
  served.engine.createBucket('bucket', {
    corsRules: [{ allowedOrigins: ['*'], allowedMethods: ['GET'], exposedHeaders: ['ETag'] }],
  });
  const answer = await fetch(`${served.url}/a`, { headers: { origin: 'https://a.example' } });
  expect(await answer.text()).toBe('kept');
  expect(answer.headers.get('access-control-allow-origin')).toBe('*');
});

test('what it does not implement answers 501 NotImplemented', async () => {
  served = await serveEngine(dir);
  for (const [method, path] of [
    ['GET', '?versioning'],
    ['PUT', '/key?tagging'],
    ['GET', '/key?versionId=1'],
    ['PATCH', '/key'],
  ] as const) {
    const answer = await fetch(served.url + path, { method });
    expect([path, answer.status, xmlText(await answer.text(), 'Code')]).toEqual([
      path,
      501,
      'NotImplemented',
    ]);
  }
});
