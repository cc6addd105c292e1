import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { FaultRule } from '../../local/types.ts';
import {
  chunksOf,
  describeUpload,
  type SourceFile,
  sendChunks,
  sendPresigned,
  sourceFile,
  untilStatus,
} from '../support/clients.ts';
import { expectCompleted, expectNoLeftovers } from '../support/outcome.ts';
import { watchRounds } from '../support/passing-time.ts';
import { presignedIdOf } from '../support/played-uploads.ts';
import { TestStack, until } from '../support/stack.ts';

/** An outage that outlasts the workflow's own retries leaves nothing for people to do. */
const stack = new TestStack({ env: { LOCAL_SCHEDULES: 'off' } });
beforeAll(async () => void (await stack.start()), 120_000);
afterAll(async () => await stack.stop(), 60_000);

const outage = (operation: string, status: number, code: string, input: string): FaultRule => ({
  operation,
  input,
  times: 0,
  action: { kind: 'fail', status, code },
});
const failed = async (
  rule: (uploadId: string) => FaultRule,
): Promise<{ file: SourceFile; uploadId: string }> => {
  const file = sourceFile(1000);
  await stack.setFaults([rule(presignedIdOf(file))]);
  const { uploadId } = await sendPresigned(stack, file);
  await untilStatus(stack, uploadId, 'failed');
  return { file, uploadId };
};
const redrives = async (uploadId: string): Promise<unknown> =>
  (await stack.items()).find(({ pk, sk }) => String(pk).endsWith(`#${uploadId}`) && sk === 'upload')
    ?.redrives;

describe('an upload whose workflow failed', () => {
  test.each([
    ['S3 is out', 'CompleteMultipartUpload', 503, 'SlowDown'],
    ['a permission was missing', 'CompleteMultipartUpload', 403, 'AccessDenied'],
    ['the table is throttled', 'UpdateItem', 400, 'ProvisionedThroughputExceededException'],
  ])(
    'completes by itself once it can: %s',
    async (_, operation, status, code) => {
      const file = sourceFile(1000);
      const uploadId = presignedIdOf(file);
      const rule = outage(operation, status, code, uploadId);
      await stack.setFaults([
        { ...rule, ...(operation === 'CompleteMultipartUpload' ? {} : { caller: 'workflow' }) },
      ]);
      await sendPresigned(stack, file);
      await until(
        'the execution to fail',
        60_000,
        async () => (await stack.executions(uploadId)).some((one) => one.status === 'FAILED') || undefined,
      );
      await until(
        'its end to be recorded',
        20_000,
        async () => (await stack.events(uploadId)).length > 0 || undefined,
      );
      await watchRounds(stack, 1);
      await stack.setFaults([]);
      await watchRounds(stack, 3);
      await expectCompleted(stack, uploadId, file, ['Upload Failed']);
      await watchRounds(stack, 2);
      await expectNoLeftovers(stack, uploadId);
    },
    180_000,
  );

  test('is redriven with growing pauses while the outage lasts, and told of as one failure', async () => {
    const { file, uploadId } = await failed((input) =>
      outage('CompleteMultipartUpload', 403, 'AccessDenied', input),
    );
    for (const [rounds, expected] of [
      [1, 1],
      [1, 1],
      [1, 2],
      [3, 2],
      [2, 3],
    ] as const) {
      await watchRounds(stack, rounds);
      expect(await redrives(uploadId)).toBe(expected);
      await untilStatus(stack, uploadId, 'failed');
    }
    const ids = (await stack.events(uploadId)).map(({ detail }) => detail.eventId);
    expect(new Set(ids).size).toBe(1);
    await stack.setFaults([]);
    await watchRounds(stack, 10);
    await expectCompleted(stack, uploadId, file, ['Upload Failed']);
  }, 180_000);

  test('is left alone where no repetition helps', async () => {
    const file = sourceFile(1000);
    const uploadId = presignedIdOf(file);
    await stack.setFaults([outage('CompleteMultipartUpload', 404, 'NoSuchUpload', uploadId)]);
    await sendPresigned(stack, file);
    const { failure } = await untilStatus(stack, uploadId, 'failed');
    expect(failure).toEqual({
      error: 'MultipartUploadGone',
      cause:
        'S3 has neither the multipart upload nor its object: it was aborted, perhaps by a lifecycle rule.',
    });
    await watchRounds(stack, 5);
    expect(await redrives(uploadId)).toBeUndefined();
    expect((await stack.executions(uploadId)).map(({ status }) => status)).toEqual(['FAILED']);
  }, 60_000);

  test('does not tell its client of roles and resources', async () => {
    const { uploadId } = await failed((input) => ({
      ...outage('CompleteMultipartUpload', 403, 'AccessDenied', input),
      action: {
        kind: 'fail',
        status: 403,
        code: 'AccessDenied',
        message: 'User: arn:aws:sts::1:assumed-role/x',
      },
    }));
    expect((await describeUpload(stack, uploadId)).failure).toEqual({ error: 'AccessDenied', cause: '' });
    const [event] = await until('the event', 20_000, async () => {
      const events = await stack.events(uploadId);
      return events.length > 0 ? events : undefined;
    });
    expect(JSON.stringify(event)).toContain('assumed-role');
    await stack.setFaults([]);
  }, 60_000);
});

test('staged chunks that cannot be deleted do not make a finished upload fail; they go later', async () => {
  const file = sourceFile(40 * 64 * 1024);
  const options = { chunkSize: 64 * 1024, forceChunkSize: true };
  await stack.setFaults([
    {
      operation: 'DeleteObjects',
      caller: 'complete-upload',
      times: 0,
      action: { kind: 'fail', status: 403, code: 'AccessDenied' },
    },
  ]);
  const { uploadId } = await sendChunks(stack, file, chunksOf(file.bytes.byteLength, options), options);
  await expectCompleted(stack, uploadId, file);
  expect(await stack.objects(`staging/anonymous/${uploadId}/`)).toHaveLength(40);
  await watchRounds(stack, 2);
  await expectNoLeftovers(stack, uploadId);
}, 60_000);
