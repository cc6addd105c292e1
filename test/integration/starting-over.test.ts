import { afterAll, beforeAll, expect, test } from '@jest/globals';
import {
  chunksOf,
  describeUpload,
  postChunk,
  type SourceFile,
  sendChunks,
  sourceFile,
  testChunk,
  untilStatus,
} from '../support/clients.ts';
import { conform } from '../support/openapi.ts';
import { expectCompleted, expectNoLeftovers } from '../support/outcome.ts';
import { ABANDONED, watchRounds } from '../support/passing-time.ts';
import { TestStack } from '../support/stack.ts';

/**
 * Resumable.js as it is knows nothing of attempts: a tab that slept through its upload's end sends the next chunk, and
 * a lost answer's chunk is sent again, whatever has happened since.
 */
const stack = new TestStack({ env: { LOCAL_SCHEDULES: 'off' } });
beforeAll(async () => void (await stack.start()), 120_000);
afterAll(async () => await stack.stop(), 60_000);

const options = { chunkSize: 64 * 1024, forceChunkSize: true };
const CHUNKS = 40;
const begun = async (count: number): Promise<{ file: SourceFile; uploadId: string }> => {
  const file = sourceFile(CHUNKS * options.chunkSize);
  const chunks = chunksOf(file.bytes.byteLength, options);
  const { uploadId } = await sendChunks(stack, file, chunks.slice(0, count), options);
  return { file, uploadId };
};
const sendOne = async (file: SourceFile, number: number): Promise<{ status: number; body: unknown }> => {
  const chunk = chunksOf(file.bytes.byteLength, options)[number - 1];
  if (!chunk) throw new Error(`There is no chunk ${number}.`);
  const answer = await postChunk(stack, file, chunk, options);
  const body = await conform('POST', '/upload', answer.clone()).catch(() => answer.json());
  return { status: answer.status, body };
};
const notOpen = { type: 'urn:resumable-uploads:problem:upload-not-open', status: 409 };

test('a tab that slept until its upload had expired is not told 200 for the rest of the file', async () => {
  const { file, uploadId } = await begun(20);
  await stack.advance(ABANDONED);
  expect(await sendOne(file, 21)).toEqual({ status: 409, body: expect.objectContaining(notOpen) });
  await stack.watch();
  expect(await sendOne(file, 22)).toEqual({ status: 409, body: expect.objectContaining(notOpen) });
  expect((await describeUpload(stack, uploadId)).status).toBe('expired');
});

test('the file sent anew begins with its first chunk, and the others may then come in any order', async () => {
  const { file, uploadId } = await begun(20);
  await stack.advance(ABANDONED);
  const chunks = chunksOf(file.bytes.byteLength, options);
  const [first, ...others] = chunks;
  if (!first) throw new Error('The file has no chunks.');
  expect(await testChunk(stack, file, first, options)).toBe(204);
  await sendChunks(stack, file, [first], options);
  await sendChunks(stack, file, others.toReversed(), options);
  await expectCompleted(stack, uploadId, file);
  await watchRounds(stack, 2);
  await expectNoLeftovers(stack, uploadId);
});

test('a late duplicate does not take the place of an upload that has failed and can be redriven', async () => {
  await stack.setFaults([
    {
      operation: 'CompleteMultipartUpload',
      action: { kind: 'fail', status: 403, code: 'AccessDenied' },
    },
  ]);
  const { file, uploadId } = await begun(CHUNKS);
  await untilStatus(stack, uploadId, 'failed');
  expect(await sendOne(file, CHUNKS)).toEqual({ status: 409, body: expect.objectContaining(notOpen) });
  const [execution] = await stack.executions(uploadId);
  await stack.redrive(execution?.name ?? '');
  await expectCompleted(stack, uploadId, file, ['Upload Failed']);
});
