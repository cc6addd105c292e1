import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  chunksOf,
  createPresigned,
  describeUpload,
  partBytes,
  postChunk,
  putPart,
  reportParts,
  sendChunks,
  sendPresigned,
  sourceFile,
  testChunk,
  untilStatus,
} from '../support/clients.ts';
import { ApiError, conform } from '../support/openapi.ts';
import { expectCompleted, expectEveryItemToHaveTtl, expectNoLeftovers } from '../support/outcome.ts';
import { watchRounds } from '../support/passing-time.ts';
import { TestStack } from '../support/stack.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

const stack = new TestStack({ context: { partSize: 5 * MiB } });
beforeAll(async () => {
  await stack.start();
}, 120_000);
afterAll(async () => {
  await expectEveryItemToHaveTtl(stack);
  await stack.stop();
}, 60_000);

const shuffled = <T>(items: readonly T[]): T[] =>
  items
    .map((item) => [Math.random(), item] as const)
    .sort(([a], [b]) => a - b)
    .map(([, item]) => item);

describe('proxy mode', () => {
  const chunkSize = 64 * KiB;
  test.each([
    ['one byte', 1, {}],
    ['one chunk', chunkSize, {}],
    ['one byte more than a chunk', chunkSize + 1, {}],
    ['one byte less than two chunks', 2 * chunkSize - 1, {}],
    ['exactly one page of chunks', 16 * chunkSize, {}],
    ['a page and a byte', 16 * chunkSize + 1, {}],
    ['a page and a byte, by force', 16 * chunkSize + 1, { forceChunkSize: true }],
    ['as octets', 3 * chunkSize + 5, { method: 'octet' as const }],
    ['as octets, by force', 3 * chunkSize + 5, { method: 'octet' as const, forceChunkSize: true }],
    ['one assembled part exactly', 16 * MiB, { chunkSize: MiB }],
    ['a part and a byte, by force', 16 * MiB + 1, { chunkSize: MiB, forceChunkSize: true }],
    ['a part and a byte', 16 * MiB + 1, { chunkSize: MiB }],
    ['a last part of one chunk', 17 * MiB, { chunkSize: MiB }],
    ['three parts of uneven chunks', 34 * MiB + 12345, { chunkSize: 4.25 * MiB, forceChunkSize: true }],
  ])(
    'a file of %s comes out whole',
    async (_, size, options) => {
      const file = sourceFile(size);
      const with_ = { chunkSize, ...options };
      const progress = await sendChunks(stack, file, shuffled(chunksOf(size, with_)), {
        ...with_,
        parallel: 4,
      });
      await expectCompleted(stack, progress.uploadId, file);
      await expectNoLeftovers(stack, progress.uploadId);
    },
    60_000,
  );

  test('chunks sent twice, at once and again after completion, count once and are 200', async () => {
    const file = sourceFile(20 * chunkSize + 7);
    const options = { chunkSize, parallel: 8 };
    const chunks = chunksOf(file.bytes.byteLength, options);
    const { uploadId } = await sendChunks(stack, file, [...chunks, ...chunks, ...shuffled(chunks)], options);
    await expectCompleted(stack, uploadId, file);
    const again = await sendChunks(stack, file, chunks, options);
    expect(again).toMatchObject({ uploadId, status: 'completed', receivedBytes: file.bytes.byteLength });
    await expectCompleted(stack, uploadId, file);
    // One that was under way at the end may have been staged behind the completion's back: the watchdog sweeps.
    await watchRounds(stack, 2);
    await expectNoLeftovers(stack, uploadId);
  }, 60_000);

  test('test requests find what is there and nothing else, with both ways of chunking', async () => {
    const file = sourceFile(5 * chunkSize + 9);
    const floor = { chunkSize };
    const force = { chunkSize, forceChunkSize: true };
    const [first, , , , tail] = chunksOf(file.bytes.byteLength, floor);
    const last = chunksOf(file.bytes.byteLength, force)[5];
    if (!first || !tail || !last) throw new Error('unexpected geometry');
    expect(await testChunk(stack, file, first, floor)).toBe(204);
    await sendChunks(stack, file, [first], floor);
    expect(await testChunk(stack, file, first, floor)).toBe(200);
    expect(await testChunk(stack, file, tail, floor)).toBe(204);
    await sendChunks(stack, file, [last], force);
    expect(await testChunk(stack, file, last, force)).toBe(200);
    expect(await testChunk(stack, file, tail, floor)).toBe(204);
  });

  test('a session may go on with the other way of chunking', async () => {
    const file = sourceFile(5 * chunkSize + 9);
    const force = { chunkSize, forceChunkSize: true };
    await sendChunks(stack, file, chunksOf(file.bytes.byteLength, force).slice(3), force);
    const { uploadId } = await sendChunks(
      stack,
      file,
      chunksOf(file.bytes.byteLength, { chunkSize }).slice(0, 5),
      {
        chunkSize,
      },
    );
    await expectCompleted(stack, uploadId, file);
  });

  test('the status tells what is there, for a resume in one request', async () => {
    const file = sourceFile(40 * chunkSize);
    const options = { chunkSize };
    const chunks = chunksOf(file.bytes.byteLength, options);
    const { uploadId } = await sendChunks(
      stack,
      file,
      [...chunks.slice(0, 18), ...chunks.slice(30, 31)],
      options,
    );
    expect(await describeUpload(stack, uploadId)).toMatchObject({
      status: 'uploading',
      mode: 'proxy',
      receivedParts: [
        [1, 18],
        [31, 31],
      ],
      receivedBytes: 19 * chunkSize,
      partSize: chunkSize,
      partCount: 40,
    });
  });

  test('an empty file is refused with a sentence, at a status where Resumable.js stops', async () => {
    const file = sourceFile(0);
    const response = await postChunk(stack, file, { number: 1, start: 0, end: 0 }, { chunkSize });
    await expect(conform('POST', '/upload', response)).rejects.toMatchObject({
      status: 400,
      type: 'urn:resumable-uploads:problem:empty-file',
    });
  });

  test('methods other than GET and POST are 405', async () => {
    for (const method of ['PUT', 'PATCH', 'DELETE']) {
      const response = await stack.api(method, '/upload');
      expect(response.headers.get('allow')).toBe('GET, POST');
      await expect(conform(method, '/upload', response)).rejects.toMatchObject({ status: 405 });
    }
  });

  test('a body over the limits gets the answers of Lambda and of API Gateway', async () => {
    const big = { chunkSize: 20 * MiB, method: 'octet' as const };
    for (const [size, message] of [
      [5 * MiB, 'Request Too Long'],
      [11 * MiB, 'HTTP content length exceeded 10485760 bytes.'],
    ] as const) {
      const file = sourceFile(size);
      const response = await postChunk(stack, file, { number: 1, start: 0, end: size }, big);
      expect(response.status).toBe(413);
      expect(await response.json()).toEqual({ message });
    }
  });
});

describe('presigned mode', () => {
  const part = 5 * MiB;
  test.each([
    ['one byte', 1],
    ['one byte less than a part', part - 1],
    ['exactly a part', part],
    ['a part and a byte', part + 1],
    ['exactly three parts', 3 * part],
    ['four parts and a bit', 4 * part + 12345],
  ])(
    'a file of %s comes out whole',
    async (_, size) => {
      const file = sourceFile(size);
      const { uploadId, partCount, partUrls } = await sendPresigned(stack, file);
      expect(partCount).toBe(Math.ceil(size / part));
      expect(partUrls).toHaveLength(partCount);
      await expectCompleted(stack, uploadId, file);
      await expectNoLeftovers(stack, uploadId);
    },
    60_000,
  );

  test('a resume is told what is there, and sends the rest', async () => {
    const file = sourceFile(6 * part + 1);
    const upload = await createPresigned(stack, file);
    const some = upload.partUrls.filter(({ partNumber }) => [1, 2, 5].includes(partNumber));
    const parts: { partNumber: number; etag: string }[] = [];
    for (const { partNumber, url } of some)
      parts.push({ partNumber, etag: await putPart(url, partBytes(file, part, partNumber)) });
    await reportParts(stack, upload.uploadId, parts);

    const response = await stack.api('POST', '/uploads', {
      fileName: file.name,
      size: file.bytes.byteLength,
      contentType: file.type,
      identifier: file.identifier,
    });
    expect(response.status).toBe(200);
    const again = await conform('POST', '/uploads', response);
    expect(again).toMatchObject({
      uploadId: upload.uploadId,
      receivedParts: [
        [1, 2],
        [5, 5],
      ],
      receivedBytes: 3 * part,
    });
    await stack.clearCalls();
    await sendPresigned(stack, file);
    const puts = (await stack.calls()).filter(
      ({ operation, presigned }) => presigned && operation === 'UploadPart',
    );
    expect(puts).toHaveLength(4);
    await expectCompleted(stack, upload.uploadId, file);
  });

  test('metadata comes back in the event', async () => {
    const file = sourceFile(10);
    const metadata = { title: 'Größe “x”', album: '7' };
    const { uploadId } = await sendPresigned(stack, file, { extra: { metadata } });
    await expectCompleted(stack, uploadId, file);
    const [event] = await stack.events(uploadId);
    expect(event?.detail.metadata).toEqual(metadata);
  });

  test('a URL stores its own part and nothing else', async () => {
    const file = sourceFile(part + 100);
    const { partUrls } = await createPresigned(stack, file);
    const [first, second] = partUrls;
    if (!first || !second) throw new Error('There should be two URLs.');
    await expect(putPart(first.url, file.bytes.subarray(0, 100))).rejects.toMatchObject({ status: 403 });
    await expect(
      putPart(first.url.replace('partNumber=1', 'partNumber=2'), partBytes(file, part, 1)),
    ).rejects.toMatchObject({ status: 403 });
    await expect(putPart(`${second.url}&x=1`, partBytes(file, part, 2))).rejects.toMatchObject({
      status: 403,
    });
    expect(await putPart(second.url, partBytes(file, part, 2))).toMatch(/^"[0-9a-f]{32}"$/);
    expect(first.url).not.toContain('checksum');
  });

  test('wrong ETags are mended from what S3 has, and missing parts asked for again', async () => {
    const file = sourceFile(3 * part);
    const upload = await createPresigned(stack, file);
    const etags: string[] = [];
    for (const { partNumber, url } of upload.partUrls.slice(0, 2))
      etags.push(await putPart(url, partBytes(file, part, partNumber)));
    await reportParts(stack, upload.uploadId, [
      { partNumber: 1, etag: '0'.repeat(32) },
      { partNumber: 2, etag: etags[1] ?? '' },
      { partNumber: 3, etag: 'f'.repeat(32) },
    ]);
    const open = await untilStatus(stack, upload.uploadId, 'uploading');
    expect(open.receivedParts).toEqual([[1, 2]]);
    await sendPresigned(stack, file);
    await expectCompleted(stack, upload.uploadId, file);
    expect((await stack.executions(upload.uploadId)).map(({ status }) => status).sort()).toEqual([
      'FAILED',
      'SUCCEEDED',
    ]);
    expect((await stack.events(upload.uploadId)).map((event) => event['detail-type'])).toEqual([
      'Upload Completed',
    ]);
  });

  test('an aborted upload leaves nothing, and its file can be begun anew', async () => {
    const file = sourceFile(2 * part);
    const upload = await createPresigned(stack, file);
    const [first] = upload.partUrls;
    if (!first) throw new Error('There should be a URL.');
    await reportParts(stack, upload.uploadId, [
      { partNumber: 1, etag: await putPart(first.url, partBytes(file, part, 1)) },
    ]);
    for (let times = 0; times < 2; times++) {
      const response = await stack.api('DELETE', `/uploads/${upload.uploadId}`);
      expect(response.status).toBe(204);
    }
    await expectNoLeftovers(stack, upload.uploadId);
    await expect(putPart(first.url, partBytes(file, part, 1))).rejects.toMatchObject({ status: 404 });
    expect(await describeUpload(stack, upload.uploadId)).toMatchObject({
      status: 'aborted',
      receivedBytes: 0,
    });

    const anew = await sendPresigned(stack, file);
    expect(anew.uploadId).toBe(upload.uploadId);
    expect(anew.key).not.toBe(upload.key);
    await expectCompleted(stack, anew.uploadId, file);
    const late = await stack.api('DELETE', `/uploads/${upload.uploadId}`);
    await expect(conform('DELETE', '/uploads/{uploadId}', late)).rejects.toMatchObject({ status: 409 });
  });
});

describe('answers to what cannot be', () => {
  test.each([
    ['POST', '/uploads', {}, 400],
    ['POST', '/uploads', { fileName: 'a.mp4', size: -1 }, 400],
    ['POST', '/uploads', { fileName: 'a.mp4', size: 1.5 }, 400],
    ['POST', '/uploads', { fileName: 'a.mp4', size: '5' }, 400],
    ['POST', '/uploads', { fileName: '', size: 5 }, 400],
    ['POST', '/uploads', { fileName: 'a.mp4', size: 5, metadata: { a: 1 } }, 400],
    ['POST', '/uploads', { fileName: 'a.mp4', size: 5, contentType: 'nonsense' }, 415],
    ['POST', '/uploads', { fileName: 'a.mp4', size: Number.MAX_SAFE_INTEGER }, 400],
    ['GET', '/uploads/{uploadId}', undefined, 404],
    ['DELETE', '/uploads/{uploadId}', undefined, 404],
    ['POST', '/uploads/{uploadId}/parts', { parts: [{ partNumber: 1, etag: 'x' }] }, 404],
    ['POST', '/uploads/{uploadId}/part-urls', { partNumbers: [1] }, 404],
  ])('%s %s %j is %d with a problem document', async (method, path, body, status) => {
    const response = await stack.api(method, path.replace('{uploadId}', '0'.repeat(32)), body);
    await expect(conform(method, path, response)).rejects.toBeInstanceOf(ApiError);
    expect(response.status).toBe(status);
  });

  test('parts that the upload does not have are refused, and ETags that are none', async () => {
    const file = sourceFile(2 * 5 * MiB);
    const { uploadId } = await createPresigned(stack, file);
    for (const parts of [
      [{ partNumber: 3, etag: 'a'.repeat(32) }],
      [{ partNumber: 0, etag: 'a'.repeat(32) }],
      [{ partNumber: 1, etag: '<x>' }],
      [{ partNumber: 1 }],
      [null],
      [],
      'x',
    ]) {
      const response = await stack.api('POST', `/uploads/${uploadId}/parts`, { parts });
      await expect(conform('POST', '/uploads/{uploadId}/parts', response)).rejects.toMatchObject({
        status: 400,
      });
    }
    for (const partNumbers of [[3], [0], [1.5], ['1'], Array.from({ length: 101 }, () => 1)]) {
      const response = await stack.api('POST', `/uploads/${uploadId}/part-urls`, { partNumbers });
      await expect(conform('POST', '/uploads/{uploadId}/part-urls', response)).rejects.toMatchObject({
        status: 400,
      });
    }
  });
});
