/** Errors of a state, and which of them Retry and Catch match. */

/** What ends a state, by the names of the States Language. */
export class StateError extends Error {
  /** The error's name, as `ErrorEquals` sees it; absent in a Fail state without Error. */
  readonly error: string | undefined;
  /** Text or JSON; absent where Step Functions gives none (timeouts). */
  readonly reason: string | undefined;
  constructor(error: string | undefined, reason?: string) {
    super(`${error ?? 'no error name'}: ${reason ?? 'no cause'}`);
    this.name = 'StateError';
    this.error = error;
    this.reason = reason;
  }
}

/**
 * The execution is over or the process ends: everything unwinds, and nothing catches it.
 * `status` is what becomes of the execution; without one it stays RUNNING and goes on after the next start.
 */
export class Stopped extends Error {
  readonly status: 'ABORTED' | 'TIMED_OUT' | undefined;
  readonly error: string | undefined;
  readonly reason: string | undefined;
  constructor(status?: 'ABORTED' | 'TIMED_OUT', error?: string, reason?: string) {
    super('stopped');
    this.name = 'Stopped';
    this.status = status;
    this.error = error;
    this.reason = reason;
  }
}

/** One entry of `Retry`. */
export interface Retrier {
  readonly ErrorEquals: readonly string[];
  readonly IntervalSeconds?: number;
  readonly MaxAttempts?: number;
  readonly BackoffRate?: number;
  readonly MaxDelaySeconds?: number;
  readonly JitterStrategy?: 'NONE' | 'FULL';
}

/**
 * Does `ErrorEquals` match an error?
 *
 * "States.ALL … can't catch the States.DataLimitExceeded terminal error or Runtime error types"; "States.TaskFailed
 * acts as a wildcard that matches any known error name except for States.Timeout"; "States.Runtime errors can't be
 * caught or retried". https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
 */
export function errorMatches(
  errorEquals: readonly string[],
  error: string | undefined,
  stateType: string,
): boolean {
  if (error === 'States.Runtime') return false;
  return errorEquals.some((name) => {
    if (name === error) return true;
    if (error === 'States.DataLimitExceeded') return false;
    if (name === 'States.ALL') return true;
    return name === 'States.TaskFailed' && stateType === 'Task' && error !== 'States.Timeout';
  });
}

/**
 * Milliseconds before a retry.
 *
 * @param retried how often this retrier has retried before, 0 the first time
 * @param random a number from 0 to 1, for `JitterStrategy: FULL`
 */
export function retryDelay(retrier: Retrier, retried: number, random: number): number {
  const { IntervalSeconds = 1, BackoffRate = 2, MaxDelaySeconds = Number.POSITIVE_INFINITY } = retrier;
  const seconds = Math.min(IntervalSeconds * BackoffRate ** retried, MaxDelaySeconds);
  return seconds * 1000 * (retrier.JitterStrategy === 'FULL' ? random : 1);
}

/** The quota for a task's, state's or execution's input or output, in bytes of UTF-8. */
export const MAX_DATA_BYTES = 262_144;

/** The data as JSON; `States.DataLimitExceeded` where it is over the quota. */
export function toJsonWithinLimit(stateName: string, data: unknown, what: 'input' | 'result'): string {
  const json = JSON.stringify(data) ?? 'null';
  if (json.length > MAX_DATA_BYTES || Buffer.byteLength(json) > MAX_DATA_BYTES) {
    const verb = what === 'result' ? 'returned a result' : 'was given an input';
    throw new StateError(
      'States.DataLimitExceeded',
      `The state/task '${stateName}' ${verb} with a size exceeding the maximum number of bytes service limit.`,
    );
  }
  return json;
}
