import type { FaultRule } from '../../local/types.ts';
import { chunksOf, type SourceFile } from '../support/clients.ts';
import { createRandom, seededBytes } from './random.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
/** Of the stacks that uploads are planned for. */
export const PART = 5 * MiB;

/** What a client does with its upload. */
export type Behaviour =
  /** Sends it all. */
  | 'sends'
  /** Two of it send the same file at once. */
  | 'sends twice'
  /** Stops after some part, and comes back for the rest. */
  | 'resumes'
  /** Reports parts that it has not put, and ETags that are wrong; then sends what it is asked for. */
  | 'misreports'
  /** Stops after some part, for good. */
  | 'leaves'
  /** Stops after some part, and deletes what it has sent. */
  | 'aborts';

export interface PlannedUpload {
  readonly mode: 'proxy' | 'presigned';
  readonly behaviour: Behaviour;
  readonly file: () => SourceFile;
  readonly size: number;
  readonly chunkSize: number;
  readonly forceChunkSize: boolean;
  readonly method: 'multipart' | 'octet';
  /** Of the pieces, those sent before the client stops, where it does: from 0 to 1. */
  readonly stopsAfter: number;
}

const BEHAVIOURS: readonly Behaviour[] = [
  ...Array.from({ length: 10 }, () => 'sends' as const),
  ...(['sends twice', 'sends twice', 'resumes', 'resumes', 'misreports', 'misreports'] as const),
  ...(['leaves', 'aborts'] as const),
];

/** How many uploads of a seed it takes, and not fewer than these, until all kinds of clients have done what they do. */
export function uploadsUntilAllBehave(seed: number, atLeast: number): number {
  const wanted = new Set(BEHAVIOURS);
  let count = 0;
  while (count < atLeast || wanted.size > 0) {
    const plan = planUpload(seed, count++);
    // Who has sent it all by then has neither left nor aborted anything.
    if (!['leaves', 'aborts'].includes(plan.behaviour) || stopsInTheMiddle(plan))
      wanted.delete(plan.behaviour);
  }
  return count;
}

function stopsInTheMiddle({ mode, size, stopsAfter, ...options }: PlannedUpload): boolean {
  const pieces = mode === 'proxy' ? chunksOf(size, options).length : Math.ceil(size / PART);
  const sent = Math.ceil(pieces * stopsAfter);
  return sent > 0 && sent < pieces;
}

/** The n-th upload of a seed; always the same, whatever else happens. */
export function planUpload(seed: number, number: number): PlannedUpload {
  const random = createRandom(seed * 7919 + number);
  const mode = random.pick(['proxy', 'presigned'] as const);
  const behaviour = random.pick(BEHAVIOURS);
  const share = random.next();
  const isLarge = share > 0.85;
  const size = isLarge
    ? random.whole(6 * MiB, 24 * MiB)
    : share < 0.2
      ? random.logarithmic(1, KiB)
      : random.logarithmic(10 * KiB, 3 * MiB);
  const chunkSize = isLarge ? random.pick([MiB, 2 * MiB]) : random.pick([64 * KiB, 128 * KiB, 256 * KiB]);
  const name = `soak-${seed}-${number}.mp4`;
  return {
    mode,
    behaviour: behaviour === 'misreports' && mode === 'proxy' ? 'sends' : behaviour,
    size,
    chunkSize,
    forceChunkSize: random.next() < 0.3,
    method: random.pick(['multipart', 'octet'] as const),
    stopsAfter: random.next(),
    file: () => ({ name, type: 'video/mp4', identifier: name, bytes: seededBytes(name, size) }),
  };
}

/** Which faults strike for the next seconds, each by dice of its own seed. */
export interface Weather {
  readonly rules: readonly FaultRule[];
  /** Events are delivered twice, and out of order. */
  readonly disorder: { readonly duplicate: boolean; readonly shuffle?: number };
  /** A function's next events exceed its time or memory, or its process ends. */
  readonly functionFault: {
    readonly name: string;
    readonly fault: 'timeout' | 'oom' | 'crash';
    readonly when: 'before' | 'after';
    readonly times: number;
  };
}

/** Functions that a client, the workflow or a rule calls again. */
const FUNCTIONS = [
  ...['receive-chunk', 'create-upload', 'get-upload', 'sign-parts', 'record-parts', 'abort-upload'],
  ...['gather-parts', 'assemble-part', 'complete-upload', 'record-failure', 'watchdog'],
];

/** AWS's own ways to say "not now". */
const REFUSALS: readonly Pick<FaultRule, 'service' | 'operation' | 'action'>[] = [
  { service: 's3', action: { kind: 'fail', status: 503, code: 'SlowDown' } },
  { service: 's3', action: { kind: 'fail', status: 500, code: 'InternalError' } },
  {
    service: 'dynamodb',
    action: { kind: 'fail', status: 400, code: 'ProvisionedThroughputExceededException' },
  },
  { service: 'dynamodb', action: { kind: 'fail', status: 400, code: 'TransactionConflictException' } },
  { service: 'dynamodb', action: { kind: 'fail', status: 500, code: 'InternalServerError' } },
  { service: 'states', action: { kind: 'fail', status: 400, code: 'ThrottlingException' } },
  { service: 'events', action: { kind: 'fail', status: 400, code: 'ThrottlingException' } },
  { service: 'events', action: { kind: 'fail', status: 500, code: 'InternalException' } },
  { service: 'lambda', action: { kind: 'fail', status: 429, code: 'TooManyRequestsException' } },
  { operation: 'CompleteMultipartUpload', action: { kind: 'late-error', code: 'InternalError' } },
];

/** The n-th weather of a seed. */
export function planWeather(seed: number, number: number): Weather {
  const random = createRandom(seed * 104_729 + number);
  const rule = (
    one: Pick<FaultRule, 'service' | 'operation' | 'action'>,
    probability: number,
  ): FaultRule => ({
    ...one,
    times: 0,
    probability,
    seed: random.whole(1, 2 ** 31),
  });
  // One in four is calm but for deaths, so that all paths are also taken without a detour.
  const force = random.next() < 0.25 ? 0 : random.next() * 0.04;
  const deaths = 0.002 + random.next() * 0.01;
  return {
    rules: [
      ...REFUSALS.map((one) => rule(one, one.action.kind === 'late-error' ? force * 5 : force)),
      ...(['before', 'after'] as const).flatMap((when) => [
        rule({ action: { kind: 'kill', when } }, deaths),
        rule({ action: { kind: 'cut', when } }, deaths),
      ]),
      rule({ action: { kind: 'delay', ms: random.whole(5, 150) } }, force * 2),
    ],
    disorder:
      random.next() < 0.5 ? { duplicate: true, shuffle: random.whole(1, 1000) } : { duplicate: false },
    functionFault: {
      name: random.pick(FUNCTIONS),
      fault: random.pick(['timeout', 'oom', 'crash'] as const),
      when: random.pick(['before', 'after'] as const),
      times: random.whole(1, 3),
    },
  };
}
