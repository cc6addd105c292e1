import { ListMultipartUploadsCommand, ListPartsCommand, paginateListObjectsV2 } from '@aws-sdk/client-s3';
import type { AwsCall, FaultRule } from '../../local/types.ts';
import { inParallel, untilOk } from './clients.ts';
import type { TestStack } from './stack.ts';

/** One request of a client; throws what `conform` throws when it gets no success. */
export interface Step {
  readonly name: string;
  readonly send: () => Promise<unknown>;
  /** Makes the same calls as an earlier step does: a death in that one stands for a death in this one. */
  readonly asBefore?: boolean;
  /** The pieces that are there for good once it succeeded; none of them, where it is the upload that is there. */
  readonly acknowledges?: readonly number[];
}

/** A call at which a function, or the state machine, is to die: the n-th of its kind that is about one upload. */
export interface Death {
  readonly caller: string;
  readonly service: AwsCall['service'];
  readonly operation: string;
  /** From 1. */
  readonly nth: number;
  readonly when: 'before' | 'after';
}

export const deathName = ({ caller, operation, nth, when }: Death): string =>
  `${caller} dies ${when} ${operation} ${nth}`;

/** Who called, in the words of fault rules. */
const callerOf = (call: AwsCall): string | undefined =>
  call.functionName ??
  (call.caller.kind === 'role' && call.caller.executionArn !== undefined ? 'workflow' : undefined);

/** A call counted within its kind. */
type Counted = AwsCall & { readonly caller_: string; readonly nth: number };

function countCalls(calls: readonly AwsCall[]): Counted[] {
  const counts = new Map<string, number>();
  return calls.flatMap((call) => {
    const caller = callerOf(call);
    if (caller === undefined) return [];
    const kind = `${caller} ${call.operation}`;
    const nth = (counts.get(kind) ?? 0) + 1;
    counts.set(kind, nth);
    return [{ ...call, caller_: caller, nth }];
  });
}

/**
 * Plays an upload's steps undisturbed, waits for its end, and gives every call at which somebody could die, once for
 * before and once for after. What belongs to nobody's request, as the watchdog's rounds, is left out.
 */
export async function discoverDeaths(
  stack: TestStack,
  steps: readonly Step[],
  untilOver: () => Promise<unknown>,
): Promise<Death[]> {
  const from = await lastCall(stack);
  const skipped: { from: number; to: number }[] = [];
  for (const { name, send, asBefore } of steps) {
    const before = await lastCall(stack);
    await untilOk(name, send);
    if (asBefore) skipped.push({ from: before, to: await lastCall(stack) });
  }
  await untilOver();
  // A test's own questions after the last step are not part of the upload.
  const calls = await stack.calls(from);
  return deathsAt(
    calls.filter(({ functionName }) => functionName !== 'watchdog'),
    (call) => !skipped.some((range) => call.seq > range.from && call.seq <= range.to),
  );
}

/** Every call as a death before and one after. */
export const deathsAt = (
  calls: readonly AwsCall[],
  isWanted: (call: AwsCall) => boolean = () => true,
): Death[] =>
  countCalls(calls)
    .filter(isWanted)
    .flatMap(({ caller_: caller, service, operation, nth }) =>
      (['before', 'after'] as const).map((when) => ({ caller, service, operation, nth, when })),
    );

export const lastCall = async (stack: TestStack): Promise<number> => (await stack.calls()).at(-1)?.seq ?? 0;

/** The state machine's own calls come from no thread that could be killed: their connection is cut instead. */
export const ruleFor = (death: Death, mark: string): FaultRule => ({
  id: `${mark} ${deathName(death)}`,
  service: death.service,
  operation: death.operation,
  caller: death.caller,
  input: mark,
  skip: death.nth - 1,
  action: { kind: death.caller === 'workflow' ? 'cut' : 'kill', when: death.when },
});

/** Which of the rules that are set never struck: a test with such a death proves nothing. */
export async function deathsThatDidNotHappen(
  stack: TestStack,
  isDeath: (rule: FaultRule) => boolean = () => true,
): Promise<string[]> {
  const rules = (await stack.faults()).filter(({ rule }) => isDeath(rule));
  return rules.filter(({ struck }) => struck !== 1).map(({ rule, struck }) => `${rule.id}: ${struck} times`);
}

/** Calls in the log that a death ended, counted. */
export const deathsInLog = (calls: readonly AwsCall[]): number =>
  calls.filter(({ fault }) => fault !== undefined && /^(kill|cut) (before|after)$/.test(fault)).length;

/** A client that repeats whatever got no answer, until all is done. */
export async function playToTheEnd(steps: readonly Step[]): Promise<void> {
  for (const { name, send } of steps) await untilOk(name, send);
}

/** A client that goes away at the first request that dies. @returns the steps that succeeded before; undefined: all */
export async function playToTheDeath(steps: readonly Step[]): Promise<readonly Step[] | undefined> {
  for (const [index, { send }] of steps.entries()) {
    try {
      await send();
    } catch (error) {
      if ((error as { status?: number }).status === 500) return steps.slice(0, index);
      throw error;
    }
  }
  return undefined;
}

/** Plays every case, some at a time, and gives what went wrong in each. */
export async function failuresOf<Case>(
  cases: readonly Case[],
  nameOf: (one: Case) => string,
  play: (one: Case) => Promise<void>,
  parallel = 6,
): Promise<string[]> {
  const failures: string[] = [];
  await inParallel(cases, parallel, async (one) => {
    try {
      await play(one);
    } catch (error) {
      failures.push(`${nameOf(one)}: ${(error as Error).message}`);
    }
  });
  return failures;
}

/** How many bytes of an upload S3 holds, staged, as parts or as the object, whoever knows of them. */
export async function bytesInS3(
  { s3, bucketName: Bucket }: TestStack,
  uploadId: string,
  owner = 'anonymous',
): Promise<number> {
  let bytes = 0;
  const staged = paginateListObjectsV2({ client: s3 }, { Bucket, Prefix: `staging/${owner}/${uploadId}/` });
  for await (const { Contents } of staged) for (const { Size = 0 } of Contents ?? []) bytes += Size;
  const { Uploads } = await s3.send(
    new ListMultipartUploadsCommand({ Bucket, Prefix: `uploads/${owner}/${uploadId}/` }),
  );
  for (const { Key, UploadId } of Uploads ?? []) {
    const { Parts } = await s3.send(new ListPartsCommand({ Bucket, Key, UploadId })).catch((error: Error) => {
      if (error.name === 'NoSuchUpload') return { Parts: [] };
      throw error;
    });
    for (const { Size = 0 } of Parts ?? []) bytes += Size;
  }
  // Last, since it may be completed meanwhile; then the object is all there is to it.
  const done = paginateListObjectsV2({ client: s3 }, { Bucket, Prefix: `uploads/${owner}/${uploadId}/` });
  for await (const { Contents } of done) for (const { Size = 0 } of Contents ?? []) return Size;
  return bytes;
}
