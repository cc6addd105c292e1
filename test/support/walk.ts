import { expect } from '@jest/globals';
import fc from 'fast-check';
import type { FaultRule } from '../../local/types.ts';
import {
  type CreatedUpload,
  chunksOf,
  createBody,
  isPassing,
  partBytes,
  postChunk,
  putPart,
  type SourceFile,
  sourceFile,
  untilOk,
} from './clients.ts';
import { type ApiError, conform } from './openapi.ts';
import { expectCompleted, expectNoLeftovers } from './outcome.ts';
import { watchRounds } from './passing-time.ts';
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
  /** The live attempt and its status as last seen, at rest. */
  attempt: string | undefined;
  status: string;
  /** Pieces of it that got their 200. */
  acknowledged: Set<number>;
  /** Those of the step that is under way. */
  fresh: number[];
  /** Seen to be over in a way after which the file may be begun anew. */
  mayBeginAnew: boolean;
  isCompleted: boolean;
  /** Completing is made to fail. */
  isFailing: boolean;
  /** Days are few: after a week a completed upload is forgotten. */
  expiries: number;
  /** Reported without having been put. */
  lies: Set<number>;
}

export interface World {
  readonly stack: TestStack;
  readonly file: SourceFile;
  readonly uploadId: string;
  readonly chronicle: Chronicle;
  failing: FaultRule | undefined;
  /** Those that are to come, one of a function at most; and the functions that have died since these were set. */
  crashes: FaultRule[];
  died: readonly string[];
  /** Of those deaths, the ones that a caller was told of. */
  toldDeaths: number;
}

export type Step = fc.AsyncCommand<Books, World>;

const MODES = ['proxied', 'presigned'];
/** Ends after which the file may be begun anew. */
const OVER = ['failed', 'aborted', 'expired'];
const STATUSES = ['uploading', 'completed', 'failed', 'aborted', 'expired'];

/** Functions whose death their caller is told of, by a 500 or as the error of an invocation; and those behind them. */
export const TELLING = ['receive-chunk', 'create-upload', 'record-parts', 'abort-upload', 'watchdog'];
export const BEHIND = ['gather-parts', 'assemble-part', 'complete-upload', 'record-failure'];

/** All that walks can come to. */
const EVERYTHING = [
  'none',
  'completing, and nobody at it',
  ...MODES.flatMap((mode) => STATUSES.map((status) => `${mode}: ${status}`)),
  ...['sent', 'sent the rest', 'repeated', 'begun anew', 'lied', 'a lie came out'],
  ...[
    'aborted',
    'refused to abort',
    'refused to go on',
    'forgotten',
    'forgotten, and told',
    'rescued',
    'redriven',
  ],
  ...[...TELLING, ...BEHIND].map((caller) => `${caller} died`),
];

/** What walks came to, and what their commands did there: otherwise a batch of them might prove nothing. */
export class Chronicle {
  readonly #counts = new Map<string, number>();

  note(what: string): void {
    if (!EVERYTHING.includes(what)) throw new Error(`"${what}" is not on the list.`);
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }

  /** What never happened. */
  missing(): string[] {
    return EVERYTHING.filter((what) => !this.#counts.has(what));
  }
}

export function begin(
  stack: TestStack,
  isProxied: boolean,
  chronicle: Chronicle,
): { books: Books; world: World } {
  // Two pages of chunks; or two parts.
  const file = sourceFile(isProxied ? 17 * CHUNKS.chunkSize + 100 : PART + 100);
  const uploadId = isProxied ? proxyIdOf(file, CHUNKS.chunkSize) : presignedIdOf(file);
  return {
    books: {
      ...{ pieces: isProxied ? 18 : 2, isProxied, attempt: undefined, status: 'none' },
      ...{ acknowledged: new Set(), fresh: [] },
      ...{ mayBeginAnew: true, isCompleted: false, isFailing: false, expiries: 0, lies: new Set() },
    },
    world: { stack, file, uploadId, chronicle, failing: undefined, crashes: [], died: [], toldDeaths: 0 },
  };
}

/** Nothing fails here but by the crashes that were set: a 500 is theirs, once for each that struck. */
export const passesIn =
  (world: World) =>
  async (error: unknown): Promise<boolean> => {
    if ((error as { status?: number }).status !== 500) return isPassing(error);
    return await isToldDeath(world);
  };

async function isToldDeath(world: World): Promise<boolean> {
  await countDeaths(world);
  const told = world.died.filter((caller) => TELLING.includes(caller));
  if (told.length <= world.toldDeaths) return false;
  world.toldDeaths++;
  return true;
}

async function countDeaths(world: World): Promise<void> {
  world.died = (await world.stack.faults())
    .filter(({ rule, struck }) => rule.action.kind === 'kill' && struck > 0)
    .map(({ rule }) => rule.caller ?? '');
}

/** Sends one piece, once; what it gets no 200 for is not acknowledged. */
export async function send(world: World, books: Books, piece: number): Promise<void> {
  const { stack, file, uploadId } = world;
  if (books.isProxied) {
    const chunk = chunksOf(file.bytes.byteLength, CHUNKS)[piece - 1];
    if (!chunk) throw new Error(`There is no chunk ${piece}.`);
    const response = await postChunk(stack, file, chunk, CHUNKS);
    // Only the first chunk begins an upload anew that is over; it may also have ended in the middle of a step.
    const mustBeRefused = piece > 1 && OVER.includes(books.status) && !books.fresh.includes(1);
    if (response.status === 409) {
      await conform('POST', '/upload', response).catch((error: ApiError) => expect(error.status).toBe(409));
      expect(piece).toBeGreaterThan(1);
      expect(OVER).toContain((await settled(world)).upload?.status);
      world.chronicle.note('refused to go on');
      return;
    }
    await conform('POST', '/upload', response);
    expect({ piece, mustBeRefused }).toEqual({ piece, mustBeRefused: false });
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

interface StepOptions {
  readonly check?: (books: Readonly<Books>) => boolean;
  /** The status with which it is refused, where it must be. */
  readonly refusal?: (books: Readonly<Books>) => 404 | 409 | undefined;
  /** What the chronicle is to say of it, by how things were before it, and are after it; undefined: nothing came of it. */
  readonly deed?: (
    before: Readonly<Books>,
    after: Readonly<Books>,
    world: World,
  ) => string | undefined | Promise<string | undefined>;
}

/** A step, followed by the look at what it led to. */
export const step = (
  name: string,
  run: (world: World, books: Books) => Promise<void>,
  { check = () => true, refusal = () => undefined, deed = () => undefined }: StepOptions = {},
): Step => ({
  check,
  toString: () => name,
  run: async (books, world) => {
    const before = { ...books };
    const expected = refusal(before);
    books.fresh = [];
    let hasRun = false;
    try {
      await run(world, books);
      expect({ name, refused: undefined }).toEqual({ name, refused: expected });
      hasRun = true;
    } catch (error) {
      const isExpected = expected !== undefined && (error as { status?: number }).status === expected;
      if (!isExpected && !(await passesIn(world)(error))) throw error;
      hasRun = isExpected;
    }
    await look(world, books);
    const done = hasRun ? await deed(before, books, world) : undefined;
    if (done !== undefined) world.chronicle.note(done);
  },
});

/** What has struck does not strike again. */
export async function setFaults(world: World): Promise<void> {
  await countDeaths(world);
  world.crashes = world.crashes.filter(({ caller = '' }) => !world.died.includes(caller));
  world.died = [];
  world.toldDeaths = 0;
  await world.stack.setFaults([...(world.failing ? [world.failing] : []), ...world.crashes]);
}

/** One round of the watchdog; one that dies comes again another time. */
export async function watchOnce(world: World): Promise<void> {
  try {
    await world.stack.watch();
  } catch (error) {
    if (!(await isToldDeath(world)) || !world.died.includes('watchdog')) throw error;
  }
}

interface Described {
  readonly status: string;
  readonly key: string;
  readonly receivedParts: readonly (readonly [number, number])[];
  readonly executionName?: string;
}

async function describe(world: World): Promise<Described | undefined> {
  const { stack, uploadId } = world;
  return await untilOk(
    'status',
    async () => {
      const response = await stack.api('GET', `/uploads/${uploadId}`);
      if (response.status === 404) return undefined;
      return (await conform('GET', '/uploads/{uploadId}', response)) as Described;
    },
    10,
    passesIn(world),
  );
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
    if (books.attempt !== undefined) world.chronicle.note('begun anew');
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
  books.mayBeginAnew = status === 'none' || OVER.includes(status);
  books.status = status;
  await chronicle(world, books);
}

async function chronicle(world: World, { isProxied, status, lies, attempt }: Books): Promise<void> {
  if (status === 'none') world.chronicle.note('none');
  else if (status === 'completing') world.chronicle.note('completing, and nobody at it');
  else world.chronicle.note(`${isProxied ? 'proxied' : 'presigned'}: ${status}`);
  if (status === 'uploading' && lies.size > 0 && (await hasFailed(world, attempt)))
    world.chronicle.note('a lie came out');
  await countDeaths(world);
  for (const caller of world.died) world.chronicle.note(`${caller} died`);
}

/** The end of every walk: what is whole completes by itself, and what is not completes with its client. */
export async function finish(world: World, books: Books): Promise<void> {
  const { stack, file, uploadId } = world;
  await stack.setFaults([]);
  world.failing = undefined;
  world.crashes = [];
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
        await untilOk('piece', async () => await send(world, books, piece), 10, passesIn(world));
    return undefined;
  });
  await expectCompleted(stack, uploadId, file, ['Upload Failed', 'Upload Expired']);
  await watchRounds(stack, 2);
  await expectNoLeftovers(stack, uploadId);
}
