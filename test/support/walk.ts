import { expect } from '@jest/globals';
import fc from 'fast-check';
import type { FaultRule } from '../../local/types.ts';
import {
  type CreatedUpload,
  chunksOf,
  createBody,
  partBytes,
  postChunk,
  putPart,
  type SourceFile,
  sourceFile,
  untilOk,
} from './clients.ts';
import { conform } from './openapi.ts';
import { expectCompleted, expectNoLeftovers } from './outcome.ts';
import { ABANDONED, WATCHDOG_PERIOD, watchRounds } from './passing-time.ts';
import { presignedIdOf, proxyIdOf } from './played-uploads.ts';
import { type TestStack, until } from './stack.ts';

/** One upload's life as a walk of random steps, with what a client may rely on held against it after each. */

const KiB = 1024;
const PART = 5 * 1024 * KiB;
const CHUNKS = { chunkSize: 64 * KiB, method: 'octet' as const, forceChunkSize: true };

/** What a client that keeps books knows. */
export interface Books {
  readonly pieces: number;
  readonly isProxied: boolean;
  /** The live attempt as last seen. */
  attempt: string | undefined;
  /** Pieces of it that got their 200. */
  acknowledged: Set<number>;
  /** Those of the step that is under way. */
  fresh: number[];
  /** Seen to be over in a way after which the file may be begun anew. */
  mayBeginAnew: boolean;
  isCompleted: boolean;
  /** Days are few: after a week a completed upload is forgotten. */
  expiries: number;
  /** Reported without having been put. */
  lies: Set<number>;
}

export interface World {
  readonly stack: TestStack;
  readonly file: SourceFile;
  readonly uploadId: string;
  failing: FaultRule | undefined;
  crash: FaultRule | undefined;
}

type Step = fc.AsyncCommand<Books, World>;

export function begin(stack: TestStack, isProxied: boolean): { books: Books; world: World } {
  // Two pages of chunks; or two parts.
  const file = sourceFile(isProxied ? 17 * CHUNKS.chunkSize + 100 : PART + 100);
  const uploadId = isProxied ? proxyIdOf(file, CHUNKS.chunkSize) : presignedIdOf(file);
  return {
    books: {
      ...{ pieces: isProxied ? 18 : 2, isProxied, attempt: undefined, acknowledged: new Set(), fresh: [] },
      ...{ mayBeginAnew: true, isCompleted: false, expiries: 0, lies: new Set() },
    },
    world: { stack, file, uploadId, failing: undefined, crash: undefined },
  };
}

const passes = (error: unknown): boolean => {
  const { status = 0 } = error as { status?: number };
  return status === 0 || status === 404 || status === 409 || status >= 500;
};

/** Sends one piece, once; what it gets no 200 for is not acknowledged. */
async function send({ stack, file, uploadId }: World, books: Books, piece: number): Promise<void> {
  if (books.isProxied) {
    const chunk = chunksOf(file.bytes.byteLength, CHUNKS)[piece - 1];
    if (!chunk) throw new Error(`There is no chunk ${piece}.`);
    await conform('POST', '/upload', await postChunk(stack, file, chunk, CHUNKS));
  } else {
    const response = await stack.api('POST', '/uploads', createBody(file));
    const { partSize, receivedParts, partUrls } = (await conform(
      'POST',
      '/uploads',
      response,
    )) as CreatedUpload;
    const url = partUrls.find(({ partNumber }) => partNumber === piece)?.url;
    if (!url) {
      expect(isIn(receivedParts, piece)).toBe(true);
      return;
    }
    const etag = await putPart(url, partBytes(file, partSize, piece));
    const report = { parts: [{ partNumber: piece, etag }] };
    await conform(
      'POST',
      '/uploads/{uploadId}/parts',
      await stack.api('POST', `/uploads/${uploadId}/parts`, report),
    );
    books.lies.delete(piece);
  }
  books.fresh.push(piece);
}

const isIn = (ranges: readonly (readonly [number, number])[], piece: number): boolean =>
  ranges.some(([first, last]) => piece >= first && piece <= last);

/** A step, followed by the look at what it led to. */
const step = (
  name: string,
  run: (world: World, books: Books) => Promise<void>,
  check: (books: Readonly<Books>) => boolean = () => true,
): Step => ({
  check,
  toString: () => name,
  run: async (books, world) => {
    books.fresh = [];
    try {
      await run(world, books);
    } catch (error) {
      if (!passes(error)) throw error;
    }
    await look(world, books);
  },
});

const setFaults = async ({ stack, failing, crash }: World): Promise<void> =>
  await stack.setFaults([failing, crash].filter((rule) => rule !== undefined));

/** Functions that may be hit by a crash, and the calls that hit them. */
const CRASHING = ['receive-chunk', 'create-upload', 'record-parts', 'gather-parts', 'assemble-part'];
const MORE_CRASHING = ['complete-upload', 'record-failure', 'abort-upload', 'watchdog'];

export const steps: fc.Arbitrary<Step>[] = [
  // Most steps send something, or nothing would ever get far.
  ...Array.from({ length: 3 }, () =>
    fc.tuple(fc.integer({ min: 1, max: 18 }), fc.integer({ min: 1, max: 18 })).map(([first, count]) =>
      step(`send ${count} from ${first}`, async (world, books) => {
        for (let index = 0; index < Math.min(count, books.pieces); index++)
          await send(world, books, ((first - 1 + index) % books.pieces) + 1);
      }),
    ),
  ),
  fc.constant(
    step('send the rest, patiently', async (world, books) => {
      for (let piece = 1; piece <= books.pieces; piece++)
        if (!books.acknowledged.has(piece))
          await untilOk('piece', async () => await send(world, books, piece), 8);
    }),
  ),
  fc.constant(
    step(
      'repeat all that was acknowledged',
      async (world, books) => {
        for (const piece of books.acknowledged) await send(world, books, piece);
      },
      ({ acknowledged }) => acknowledged.size > 0,
    ),
  ),
  fc.integer({ min: 1, max: 2 }).map((piece) =>
    step(
      `report part ${piece} with a wrong ETag`,
      async ({ stack, uploadId }, books) => {
        const report = { parts: [{ partNumber: piece, etag: 'f'.repeat(32) }] };
        await conform(
          'POST',
          '/uploads/{uploadId}/parts',
          await stack.api('POST', `/uploads/${uploadId}/parts`, report),
        );
        if (!books.acknowledged.has(piece)) books.lies.add(piece);
      },
      ({ isProxied, attempt }) => !isProxied && attempt !== undefined,
    ),
  ),
  fc.constant(
    step('abort', async ({ stack, uploadId }) => {
      await conform('DELETE', '/uploads/{uploadId}', await stack.api('DELETE', `/uploads/${uploadId}`));
    }),
  ),
  fc.boolean().map((isWatched) =>
    step(
      `a day without a sign of life${isWatched ? ', watched' : ''}`,
      async ({ stack }, books) => {
        books.expiries++;
        await stack.advance(ABANDONED);
        // A watchdog that dies comes again.
        if (isWatched) await stack.watch().catch(() => undefined);
      },
      ({ isCompleted, expiries }) => !isCompleted && expiries < 3,
    ),
  ),
  fc.constant(
    step('the watchdog comes round', async ({ stack }) => {
      await stack.advance(WATCHDOG_PERIOD);
      await stack.watch().catch(() => undefined);
    }),
  ),
  fc.constant(
    step('completing begins to fail', async (world) => {
      world.failing = {
        ...{
          caller: 'complete-upload',
          operation: 'CompleteMultipartUpload',
          input: world.uploadId,
          times: 0,
        },
        action: { kind: 'fail', status: 403, code: 'AccessDenied' },
      };
      await setFaults(world);
    }),
  ),
  fc.constant(
    step('completing works again, and what failed is redriven', async (world) => {
      world.failing = undefined;
      await setFaults(world);
      for (const { name, status } of await world.stack.executions(world.uploadId))
        if (status === 'FAILED') await world.stack.redrive(name);
    }),
  ),
  fc
    .record({
      caller: fc.constantFrom(...CRASHING, ...MORE_CRASHING),
      skip: fc.integer({ min: 0, max: 6 }),
      when: fc.constantFrom('before' as const, 'after' as const),
    })
    .map(({ caller, skip, when }) =>
      step(`${caller} is going to die ${when} call ${skip + 1}`, async (world) => {
        world.crash = { caller, input: world.uploadId, skip, action: { kind: 'kill', when } };
        await setFaults(world);
      }),
    ),
];

interface Described {
  readonly status: string;
  readonly key: string;
  readonly receivedParts: readonly (readonly [number, number])[];
  readonly executionName?: string;
}

async function describe({ stack, uploadId }: World): Promise<Described | undefined> {
  return await untilOk('status', async () => {
    const response = await stack.api('GET', `/uploads/${uploadId}`);
    if (response.status === 404) return undefined;
    return (await conform('GET', '/uploads/{uploadId}', response)) as Described;
  });
}

/** The upload once no execution is under way, and the end of a failed one is on record. */
async function settled(world: World): Promise<{ upload: Described | undefined }> {
  const { stack, uploadId } = world;
  return await until('the upload to come to rest', 30_000, async () => {
    const executions = await stack.executions(uploadId);
    if (executions.some(({ status }) => status === 'RUNNING')) return undefined;
    const upload = await describe(world);
    const current = executions.find(({ name }) => name === upload?.executionName);
    return upload?.status === 'completing' && current?.status === 'FAILED' ? undefined : { upload };
  });
}

const hasFailed = async ({ stack, uploadId }: World, attempt = ''): Promise<boolean> =>
  (await stack.executions(uploadId)).some(
    ({ name, status }) => status === 'FAILED' && name.includes(attempt),
  );

/** Holds what must be true at any time against what is. */
async function look(world: World, books: Books): Promise<void> {
  const { stack, file, uploadId } = world;
  const { upload } = await settled(world);
  const attempt = upload?.key.split('/').at(-2);
  if (attempt !== books.attempt) {
    // Whole in the middle of this step, failed at once, and begun anew by the step's next piece?
    const failed = !books.mayBeginAnew && (await hasFailed(world, books.attempt));
    expect({ attempt, mayBeginAnew: books.mayBeginAnew || failed }).toEqual({ attempt, mayBeginAnew: true });
    // Then nobody can tell which pieces of the step are the new attempt's.
    if (failed) books.fresh = [];
    books.attempt = attempt;
    books.acknowledged = new Set();
    books.lies = new Set();
  }
  for (const piece of books.fresh) books.acknowledged.add(piece);

  const objects = await stack.objects(`uploads/anonymous/${uploadId}/`);
  expect(objects.length).toBeLessThanOrEqual(1);
  // Who has been told "completed" is not told otherwise later.
  if (books.isCompleted) expect(upload?.status).toBe('completed');
  const { status, receivedParts = [] } = upload ?? { status: 'none' };
  if (status === 'uploading')
    expect([...books.acknowledged].filter((piece) => !isIn(receivedParts, piece))).toEqual([]);
  // The 200 for the last of them said that the completion has begun.
  if (books.acknowledged.size === books.pieces && books.lies.size === 0) expect(status).not.toBe('uploading');
  if (status === 'completed') {
    expect(objects).toEqual([upload?.key]);
    books.isCompleted = true;
    await expectCompleted(stack, uploadId, file, ['Upload Failed', 'Upload Expired']);
  }
  books.mayBeginAnew = ['none', 'failed', 'aborted', 'expired'].includes(status);
}

/** The end of every walk: what is whole completes by itself, and what is not completes with its client. */
export async function finish(world: World, books: Books): Promise<void> {
  const { stack, file, uploadId } = world;
  await stack.setFaults([]);
  world.failing = undefined;
  world.crash = undefined;
  const { upload } = await settled(world);
  const isWhole = books.acknowledged.size === books.pieces && books.lies.size === 0;
  if (upload?.status === 'completing' || (upload?.status === 'uploading' && isWhole)) {
    await watchRounds(stack, 3);
    const { upload: later } = await settled(world);
    // Lies come out, and are taken off the record.
    expect(later?.status).toMatch(isWhole ? /^completed$/ : /^(completed|uploading)$/);
  }
  // Sent again until the upload agrees that it is done: a report that was a lie may come out only at the end.
  await until('the client to be done', 30_000, async () => {
    const status = (await describe(world))?.status;
    if (status === 'completed') return true;
    if (status !== 'completing')
      for (let piece = 1; piece <= books.pieces; piece++)
        await untilOk('piece', async () => await send(world, books, piece));
    return undefined;
  });
  await expectCompleted(stack, uploadId, file, ['Upload Failed', 'Upload Expired']);
  await watchRounds(stack, 2);
  await expectNoLeftovers(stack, uploadId);
}
