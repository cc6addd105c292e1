import { createHash } from 'node:crypto';
import { GetObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { FaultRule } from '../../local/types.ts';
import { createRandom } from '../soak/random.ts';
import {
  type Chunk,
  type CreatedUpload,
  chunksOf,
  createBody,
  createPresigned,
  describeUpload,
  inParallel,
  isPassing,
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
import { ApiError, conform } from '../support/openapi.ts';
import { expectCompleted, expectEveryItemToHaveTtl, expectNoLeftovers } from '../support/outcome.ts';
import { ABANDONED, expectNothingInS3, watchRounds } from '../support/passing-time.ts';
import { proxyIdOf } from '../support/played-uploads.ts';
import { TestStack, until } from '../support/stack.ts';

/**
 * Many requests at once. Each race is run RACES times (6; 2 on real engines), with delays on the calls to AWS that shake the order anew:
 * those of run n follow from the seed n, so that a lost race can be run again as it was.
 */
const RACES = Number(process.env.RACES ?? (process.env.ENGINES === 'real' ? 2 : 6));

const KiB = 1024;
const MiB = 1024 * KiB;
const PART = 5 * MiB;

const seeds = Array.from({ length: RACES }, (_, index) => index + 1);
const fifty = Array.from({ length: 50 }, (_, index) => index);

/** Every second call of these services is held up: most by little, some for as long as whole requests take. */
function shaking(seed: number): FaultRule[] {
  const random = createRandom(seed);
  const delays = [
    { probability: 0.4, most: 10 },
    { probability: 0.1, most: 80 },
    ...Array.from({ length: 3 }, () => ({ probability: 0.015, most: 500 })),
  ];
  return (['dynamodb', 's3', 'states'] as const).flatMap((service) =>
    delays.map(({ probability, most }) => ({
      ...{ service, times: 0, seed: random.whole(1, 2 ** 31), probability },
      action: { kind: 'delay' as const, ms: random.whole(0, most) },
    })),
  );
}

/** A call that is held up for so long that others, which a test makes meanwhile, certainly come first. */
const held = (input: string, caller: string, operation: string, ms: number, skip = 0): FaultRule => ({
  ...{ caller, operation, input, skip },
  action: { kind: 'delay', ms },
});

const MD5 = ['ETags that are MD5s', {}] as const;
/** Of our own engine only: the others have no keys to encrypt under. */
const OPAQUE = ['opaque ETags, as under SSE-KMS', { kmsKey: 'new' }] as const;
const groups = process.env.ENGINES === 'real' ? [MD5] : [MD5, OPAQUE];

describe.each(groups)('with %s', (_, context) => {
  const stack = new TestStack({ context: { partSize: PART, ...context } });
  beforeAll(async () => {
    await stack.start();
  }, 120_000);
  afterEach(async () => {
    await stack.setFaults([]);
  });
  afterAll(async () => {
    try {
      await watchRounds(stack, 2);
      expect(await stack.multipartUploads()).toEqual([]);
      expect(await stack.objects('staging/')).toEqual([]);
      await expectEveryItemToHaveTtl(stack);
    } finally {
      await stack.stop();
    }
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

  /** Until each rule that is set, or that is about one upload, has struck: what it holds up is under way. */
  const untilStruck = async (input?: string): Promise<void> => {
    await until('the calls to be held up', 20_000, async () => {
      const rules = (await stack.faults()).filter(({ rule }) => input === undefined || rule.input === input);
      return rules.every(({ struck }) => struck === 1) ? true : undefined;
    });
  };
  /** The calls that were held up, of those that are over; of one length, where that is given. */
  const over = async (from: number, ms?: number): Promise<string[]> =>
    (await stack.calls(from))
      .filter(({ fault }) => (ms === undefined ? fault !== undefined : fault === `delay ${ms}`))
      .map(({ operation }) => operation);
  /** What was answered, whether it succeeded or not, if it is as documented. */
  const answered = async (method: string, path: string, response: Response): Promise<number> => {
    try {
      await conform(method, path, response);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
    }
    return response.status;
  };
  const reported = async (uploadId: string, part: { partNumber: number; etag: string }): Promise<number> => {
    const response = await stack.api('POST', `/uploads/${uploadId}/parts`, { parts: [part] });
    return await answered('POST', '/uploads/{uploadId}/parts', response);
  };
  /** The ETag; undefined where S3 says that there is no such upload any more, since it has been completed. */
  const putUnlessOver = async (
    { uploadId, partUrls }: CreatedUpload,
    file: SourceFile,
    partNumber: number,
  ): Promise<string | undefined> => {
    const url = partUrls.find((part) => part.partNumber === partNumber)?.url ?? '';
    return await putPart(url, partBytes(file, PART, partNumber)).catch(async (error: Error) => {
      if (error.message.includes('NoSuchUpload')) return undefined;
      // S3 may answer, and close, before it has read what it will not have.
      const { status } = await describeUpload(stack, uploadId);
      if (isPassing(error) && status !== 'uploading') return undefined;
      throw error;
    });
  };

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
  /** The first chunk begins an upload anew that was over, and so goes ahead of the others. */
  const sendAnew = async (file: SourceFile, [first, ...others]: Chunk[], options: ProxyOptions) => {
    await patientPost(file, first as Chunk, options);
    await sendChunks(stack, file, others, options);
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
            const etag = await putUnlessOver(upload, version, partNumber);
            // The upload may be open no more, and need no report.
            if (etag) await reportParts(stack, upload.uploadId, [{ partNumber, etag }]);
          }),
        ),
      );
      const wholes = [file, other].flatMap((first) =>
        [file, other].map((second) => ({
          ...file,
          bytes: Buffer.concat([partBytes(first, PART, 1), partBytes(second, PART, 2)]),
        })),
      );
      await expectOneOf(upload.uploadId, wholes);
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
      const wholes = [0, 1, 2, 3, 4, 5, 6, 7].map((choice) => {
        const parts = chunks.map(({ start, end }, index) =>
          (choice & (1 << index) ? file : other).bytes.subarray(start, end),
        );
        return { ...file, bytes: Buffer.concat(parts) };
      });
      await expectOneOf(uploadId, wholes);
      await watchRounds(stack, 2);
      await expectNoLeftovers(stack, uploadId);
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
        if (!(error instanceof ApiError && error.status === 409)) throw error;
      }
      return response.status;
    });
  };

  test.each(seeds)(
    'an abort against the last parts, the start and the completion ends in one of two ways (%d)',
    async (seed) => {
      const random = createRandom(seed);
      const ends: string[] = [];
      for (const after of [0, random.whole(0, 100), random.whole(0, 500), 'completing'] as const) {
        const file = sourceFile(PART + 100);
        const upload = await createPresigned(stack, file);
        const { uploadId } = upload;
        const parts: { partNumber: number; etag: string }[] = [];
        for (const { partNumber, url } of upload.partUrls)
          parts.push({ partNumber, etag: await putPart(url, partBytes(file, PART, partNumber)) });
        const aborts: number[] = [];
        const reports = parts.map((part) => async () => {
          // After the abort there is nothing to report to: 409, or 503 and then 409.
          expect([200, 409, 503]).toContain(await reported(uploadId, part));
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
      const random = createRandom(seed);
      for (const after of [0, random.whole(0, 50), random.whole(0, 300)]) {
        const file = sourceFile(2 * 64 * KiB);
        const chunks = chunksOf(file.bytes.byteLength, options);
        const uploadId = proxyIdOf(file, options.chunkSize);
        await sendChunks(stack, file, chunks.slice(0, 1), options);
        const aborts: number[] = [];
        await race<unknown>(seed, [
          async () => {
            const response = await postChunk(stack, file, chunks[1] as Chunk, options);
            // Once it is aborted, only its first chunk begins the upload anew.
            expect([200, 409, 503]).toContain(await answered('POST', '/upload', response));
          },
          async () => aborts.push(await abort(uploadId, after)),
        ]);
        if ((await expectOneEnd(uploadId, file, aborts)) === 'aborted') {
          await sendAnew(file, chunks, options);
          await expectCompleted(stack, uploadId, file);
        }
      }
    },
    120_000,
  );

  /** Where the last request, or what it has started, is held up when the abort comes; and how both are answered. */
  const [RECORD, COMPLETE] = ['UpdateItem', 'CompleteMultipartUpload'];
  const [WINS, LOSES] = [
    { aborted: 204, answer: 503, end: 'aborted' },
    { aborted: 409, answer: 200, end: 'completed' },
  ];
  // The abort has taken the first chunk's record along: that the last one was the last cannot be known any more, and
  // asking whether the upload is still open would cost a read for each chunk.
  const WINS_UNNOTICED = { ...WINS, answer: 200 };
  const ABORTS = [
    { mode: 'presigned', caller: 'record-parts', operation: RECORD, skip: 0, wanted: WINS },
    { mode: 'presigned', caller: 'record-parts', operation: RECORD, skip: 1, wanted: WINS },
    { mode: 'presigned', caller: 'record-parts', operation: 'StartExecution', skip: 0, wanted: LOSES },
    { mode: 'presigned', caller: 'complete-upload', operation: COMPLETE, skip: 0, wanted: LOSES },
    { mode: 'proxy', caller: 'receive-chunk', operation: 'PutObject', skip: 0, wanted: WINS_UNNOTICED },
    { mode: 'proxy', caller: 'receive-chunk', operation: RECORD, skip: 0, wanted: WINS_UNNOTICED },
    { mode: 'proxy', caller: 'receive-chunk', operation: RECORD, skip: 1, wanted: WINS },
    { mode: 'proxy', caller: 'receive-chunk', operation: 'StartExecution', skip: 0, wanted: LOSES },
    { mode: 'proxy', caller: 'complete-upload', operation: COMPLETE, skip: 0, wanted: LOSES },
  ];

  const abortEverywhere = async () => {
    const options = { chunkSize: 64 * KiB, method: 'octet' as const, forceChunkSize: true };
    const begun = await Promise.all(
      ABORTS.map(async (point) => {
        if (point.mode === 'proxy') {
          const file = sourceFile(2 * options.chunkSize);
          const [first, last] = chunksOf(file.bytes.byteLength, options) as [Chunk, Chunk];
          const { uploadId } = await patientPost(file, first, options);
          const sendLast = async () =>
            await answered('POST', '/upload', await postChunk(stack, file, last, options));
          return { ...point, file, uploadId, sendLast };
        }
        const file = sourceFile(100);
        const upload = await createPresigned(stack, file);
        const etag = await putPart(upload.partUrls[0]?.url ?? '', file.bytes);
        const sendLast = async () => await reported(upload.uploadId, { partNumber: 1, etag });
        return { ...point, file, uploadId: upload.uploadId, sendLast };
      }),
    );
    // As many functions as are needed are started now, and not while the others are held up.
    for (const { status } of await Promise.all(
      begun.map(async () => await stack.api('DELETE', `/uploads/${'0'.repeat(32)}`)),
    ))
      expect(status).toBe(404);
    // Each delay is of its own length, and so can be told from the others.
    const length = (index: number): number => 12_000 + index;
    await stack.setFaults(
      begun.map(({ uploadId, caller, operation, skip }, index) =>
        held(uploadId, caller, operation, length(index), skip),
      ),
    );
    const from = await lastCall(stack);
    const found = await Promise.all(
      begun.map(async ({ uploadId, sendLast }, index) => {
        const answer = sendLast();
        await untilStruck(uploadId);
        const aborted = await abort(uploadId);
        expect(await over(from, length(index))).toEqual([]);
        return { aborted, answer: await answer };
      }),
    );
    for (const [index, { uploadId, file, wanted, ...point }] of begun.entries()) {
      const { aborted = 0, answer } = found[index] ?? {};
      const about = { caller: point.caller, operation: point.operation, skip: point.skip };
      const end = await expectOneEnd(uploadId, file, [aborted]);
      expect({ ...about, aborted, answer, end }).toEqual({ ...about, ...wanted });
    }
  };
  // ETags play no part in it.
  if (!('kmsKey' in context))
    test(
      'an abort wins until all is recorded, and loses from then on, wherever the last request is',
      abortEverywhere,
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
      const ms = createRandom(seed).whole(2000, 3000);
      await stack.setFaults([
        held(proxyId, 'receive-chunk', seed % 2 ? 'PutObject' : 'UpdateItem', ms),
        held(uploadId, 'client', 'UploadPart', ms),
      ]);
      const lateOnes = [
        postChunk(stack, old.proxied, chunks[3] as Chunk, options),
        putUnlessOver(first, old.direct, 2),
      ];
      await untilStruck();
      await stack.advance(ABANDONED);
      expect(await over(from)).toEqual([]);
      await Promise.all([
        sendPresigned(stack, anew.direct),
        stack.watch(),
        sendAnew(anew.proxied, chunks, options),
        ...lateOnes,
      ]);
      expect(await over(from)).toHaveLength(2);
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

  // Ceph closes the connection of a part that it refuses before it has read it: a client sees a cut, and no answer.
  if (process.env.ENGINES !== 'real') {
    test.each(seeds)(
      'a late part and its report during and after the completion do no harm (%d)',
      async (seed) => {
        const file = sourceFile(PART + 1000);
        const upload = await createPresigned(stack, file);
        const { uploadId } = upload;
        const send = async (partNumber: number): Promise<void> => {
          const etag = await putUnlessOver(upload, file, partNumber);
          if (etag)
            expect(await reportParts(stack, uploadId, [{ partNumber, etag }])).toMatchObject({ uploadId });
        };
        await race(
          seed,
          [1, 2, 1, 2, 1, 2].map((partNumber) => async () => await send(partNumber)),
        );
        await expectCompleted(stack, uploadId, file);
        // S3 has no place for a part any more, and the report is told that nothing is missing.
        expect(await putUnlessOver(upload, file, 1)).toBeUndefined();
        const again = await reportParts(stack, uploadId, [{ partNumber: 1, etag: 'f'.repeat(32) }]);
        expect(again).toMatchObject({ uploadId, status: 'completed' });
        await expectCompleted(stack, uploadId, file);
        expect(await stack.executions(uploadId)).toHaveLength(1);
        await watchRounds(stack, 2);
        await expectNoLeftovers(stack, uploadId);
      },
      60_000,
    );
  }

  test('a part that is put and reported once more while its upload is being completed does no harm', async () => {
    const file = sourceFile(PART + 1000);
    const upload = await createPresigned(stack, file);
    const { uploadId } = upload;
    await stack.setFaults([held(uploadId, 'complete-upload', 'CompleteMultipartUpload', 5000)]);
    const from = await lastCall(stack);
    await sendPresigned(stack, file);
    await untilStruck();
    const etag = await putPart(upload.partUrls[0]?.url ?? '', partBytes(file, PART, 1));
    const progress = await reportParts(stack, uploadId, [{ partNumber: 1, etag }]);
    expect(progress).toMatchObject({ uploadId, status: 'completing', receivedBytes: PART + 1000 });
    expect(await over(from)).toEqual([]);
    await expectCompleted(stack, uploadId, file);
    expect(await stack.executions(uploadId)).toHaveLength(1);
    await expectNoLeftovers(stack, uploadId);
  }, 60_000);

  test('equal bytes put twice have the ETags that the group is about', async () => {
    const file = sourceFile(1000);
    const { uploadId, partUrls } = await createPresigned(stack, file);
    const put = async (): Promise<string> => await putPart(partUrls[0]?.url ?? '', file.bytes);
    const [first, second] = [await put(), await put()];
    const md5 = `"${createHash('md5').update(file.bytes).digest('hex')}"`;
    expect({ isMd5: first === md5, isSame: first === second }).toEqual(
      'kmsKey' in context ? { isMd5: false, isSame: false } : { isMd5: true, isSame: true },
    );
    expect((await stack.api('DELETE', `/uploads/${uploadId}`)).status).toBe(204);
  }, 60_000);

  test('a last part that is replaced each time that it is being completed comes out whole', async () => {
    const options = { chunkSize: 64 * KiB, method: 'octet' as const };
    const file = sourceFile(1000);
    const versions = [file, ...[1, 2].map(() => ({ ...file, bytes: sourceFile(1000).bytes }))];
    const [chunk] = chunksOf(1000, options);
    if (!chunk) throw new Error('There should be a chunk.');
    const uploadId = proxyIdOf(file, options.chunkSize);
    // Three requests begin before the upload is whole. The first makes it so; each of the others stores its bytes after
    // S3 was asked what parts there are, and before it is told to join those.
    await stack.setFaults([
      held(uploadId, 'receive-chunk', 'UploadPart', 1600, 0),
      held(uploadId, 'receive-chunk', 'UploadPart', 7000, 1),
      held(uploadId, 'receive-chunk', 'UploadPart', 16_000, 2),
      held(uploadId, 'complete-upload', 'CompleteMultipartUpload', 8000, 0),
      held(uploadId, 'complete-upload', 'CompleteMultipartUpload', 8000, 1),
    ]);
    const from = await lastCall(stack);
    await Promise.all(versions.map(async (version) => await patientPost(version, chunk, options)));
    await untilStatus(stack, uploadId, 'completed', 'failed');
    const refused = (await stack.calls(from)).filter(({ errorCode }) => errorCode === 'InvalidPart');
    expect(refused).toHaveLength(2);
    await expectOneOf(uploadId, versions);
    expect((await stack.executions(uploadId)).map(({ status }) => status)).toEqual(['SUCCEEDED']);
  }, 120_000);

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
