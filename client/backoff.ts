/**
 * How long to wait before a request is made again. Full jitter: a uniformly random wait up to a bound that doubles
 * with each try, so that clients that failed together do not come back together.
 * https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */

export interface Backoff {
  /** Upper bound of the first wait, in milliseconds. @default 500 */
  readonly baseMs?: number;
  /** Upper bound of any wait, in milliseconds. @default 30000 */
  readonly capMs?: number;
}

/**
 * @param retry 0 for the wait before the first retry
 * @param random uniform in [0, 1)
 * @param retryAfterMs what the server asked for (`Retry-After`): never waited less, and jitter comes on top
 * @returns milliseconds
 */
export function waitBeforeRetry(
  retry: number,
  random: () => number = Math.random,
  { baseMs = 500, capMs = 30_000 }: Backoff = {},
  retryAfterMs = 0,
): number {
  const bound = Math.min(capMs, baseMs * 2 ** Math.min(retry, 30));
  return Math.round(retryAfterMs + random() * bound);
}

/**
 * Reads a `Retry-After` header: seconds, or an HTTP date.
 *
 * @returns milliseconds from `now`; 0 where the header is absent, malformed or in the past. At most ten minutes, so
 *   that a wrong header cannot stop an upload for good.
 */
export function retryAfterMs(header: string | null | undefined, now: number): number {
  if (!header) return 0;
  const asked = /^\d+$/.test(header.trim()) ? Number(header) * 1000 : Date.parse(header) - now;
  return Number.isFinite(asked) ? Math.min(Math.max(asked, 0), 600_000) : 0;
}

/** Resolves after `ms`; rejects with the signal's reason as soon as it is aborted. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal?.addEventListener('abort', stop, { once: true });
  });
}

/** Waits while the browser knows itself to be offline: a request would only use up a try. */
export async function untilOnline(signal?: AbortSignal): Promise<void> {
  // Node has no `onLine`, and before 21 no `navigator`.
  while (globalThis.navigator?.onLine === false) await sleep(1000, signal);
}
