import { afterAll, beforeAll, expect, test } from '@jest/globals';
import {
  chunksOf,
  createPresigned,
  describeUpload,
  inParallel,
  partBytes,
  postChunk,
  putPart,
  type SourceFile,
  sendChunks,
  sendPresigned,
  sourceFile,
  testChunk,
} from '../support/clients.ts';
import { lastCall } from '../support/deaths.ts';
import { conform } from '../support/openapi.ts';
import { expectCompleted, expectEveryItemToHaveTtl, expectNoLeftovers } from '../support/outcome.ts';
import { watchRounds } from '../support/passing-time.ts';
import { proxyIdOf } from '../support/played-uploads.ts';
import { TestStack, until } from '../support/stack.ts';

/** The whole stack ends at once, as by a power cut, and is started again on what it had on disk. */

const KiB = 1024;
const MiB = 1024 * KiB;
const PART = 5 * MiB;

const stack = new TestStack({ context: { partSize: PART } });
beforeAll(async () => {
  await stack.start();
}, 120_000);
afterAll(async () => {
  await expectEveryItemToHaveTtl(stack);
  await stack.stop();
}, 60_000);

async function powerCut(): Promise<void> {
  await stack.kill();
  await stack.start();
}

/** How often the API's function, or a browser, stored something in S3 since a call. */
async function stored(from: number, operation: string): Promise<number> {
  const calls = await stack.calls(from);
  return calls.filter(
    (call) =>
      call.operation === operation &&
      call.status === 200 &&
      (call.presigned || call.functionName === 'receive-chunk'),
  ).length;
}

/** What Resumable.js does with a file that it meets again: asks for every chunk, and sends those that are not there. */
async function resume(file: SourceFile, options: { chunkSize: number }): Promise<number> {
  const missing = [];
  for (const chunk of chunksOf(file.bytes.byteLength, options))
    if ((await testChunk(stack, file, chunk, options)) === 204) missing.push(chunk);
  if (missing.length > 0) await sendChunks(stack, file, missing, options);
  return missing.length;
}

test('during the sending of chunks: what was acknowledged is there, and only the rest is sent', async () => {
  const options = { chunkSize: 64 * KiB };
  const file = sourceFile(40 * 64 * KiB);
  const chunks = chunksOf(file.bytes.byteLength, options);
  const acknowledged = new Set<number>();
  let killing: Promise<void> | undefined;
  await inParallel(chunks, 6, async (chunk) => {
    try {
      await conform('POST', '/upload', await postChunk(stack, file, chunk, options));
      acknowledged.add(chunk.number);
    } catch (error) {
      // Nobody answers any more.
      expect(killing).toBeDefined();
      expect((error as { status?: number }).status).toBeUndefined();
    }
    // In the midst of what the others are sending.
    if (acknowledged.size === 21) killing ??= stack.kill();
  });
  expect(killing).toBeDefined();
  await killing;
  await stack.start();

  const uploadId = proxyIdOf(file, options.chunkSize);
  const { receivedParts } = await describeUpload(stack, uploadId);
  const there = new Set(
    (receivedParts as [number, number][]).flatMap(([a, b]) =>
      Array.from({ length: b - a + 1 }, (_, index) => a + index),
    ),
  );
  expect([...acknowledged].filter((number) => !there.has(number))).toEqual([]);
  const from = await lastCall(stack);
  expect(await resume(file, options)).toBe(40 - there.size);
  expect(await stored(from, 'PutObject')).toBe(40 - there.size);
  await expectCompleted(stack, uploadId, file);
  await expectNoLeftovers(stack, uploadId);
}, 120_000);

test('right after the last chunk was acknowledged: it completes with nothing sent again', async () => {
  const options = { chunkSize: 64 * KiB };
  const file = sourceFile(20 * 64 * KiB + 9);
  const { uploadId, status } = await sendChunks(
    stack,
    file,
    chunksOf(file.bytes.byteLength, options),
    options,
  );
  expect(status).toBe('completing');
  await powerCut();
  expect(await resume(file, options)).toBe(0);
  await expectCompleted(stack, uploadId, file);
  await expectNoLeftovers(stack, uploadId);
}, 120_000);

test('during the assembly: the execution goes on where it was', async () => {
  const options = { chunkSize: 2 * MiB, method: 'octet' as const };
  const file = sourceFile(34 * MiB);
  const uploadId = proxyIdOf(file, options.chunkSize);
  // Holds the assembly up, so that it is under way when the power goes.
  await stack.setFaults([
    {
      ...{ caller: 'assemble-part', operation: 'GetObject', input: uploadId, skip: 3, times: 0 },
      action: { kind: 'delay', ms: 60_000 },
    },
  ]);
  await sendChunks(stack, file, chunksOf(file.bytes.byteLength, options), options);
  await until(
    'the assembly to be held up',
    30_000,
    async () => (await stack.faults()).some(({ struck }) => struck > 0) || undefined,
  );
  expect(await stack.executions(uploadId)).toEqual([expect.objectContaining({ status: 'RUNNING' })]);
  await powerCut();
  await expectCompleted(stack, uploadId, file);
  expect(await stored(0, 'PutObject')).toBe(0);
  expect(await stack.executions(uploadId)).toHaveLength(1);
  await expectNoLeftovers(stack, uploadId);
}, 120_000);

test('with a part reported and one put only: neither travels again', async () => {
  const file = sourceFile(3 * PART);
  const upload = await createPresigned(stack, file);
  const [first, second] = upload.partUrls;
  const etag = await putPart(first?.url ?? '', partBytes(file, PART, 1));
  const report = { parts: [{ partNumber: 1, etag }] };
  await conform(
    'POST',
    '/uploads/{uploadId}/parts',
    await stack.api('POST', `/uploads/${upload.uploadId}/parts`, report),
  );
  await putPart(second?.url ?? '', partBytes(file, PART, 2));
  await powerCut();
  const from = await lastCall(stack);
  await sendPresigned(stack, file);
  expect(await stored(from, 'UploadPart')).toBe(1);
  await expectCompleted(stack, upload.uploadId, file);
}, 120_000);

test('with parts put but not reported: a client that comes back puts only those that were not', async () => {
  const file = sourceFile(3 * PART);
  const upload = await createPresigned(stack, file);
  for (const { partNumber, url } of upload.partUrls.slice(0, 2))
    await putPart(url, partBytes(file, PART, partNumber));
  await powerCut();
  // URLs outlive the process: the third part goes to one that was signed before.
  await putPart(upload.partUrls[2]?.url ?? '', partBytes(file, PART, 3));
  // The watchdog finds what nobody reported; the client need not put it again.
  await watchRounds(stack, 2);
  const from = await lastCall(stack);
  await sendPresigned(stack, file);
  expect(await stored(from, 'UploadPart')).toBe(0);
  await expectCompleted(stack, upload.uploadId, file);
}, 120_000);
