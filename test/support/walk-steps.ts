import { expect } from '@jest/globals';
import fc from 'fast-check';
import type { FaultRule } from '../../local/types.ts';
import { untilOk } from './clients.ts';
import { conform } from './openapi.ts';
import { ABANDONED, WATCHDOG_PERIOD } from './passing-time.ts';
import { BEHIND, passesIn, type Step, send, setFaults, step, TELLING, watchOnce } from './walk.ts';

/** What may be done to an upload on a walk; each step says in which states it can be, and what must come of it. */

/** A share, in eighteenths: there are 18 chunks, or 2 parts. */
const sendSome = (share: number, first = 1): Step =>
  step(
    `send ${share}/18 from ${first}`,
    async (world, books) => {
      for (let index = 0; index < Math.ceil((books.pieces * share) / 18); index++)
        await send(world, books, ((first - 1 + index) % books.pieces) + 1);
    },
    { deed: (_, { fresh }) => (fresh.length > 0 ? 'sent' : undefined) },
  );

const sendRest = step(
  'send the rest, patiently',
  async (world, books) => {
    for (let piece = 1; piece <= books.pieces; piece++)
      if (!books.acknowledged.has(piece))
        await untilOk('piece', async () => await send(world, books, piece), 8, passesIn(world));
  },
  {
    check: ({ acknowledged, pieces }) => acknowledged.size < pieces,
    deed: (_, { fresh }) => (fresh.length > 0 ? 'sent the rest' : undefined),
  },
);

const repeat = step(
  'repeat all that was acknowledged',
  async (world, books) => {
    for (const piece of books.acknowledged) await send(world, books, piece);
  },
  { check: ({ acknowledged }) => acknowledged.size > 0, deed: () => 'repeated' },
);

const misreport = (piece: number): Step =>
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
    {
      check: ({ isProxied, attempt }) => !isProxied && attempt !== undefined,
      refusal: ({ status }) => (['failed', 'aborted', 'expired'].includes(status) ? 409 : undefined),
      deed: ({ status }) => (status === 'uploading' ? 'lied' : undefined),
    },
  );

const abort = step(
  'abort',
  async ({ stack, uploadId }) => {
    await conform('DELETE', '/uploads/{uploadId}', await stack.api('DELETE', `/uploads/${uploadId}`));
  },
  {
    refusal: ({ status }) =>
      status === 'none' ? 404 : ['completing', 'completed'].includes(status) ? 409 : undefined,
    deed: (before, { status }) => {
      if (['none', 'completing', 'completed'].includes(before.status)) return 'refused to abort';
      // One whose time is over, and which the watchdog has not seen yet, may still be its owner's to abort.
      if (before.status !== 'expired' || status !== 'expired')
        expect({ before: before.status, status }).toEqual({ before: before.status, status: 'aborted' });
      return 'aborted';
    },
  },
);

const day = (isWatched: boolean): Step =>
  step(
    `a day without a sign of life${isWatched ? ', watched' : ''}`,
    async (world, books) => {
      books.expiries++;
      await world.stack.advance(ABANDONED);
      if (isWatched) await watchOnce(world);
    },
    {
      check: ({ attempt, isCompleted, expiries }) => attempt !== undefined && !isCompleted && expiries < 3,
      deed: async (before, { status }, { stack, uploadId }) => {
        if (before.status !== 'uploading' || status !== 'expired') return undefined;
        const told = (await stack.events(uploadId)).map((event) => event['detail-type']);
        return isWatched && told.includes('Upload Expired') ? 'forgotten, and told' : 'forgotten';
      },
    },
  );

const watched = step(
  'the watchdog comes round',
  async (world) => {
    await world.stack.advance(WATCHDOG_PERIOD);
    await watchOnce(world);
  },
  {
    check: ({ attempt, isCompleted }) => attempt !== undefined && !isCompleted,
    deed: (_, { status }) => (status === 'completed' ? 'rescued' : undefined),
  },
);

const fail = step(
  'completing begins to fail',
  async (world, books) => {
    books.isFailing = true;
    world.failing = {
      ...{ caller: 'complete-upload', operation: 'CompleteMultipartUpload' },
      ...{ input: world.uploadId, times: 0 },
      action: { kind: 'fail', status: 403, code: 'AccessDenied' },
    };
    await setFaults(world);
  },
  { check: ({ isFailing, isCompleted }) => !isFailing && !isCompleted },
);

const redrive = step(
  'completing works again, and what failed is redriven',
  async (world, books) => {
    books.isFailing = false;
    world.failing = undefined;
    await setFaults(world);
    for (const { name, status } of await world.stack.executions(world.uploadId))
      if (status === 'FAILED') await world.stack.redrive(name);
  },
  {
    check: ({ isFailing }) => isFailing,
    deed: (before, { status }) =>
      before.status === 'failed' && status === 'completed' ? 'redriven' : undefined,
  },
);

/** Functions that start executions; and those that have work in one mode only. */
const STARTING = ['receive-chunk', 'create-upload', 'record-parts', 'watchdog'];
const PROXY_ONLY = ['receive-chunk', 'assemble-part'];
const PRESIGNED_ONLY = ['create-upload', 'record-parts'];

/** @param call its number, from 1; or the one that starts the execution */
const die = (caller: string, when: 'before' | 'after', call: number | 'StartExecution'): Step =>
  step(
    `${caller} is going to die ${when} ${call === 'StartExecution' ? call : `call ${call}`}`,
    async (world) => {
      const which = call === 'StartExecution' ? { operation: call } : { skip: call - 1 };
      const crash: FaultRule = { caller, input: world.uploadId, ...which, action: { kind: 'kill', when } };
      world.crashes = [...world.crashes.filter((other) => other.caller !== caller), crash];
      await setFaults(world);
    },
    {
      check: ({ isProxied, isCompleted, isFailing }) =>
        !isCompleted &&
        !(isProxied ? PRESIGNED_ONLY : PROXY_ONLY).includes(caller) &&
        (isFailing || caller !== 'record-failure'),
    },
  );

/** So many times as likely as others. */
const often = (times: number, one: fc.Arbitrary<Step>): fc.Arbitrary<Step>[] =>
  Array.from({ length: times }, () => one);

export const steps: fc.Arbitrary<Step>[] = [
  // Most steps send something, or nothing would ever get far.
  ...often(
    3,
    fc
      .tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 18 }))
      .map(([share, first]) => sendSome(share, first)),
  ),
  ...often(2, fc.constant(sendRest)),
  fc.constant(repeat),
  fc.integer({ min: 1, max: 2 }).map(misreport),
  fc.constant(abort),
  fc.boolean().map(day),
  fc.constant(watched),
  ...often(2, fc.constant(fail)),
  ...often(2, fc.constant(redrive)),
  ...often(
    4,
    fc
      .record({
        caller: fc.constantFrom(...TELLING, ...BEHIND),
        isStarting: fc.boolean(),
        call: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 7 })),
        when: fc.constantFrom('before' as const, 'after' as const),
      })
      .map(({ caller, isStarting, call, when }) =>
        die(caller, when, isStarting && STARTING.includes(caller) ? 'StartExecution' : call),
      ),
  ),
];

/** Walks to where chance seldom leads. */
export const TOURS: readonly {
  readonly name: string;
  readonly isProxied: boolean;
  readonly walk: readonly Step[];
}[] = [
  {
    name: 'to the starter’s death, and the watchdog’s',
    isProxied: true,
    walk: [
      ...[die('receive-chunk', 'before', 'StartExecution'), sendSome(18), abort],
      ...[die('watchdog', 'before', 'StartExecution'), watched, watched, repeat],
    ],
  },
  {
    name: 'through an assembly whose functions die',
    isProxied: true,
    walk: [
      ...[die('gather-parts', 'after', 2), die('assemble-part', 'after', 2), sendSome(9), sendRest],
      ...[abort, repeat],
    ],
  },
  {
    name: 'to an abort that dies, and on',
    isProxied: true,
    walk: [
      ...[abort, sendSome(6), die('abort-upload', 'after', 3), abort, abort, sendSome(6, 10), day(true)],
      sendRest,
    ],
  },
  {
    name: 'through failures',
    isProxied: true,
    walk: [
      ...[
        fail,
        die('record-failure', 'before', 2),
        die('complete-upload', 'after', 2),
        sendRest,
        sendSome(1),
      ],
      ...[day(false), sendRest, redrive],
    ],
  },
  {
    name: 'through lies',
    isProxied: false,
    walk: [
      ...[die('create-upload', 'after', 2), sendSome(9), sendSome(9), die('record-parts', 'before', 2)],
      ...[misreport(2), misreport(2), abort, misreport(1), sendSome(9), misreport(2), day(true)],
      ...[sendSome(9), misreport(2), sendRest],
    ],
  },
  {
    name: 'through failures of parts',
    isProxied: false,
    walk: [...[sendSome(9), fail, sendRest, misreport(1), redrive], repeat],
  },
];
