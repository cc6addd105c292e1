import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { FaultRule } from '../../local/types.ts';
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
import {
  type Death,
  deathsAt,
  discoverDeaths,
  failuresOf,
  lastCall,
  playToTheEnd,
} from '../support/deaths.ts';
import { conform } from '../support/openapi.ts';
import { expectCompleted, expectEveryItemToHaveTtl, expectNoLeftovers } from '../support/outcome.ts';
import { ABANDONED, expectNothingInS3, watchRounds } from '../support/passing-time.ts';
import { type PlayedUpload, presigned, proxied, proxyIdOf } from '../support/played-uploads.ts';
import { TestStack, until } from '../support/stack.ts';

/** The whole stack ends at once, as by a power cut, and is started again on what it had on disk. */

const KiB = 1024;
const MiB = 1024 * KiB;
const PART = 5 * MiB;

const stack = new TestStack({ context: { partSize: PART }, env: { LOCAL_SCHEDULES: 'off' } });
beforeAll(async () => {
  await stack.start();
}, 120_000);
afterAll(async () => {
  try {
    await expectEveryItemToHaveTtl(stack);
  } finally {
    await stack.stop();
  }
}, 60_000);

/** The process's clock starts anew, and is put forward to where it was: no power cut turns back the time. */
async function powerCut(): Promise<void> {
  const { now } = await stack.control<{ now: string }>('GET', 'clock');
  const ahead = Math.round((Date.parse(now) - Date.now()) / 1000);
  await stack.kill();
  await stack.start();
  await stack.advance(Math.max(ahead, 0));
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
  const file = sourceFile(4 * PART);
  const upload = await createPresigned(stack, file);
  for (const { partNumber, url } of upload.partUrls.slice(0, 2))
    await putPart(url, partBytes(file, PART, partNumber));
  await powerCut();
  // URLs outlive the process: the third part goes to one that was signed before. The fourth goes nowhere.
  await putPart(upload.partUrls[2]?.url ?? '', partBytes(file, PART, 3));
  const from = await lastCall(stack);
  await sendPresigned(stack, file);
  expect(await stored(from, 'UploadPart')).toBe(1);
  await expectCompleted(stack, upload.uploadId, file);
}, 120_000);

/** A call that somebody is about to make when the power goes. */
type Moment = Pick<Death, 'caller' | 'operation'>;
const momentName = ({ caller, operation }: Moment): string => `${caller} ${operation}`;

/** Each kind of call once. */
const momentsOf = (deaths: readonly Death[]): Moment[] => [
  ...new Map(deaths.map((death) => [momentName(death), death])).values(),
];

/** Longer than it takes on a busy machine until all are held. */
const HOLD_MS = 120_000;

/** Each upload's call stays where it is, not yet done, until the power goes. */
const heldAt = (
  { caller, operation }: Moment,
  { mark }: PlayedUpload,
): FaultRule & { readonly id: string } => ({
  ...{ id: `${mark} ${caller} ${operation}`, caller, operation, input: mark },
  action: { kind: 'delay', ms: HOLD_MS },
});

/** Has all work begin, waits until each upload's call is held, and cuts the power. */
async function powerCutAt(
  cases: readonly { moment: Moment; upload: PlayedUpload }[],
  begin: readonly (() => Promise<unknown>)[],
): Promise<void> {
  await stack.setFaults(cases.map(({ moment, upload }) => heldAt(moment, upload)));
  const from = await lastCall(stack);
  const working = begin.map(async (work) => await work().catch(() => undefined));
  const missing = async (): Promise<string[]> =>
    (await stack.faults()).filter(({ struck }) => struck !== 1).map(({ rule }) => rule.id ?? '');
  await until(
    'every call to be held',
    HOLD_MS - 10_000,
    async () => (await missing()).length === 0 || undefined,
  ).catch(async (error: Error) => {
    throw new Error(`${error.message} ${(await missing()).join(', ')}`, { cause: error });
  });
  // A call is in the log when it is over.
  expect((await stack.calls(from)).filter(({ fault }) => fault === `delay ${HOLD_MS}`)).toEqual([]);
  await powerCut();
  await Promise.all(working);
}

/** So many that their functions all have a thread, and on a quiet machine are held before API Gateway gives up. */
const AT_ONCE = 8;

function* batches<T>(all: readonly T[]): Generator<readonly T[]> {
  for (let from = 0; from < all.length; from += AT_ONCE) yield all.slice(from, from + AT_ONCE);
}

describe('before any call of any function', () => {
  const seen = new Set<string>();

  test.each([
    ['proxied', () => proxied(stack, 3 * 64 * KiB + 1000, { chunkSize: 64 * KiB, method: 'octet' })],
    ['proxied, of one chunk', () => proxied(stack, 1000, { chunkSize: 64 * KiB })],
    ['presigned', () => presigned(stack, PART + 1000)],
    ['presigned, never reported', () => presigned(stack, 1000, { reported: 'never' })],
  ])(
    'a file that is %s is completed by who sends the rest',
    async (_, begin) => {
      const known = begin();
      const deaths = await discoverDeaths(stack, known.steps, async () => {
        await until('the execution to succeed', 30_000, async () => {
          const [execution] = await stack.executions(known.uploadId);
          return execution?.status === 'SUCCEEDED' || undefined;
        });
      });
      const moments = momentsOf(deaths).filter((moment) => !seen.has(momentName(moment)));
      expect(moments.length).toBeGreaterThan(0);
      for (const moment of moments) seen.add(momentName(moment));

      for (const some of batches(moments)) {
        const cases = some.map((moment) => ({ moment, upload: begin(), done: 0 }));
        await powerCutAt(
          cases,
          cases.map((one) => async () => {
            for (const { send } of one.upload.steps) {
              await send();
              one.done++;
            }
          }),
        );
        const failures = await failuresOf(
          cases,
          ({ moment }) => momentName(moment),
          async ({ upload: { file, uploadId, steps }, done }) => {
            await playToTheEnd(steps.slice(done));
            await expectCompleted(stack, uploadId, file);
          },
        );
        expect(failures).toEqual([]);
        await watchRounds(stack, 2);
        for (const { upload } of cases) await expectNoLeftovers(stack, upload.uploadId);
      }
    },
    600_000,
  );

  /** A chunk staged and another stored as a part, of a file whose rest does not come. */
  const beginLarge = async (): Promise<PlayedUpload> => {
    const options = { chunkSize: 64 * KiB, forceChunkSize: true };
    const upload = proxied(stack, 16 * MiB + 1000, options, { order: [1, 257] });
    await playToTheEnd(upload.steps);
    return upload;
  };

  test('an abort, repeated, is one', async () => {
    const abort = async ({ uploadId }: PlayedUpload): Promise<unknown> =>
      await conform('DELETE', '/uploads/{uploadId}', await stack.api('DELETE', `/uploads/${uploadId}`));
    const known = await beginLarge();
    const from = await lastCall(stack);
    await abort(known);
    const moments = momentsOf(deathsAt(await stack.calls(from)));
    for (const some of batches(moments)) {
      const cases = await Promise.all(some.map(async (moment) => ({ moment, upload: await beginLarge() })));
      await powerCutAt(
        cases,
        cases.map(
          ({ upload }) =>
            async () =>
              await abort(upload),
        ),
      );
      for (const { upload } of cases) await abort(upload);
      await expectNothingInS3(
        stack,
        cases.map(({ upload }) => upload.uploadId),
      );
    }
    expect(moments.length).toBeGreaterThan(5);
  }, 300_000);

  test('the watchdog does at its next run what it did not', async () => {
    const known = await beginLarge();
    await stack.advance(ABANDONED);
    const from = await lastCall(stack);
    await stack.watch();
    const moments = momentsOf(deathsAt(await stack.calls(from)));
    expect(
      await stack.api('GET', `/uploads/${known.uploadId}`).then((answer) => answer.json()),
    ).toMatchObject({ status: 'expired' });
    expect(moments.length).toBeGreaterThan(5);
    // Each in a partition of the index of its own: one that is held holds up those behind it.
    const cases = new Map<string, { moment: Moment; upload: PlayedUpload }>();
    while (cases.size < moments.length) {
      const upload = await beginLarge();
      const shard = upload.uploadId[0] ?? '';
      const moment = moments[cases.size];
      if (moment && !cases.has(shard)) cases.set(shard, { moment, upload });
    }
    await stack.advance(ABANDONED);
    await powerCutAt([...cases.values()], [async () => await stack.watch()]);
    await stack.watch();
    await watchRounds(stack, 1);
    const uploadIds = [...cases.values()].map(({ upload }) => upload.uploadId);
    await expectNothingInS3(stack, uploadIds);
    for (const uploadId of uploadIds) {
      const events = await stack.events(uploadId);
      expect(new Set(events.map((event) => `${event['detail-type']} ${event.detail.eventId}`)).size).toBe(1);
      expect(events[0]).toMatchObject({ 'detail-type': 'Upload Expired' });
    }
  }, 300_000);
});
