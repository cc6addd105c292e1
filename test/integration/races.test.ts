import { GetObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { FaultRule } from '../../local/types.ts';
import {
  type Chunk,
  type CreatedUpload,
  chunksOf,
  createBody,
  createPresigned,
  describeUpload,
  inParallel,
  objectAt,
  type ProxyOptions,
  partBytes,
  postChunk,
  putPart,
  reportParts,
  type SourceFile,
  sendChunks,
  sendPresigned,
  sha256,
  sourceFile,
  untilOk,
  untilStatus,
} from '../support/clients.ts';
import { lastCall } from '../support/deaths.ts';
import { conform } from '../support/openapi.ts';
import { expectCompleted, expectEveryItemToHaveTtl, expectNoLeftovers } from '../support/outcome.ts';
import { ABANDONED, expectNothingInS3, watchRounds } from '../support/passing-time.ts';
import { proxyIdOf } from '../support/played-uploads.ts';
import { TestStack, until } from '../support/stack.ts';

/**
 * Many requests at once. Each race is run RACES times, with delays on the calls to AWS that shake the order anew:
 * those of run n follow from the seed n, so that a lost race can be run again as it was.
 */
const RACES = Number(process.env.RACES ?? 5);

const KiB = 1024;
const MiB = 1024 * KiB;
const PART = 5 * MiB;

const seeds = Array.from({ length: RACES }, (_, index) => index + 1);
const fifty = Array.from({ length: 50 }, (_, index) => index);

/** Every second call of these services is held up, some for long enough to be overtaken by whole requests. */
const shaking = (seed: number): FaultRule[] =>
  (['dynamodb', 's3', 'states'] as const).flatMap((service, index) =>
    [5, 40].map((ms, slow) => ({
      ...{ service, times: 0, seed: seed * 100 + index * 10 + slow },
      probability: slow ? 0.1 : 0.4,
      action: { kind: 'delay' as const, ms },
    })),
  );

describe.each([
  ['ETags that are MD5s', {}],
  ['opaque ETags, as under SSE-KMS', { kmsKey: 'new' }],
])('with %s', (_, context) => {
  const stack = new TestStack({ context: { partSize: PART, ...context } });
  beforeAll(async () => {
    await stack.start();
  }, 120_000);
  afterAll(async () => {
    await stack.setFaults([]);
    await watchRounds(stack, 2);
    expect(await stack.multipartUploads()).toEqual([]);
    expect(await stack.objects('staging/')).toEqual([]);
    await expectEveryItemToHaveTtl(stack);
    await stack.stop();
  }, 60_000);

  /** A race: its requests all at once, under delays. */
  async function race<T>(seed: number, starters: readonly (() => Promise<T>)[]): Promise<T[]> {
    await stack.setFaults(shaking(seed));
    const results = await Promise.allSettled(starters.map(async (start) => await start()));
    await stack.setFaults([]);
    return results.map((result) => {
      if (result.status === 'rejected') throw result.reason;
      return result.value;
    });
  }

  const post = async (file: SourceFile, chunk: Chunk, options: ProxyOptions) =>
    (await conform('POST', '/upload', await postChunk(stack, file, chunk, options))) as {
      uploadId: string;
      status: string;
      receivedBytes: number;
    };
  const patientPost = async (file: SourceFile, chunk: Chunk, options: ProxyOptions) =>
    await untilOk('chunk', async () => await post(file, chunk, options));
  const bytesAt = async (Key: string): Promise<Uint8Array> => {
    const { Body } = await stack.s3.send(new GetObjectCommand({ Bucket: stack.bucketName, Key }));
    return (await Body?.transformToByteArray()) ?? new Uint8Array();
  };
  const only = <T>(values: readonly T[]): T => {
    const [value, ...others] = new Set(values);
    expect(others).toEqual([]);
    return value as T;
  };
  /** Multipart uploads that were begun, and those of them that were aborted, since a call. */
  const multipartUploads = async (from: number): Promise<{ begun: number; aborted: number }> => {
    const calls = (await stack.calls(from)).filter(({ status }) => status < 300);
    const count = (name: string): number => calls.filter(({ operation }) => operation === name).length;
    return { begun: count('CreateMultipartUpload'), aborted: count('AbortMultipartUpload') };
  };
  const attemptsOf = async (uploadId: string): Promise<number> => {
    const keys = (await stack.items()).filter(({ pk }) => String(pk).endsWith(uploadId));
    return new Set(keys.map(({ sk, attempt }) => String(attempt ?? String(sk).split('#')[0]))).size;
  };

  test.each(seeds)(
    'fifty first chunks at once make one upload (%d)',
    async (seed) => {
      const options = { chunkSize: 64 * KiB, method: 'octet' as const, forceChunkSize: true };
      // The last chunk is a part as it stands, so that each of its requests needs the multipart upload at once.
      const file = sourceFile(16 * MiB + 1000);
      const chunks = chunksOf(file.bytes.byteLength, options);
      const [first, last] = [chunks[0], chunks.at(-1)];
      if (!first || !last) throw new Error('unexpected geometry');
      const from = await lastCall(stack);
      const answers = await race(
        seed,
        fifty.map((n) => async () => await patientPost(file, n % 2 ? first : last, options)),
      );
      const uploadId = only(answers.map((answer) => answer.uploadId));
      expect(uploadId).toBe(proxyIdOf(file, options.chunkSize));
      expect(await attemptsOf(uploadId)).toBe(1);
      const { begun, aborted } = await multipartUploads(from);
      expect({ begun, aborted }).toEqual({ begun, aborted: begun - 1 });
      expect(await stack.multipartUploads(`uploads/anonymous/${uploadId}/`)).toHaveLength(1);
      expect(await describeUpload(stack, uploadId)).toMatchObject({
        status: 'uploading',
        receivedParts: [
          [1, 1],
          [257, 257],
        ],
        receivedBytes: 64 * KiB + 1000,
      });
      expect((await stack.api('DELETE', `/uploads/${uploadId}`)).status).toBe(204);
    },
    60_000,
  );

  test.each(seeds)(
    'fifty creations at once make one upload (%d)',
    async (seed) => {
      const file = sourceFile(2 * PART);
      const from = await lastCall(stack);
      const answers = await race(
        seed,
        fifty.map(() => async () => await createPresigned(stack, file)),
      );
      const uploadId = only(answers.map((answer) => answer.uploadId));
      expect(only(answers.map(({ key }) => key))).toContain(uploadId);
      // Whoever's URL a client takes, it leads to the same multipart upload.
      only(
        answers.flatMap(({ partUrls }) =>
          partUrls.map(({ url }) => new URL(url).searchParams.get('uploadId')),
        ),
      );
      expect(await attemptsOf(uploadId)).toBe(1);
      const { begun, aborted } = await multipartUploads(from);
      expect(aborted).toBe(begun - 1);
      expect(await stack.multipartUploads(`uploads/anonymous/${uploadId}/`)).toHaveLength(1);
      expect((await stack.api('DELETE', `/uploads/${uploadId}`)).status).toBe(204);
    },
    60_000,
  );

  test.each(seeds)(
    'fifty last chunks at once start one execution (%d)',
    async (seed) => {
      const options = { chunkSize: 64 * KiB, method: 'octet' as const };
      // Every other time the last chunk is the whole file, and so a part as it stands.
      const file = sourceFile(seed % 2 ? 1000 : 17 * 64 * KiB + 1);
      const chunks = chunksOf(file.bytes.byteLength, options);
      const last = chunks.at(-1);
      if (!last) throw new Error('unexpected geometry');
      if (chunks.length > 1) await sendChunks(stack, file, chunks.slice(0, -1), options);
      const answers = await race(
        seed,
        fifty.map(() => async () => await patientPost(file, last, options)),
      );
      const uploadId = only(answers.map((answer) => answer.uploadId));
      for (const { status, receivedBytes } of answers) {
        expect(['completing', 'completed']).toContain(status);
        expect(receivedBytes).toBe(file.bytes.byteLength);
      }
      await expectCompleted(stack, uploadId, file);
      expect(await stack.executions(uploadId)).toHaveLength(1);
    },
    60_000,
  );

  test.each(seeds)(
    'the same chunk ten times at once counts once (%d)',
    async (seed) => {
      const options = { chunkSize: 64 * KiB, method: 'octet' as const };
      const file = sourceFile(40 * 64 * KiB);
      const chunks = chunksOf(file.bytes.byteLength, options).slice(0, 5);
      await race(
        seed,
        chunks.flatMap((chunk) =>
          Array.from({ length: 10 }, () => async () => await patientPost(file, chunk, options)),
        ),
      );
      const uploadId = proxyIdOf(file, options.chunkSize);
      expect(await describeUpload(stack, uploadId)).toMatchObject({
        receivedParts: [[1, 5]],
        receivedBytes: 5 * 64 * KiB,
      });
      const pages = (await stack.items()).filter(
        ({ pk, sk }) => String(pk).endsWith(uploadId) && sk !== 'upload',
      );
      expect(pages).toEqual([expect.objectContaining({ bytes: 5 * 64 * KiB })]);
      expect((await stack.api('DELETE', `/uploads/${uploadId}`)).status).toBe(204);
    },
    60_000,
  );

  test.each(seeds)(
    'a part put twice with different bytes is one of them, whole (%d)',
    async (seed) => {
      const file = sourceFile(PART + 1000);
      const other = { ...file, bytes: sourceFile(PART + 1000).bytes };
      const upload = await createPresigned(stack, file);
      await race(
        seed,
        [1, 2].flatMap((partNumber) =>
          [file, other, file].map((version) => async () => {
            const url = upload.partUrls[partNumber - 1]?.url ?? '';
            const etag = await putPart(url, partBytes(version, PART, partNumber)).catch((error) => {
              // The upload may be complete by now: S3 takes no more parts then.
              if (error.status !== 404) throw error;
            });
            // The upload may be open no more, and need no report.
            if (etag) await reportParts(stack, upload.uploadId, [{ partNumber, etag }]);
          }),
        ),
      );
      const done = await untilStatus(stack, upload.uploadId, 'completed');
      const { sha256: hash, size } = await objectAt(stack, String(done.key));
      const versions = [file, other].flatMap((first) =>
        [file, other].map((second) =>
          sha256(Buffer.concat([partBytes(first, PART, 1), partBytes(second, PART, 2)])),
        ),
      );
      expect(versions).toContain(hash);
      expect(size).toBe(PART + 1000);
      const events = await stack.events(upload.uploadId);
      for (const { detail } of events) expect(detail).toMatchObject({ size, etag: done.etag, key: done.key });
      await expectNoLeftovers(stack, upload.uploadId);
    },
    60_000,
  );

  test.each(seeds)(
    'a chunk sent with different bytes is one of them, whole (%d)',
    async (seed) => {
      const options = { chunkSize: 64 * KiB, method: 'octet' as const };
      const size = 3 * 64 * KiB;
      const file = sourceFile(size);
      const other = { ...file, bytes: sourceFile(size).bytes };
      const chunks = chunksOf(size, options);
      await race(
        seed,
        chunks.flatMap((chunk) =>
          [file, other, file].map((version) => async () => await patientPost(version, chunk, options)),
        ),
      );
      const uploadId = proxyIdOf(file, options.chunkSize);
      const done = await untilStatus(stack, uploadId, 'completed');
      const bytes = await bytesAt(String(done.key));
      expect(bytes.byteLength).toBe(size);
      for (const { start, end } of chunks) {
        const hash = sha256(bytes.subarray(start, end));
        expect([file, other].map((version) => sha256(version.bytes.subarray(start, end)))).toContain(hash);
      }
    },
    60_000,
  );

  /** Aborted with nothing left, or completed with object and event: never between. */
  async function expectOneEnd(
    uploadId: string,
    file: SourceFile,
    aborts: readonly number[],
  ): Promise<string> {
    await watchRounds(stack, 1);
    const { status } = await untilStatus(stack, uploadId, 'completed', 'aborted');
    if (status === 'completed') {
      expect(aborts).not.toContain(204);
      await expectCompleted(stack, uploadId, file);
    } else {
      expect(aborts).toContain(204);
      await watchRounds(stack, 1);
      await expectNothingInS3(stack, [uploadId]);
      expect(await stack.events(uploadId)).toEqual([]);
      expect(await stack.executions(uploadId)).toEqual([]);
    }
    return String(status);
  }
  const abort = async (uploadId: string, after = 0): Promise<number> => {
    await new Promise((resolve) => setTimeout(resolve, after));
    return await untilOk('abort', async () => {
      const response = await stack.api('DELETE', `/uploads/${uploadId}`);
      try {
        await conform('DELETE', '/uploads/{uploadId}', response);
      } catch (error) {
        const { status } = error as { status?: number };
        if (status !== 409) throw error;
      }
      return response.status;
    });
  };

  test.each(seeds)(
    'an abort against the last parts, the start and the completion ends in one of two ways (%d)',
    async (seed) => {
      const ends: string[] = [];
      for (const after of [0, 30, 80, 'completing'] as const) {
        const file = sourceFile(PART + 100);
        const upload = await createPresigned(stack, file);
        const { uploadId } = upload;
        const parts: { partNumber: number; etag: string }[] = [];
        for (const { partNumber, url } of upload.partUrls)
          parts.push({ partNumber, etag: await putPart(url, partBytes(file, PART, partNumber)) });
        const aborts: number[] = [];
        const reports = parts.map((part) => async () => {
          const response = await stack.api('POST', `/uploads/${uploadId}/parts`, { parts: [part] });
          // After the abort there is nothing to report to: 409, or 503 and then 409.
          expect([200, 409, 503]).toContain(response.status);
        });
        if (after === 'completing') {
          await race(seed, reports);
          aborts.push(await abort(uploadId));
        } else {
          await race<unknown>(seed, [...reports, async () => aborts.push(await abort(uploadId, after))]);
        }
        ends.push(await expectOneEnd(uploadId, file, aborts));
      }
      expect(ends.at(-1)).toBe('completed');
    },
    120_000,
  );

  test.each(seeds)(
    'an abort against the last chunk ends in one of two ways, and the file can be sent again (%d)',
    async (seed) => {
      const options = { chunkSize: 64 * KiB, method: 'octet' as const, forceChunkSize: true };
      for (const after of [0, 10, 40]) {
        const file = sourceFile(2 * 64 * KiB);
        const chunks = chunksOf(file.bytes.byteLength, options);
        const uploadId = proxyIdOf(file, options.chunkSize);
        await sendChunks(stack, file, chunks.slice(0, 1), options);
        const aborts: number[] = [];
        await race<unknown>(seed, [
          async () => {
            const { status } = await postChunk(stack, file, chunks[1] as Chunk, options);
            expect([200, 503]).toContain(status);
          },
          async () => aborts.push(await abort(uploadId, after)),
        ]);
        const upload = await describeUpload(stack, uploadId);
        if (upload.status === 'uploading') {
          // The chunk came after the abort, and began the upload anew.
          expect(upload.receivedParts).toEqual([[2, 2]]);
          aborts.push(await abort(uploadId));
        }
        if ((await expectOneEnd(uploadId, file, aborts)) === 'aborted') {
          await sendChunks(stack, file, chunks, options);
          await expectCompleted(stack, uploadId, file);
        }
      }
    },
    120_000,
  );

  test.each(seeds)(
    'what comes late for an expired attempt does not mix with the next (%d)',
    async (seed) => {
      const options = { chunkSize: 64 * KiB, method: 'octet' as const };
      const [size, total] = [4 * 64 * KiB, PART + 1000];
      const versions = [0, 1].map(() => [sourceFile(size).bytes, sourceFile(total).bytes] as const);
      const [proxied, direct] = [sourceFile(size), sourceFile(total)];
      const [old, anew] = versions.map(([chunked, parted]) => ({
        proxied: { ...proxied, bytes: chunked },
        direct: { ...direct, bytes: parted },
      }));
      if (!old || !anew) throw new Error('There are two versions.');
      const chunks = chunksOf(size, options);
      const proxyId = proxyIdOf(proxied, options.chunkSize);
      await sendChunks(stack, old.proxied, chunks.slice(0, 3), options);
      const first = await createPresigned(stack, old.direct);
      const { uploadId } = first;
      const etag = await putPart(first.partUrls[0]?.url ?? '', partBytes(old.direct, PART, 1));
      await reportParts(stack, uploadId, [{ partNumber: 1, etag }]);

      // The last chunk and the last part are under way when the time is over, and arrive while the next attempt runs.
      const from = await lastCall(stack);
      const late = (input: string, operation: string, caller: string): FaultRule => ({
        ...{ caller, operation, input },
        action: { kind: 'delay', ms: 200 * (1 + (seed % 4)) },
      });
      await stack.setFaults([
        late(proxyId, seed % 2 ? 'PutObject' : 'UpdateItem', 'receive-chunk'),
        late(uploadId, 'UploadPart', 'client'),
      ]);
      const lateOnes = [
        postChunk(stack, old.proxied, chunks[3] as Chunk, options),
        putPart(first.partUrls[1]?.url ?? '', partBytes(old.direct, PART, 2)).catch(
          (error: { status?: number }) => expect(error.status).toBe(404),
        ),
      ];
      await until(
        'the late ones to be under way',
        10_000,
        async () => (await stack.faults()).every(({ struck }) => struck === 1) || undefined,
      );
      await stack.advance(ABANDONED);
      await Promise.all([
        sendPresigned(stack, anew.direct),
        stack.watch(),
        sendChunks(stack, anew.proxied, chunks, options),
        ...lateOnes,
      ]);
      await stack.setFaults([]);
      expect((await stack.calls(from)).filter(({ fault }) => fault !== undefined)).toHaveLength(2);
      await expectOneOf(uploadId, [old.direct, anew.direct]);
      await expectOneOf(proxyId, [old.proxied, anew.proxied]);
    },
    60_000,
  );

  /** Completed, as one of the versions from the first byte to the last. */
  async function expectOneOf(uploadId: string, files: readonly SourceFile[]): Promise<void> {
    const { key } = await untilStatus(stack, uploadId, 'completed');
    const hash = sha256(await bytesAt(String(key)));
    const version = files.find(({ bytes }) => sha256(bytes) === hash);
    if (!version) throw new Error(`${uploadId} is none of its versions.`);
    await expectCompleted(stack, uploadId, version, ['Upload Expired']);
  }

  test.each(seeds)(
    'a late duplicate during and after the completion does no harm (%d)',
    async (seed) => {
      const options = { chunkSize: 64 * KiB, method: 'octet' as const };
      const file = sourceFile(seed % 2 ? 500 : 18 * 64 * KiB + 7);
      const chunks = chunksOf(file.bytes.byteLength, options);
      const uploadId = proxyIdOf(file, options.chunkSize);
      await race<unknown>(seed, [
        async () => await sendChunks(stack, file, chunks, options),
        async () => {
          await inParallel([...chunks, ...chunks, ...chunks], 6, async (chunk) => {
            await patientPost(file, chunk, options);
          });
        },
      ]);
      await expectCompleted(stack, uploadId, file);
      const again = await sendChunks(stack, file, chunks, options);
      expect(again).toMatchObject({ uploadId, status: 'completed' });
      await expectCompleted(stack, uploadId, file);
      expect(await stack.executions(uploadId)).toHaveLength(1);
      await watchRounds(stack, 2);
      await expectNoLeftovers(stack, uploadId);
    },
    60_000,
  );

  test('a last part that is replaced each time that it is being completed comes out whole', async () => {
    const options = { chunkSize: 64 * KiB, method: 'octet' as const };
    const file = sourceFile(1000);
    const versions = [file, ...[1, 2].map(() => ({ ...file, bytes: sourceFile(1000).bytes }))];
    const [chunk] = chunksOf(1000, options);
    if (!chunk) throw new Error('There should be a chunk.');
    const uploadId = proxyIdOf(file, options.chunkSize);
    const held = (caller: string, operation: string, skip: number, ms: number): FaultRule => ({
      ...{ caller, operation, skip, input: uploadId },
      action: { kind: 'delay', ms },
    });
    // Three requests begin before the upload is whole. The first makes it so; each of the others stores its bytes after
    // S3 was asked what parts there are, and before it is told to join those.
    await stack.setFaults([
      held('receive-chunk', 'UploadPart', 0, 800),
      held('receive-chunk', 'UploadPart', 1, 3500),
      held('receive-chunk', 'UploadPart', 2, 8000),
      held('complete-upload', 'CompleteMultipartUpload', 0, 4000),
      held('complete-upload', 'CompleteMultipartUpload', 1, 4000),
    ]);
    const from = await lastCall(stack);
    await Promise.all(versions.map(async (version) => await patientPost(version, chunk, options)));
    const { key } = await untilStatus(stack, uploadId, 'completed', 'failed');
    const refused = (await stack.calls(from)).filter(({ errorCode }) => errorCode === 'InvalidPart');
    expect(refused).toHaveLength(2);
    expect(versions.map(({ bytes }) => sha256(bytes))).toContain(sha256(await bytesAt(String(key))));
    expect((await stack.executions(uploadId)).map(({ status }) => status)).toEqual(['SUCCEEDED']);
    await stack.setFaults([]);
  }, 60_000);

  test('a creation tells a resumed client of what another one sent', async () => {
    const file = sourceFile(PART + 1);
    const upload = await createPresigned(stack, file);
    const etag = await putPart(upload.partUrls[0]?.url ?? '', partBytes(file, PART, 1));
    await reportParts(stack, upload.uploadId, [{ partNumber: 1, etag }]);
    const answers = await race(
      1,
      fifty.map(() => async () => {
        const response = await stack.api('POST', '/uploads', createBody(file));
        return (await conform('POST', '/uploads', response)) as CreatedUpload;
      }),
    );
    for (const { receivedParts } of answers) expect(receivedParts).toEqual([[1, 1]]);
    expect((await stack.api('DELETE', `/uploads/${upload.uploadId}`)).status).toBe(204);
  }, 30_000);
});
