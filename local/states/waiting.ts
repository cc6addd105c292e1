/** Waiting that ends when an execution does. */
import type { Clock } from '../types.ts';

/** How often a wait looks at the stack's clock, which tests advance: milliseconds of real time. */
const LOOK_EVERY_MS = 200;

/** Waits until the stack's clock shows `until` (milliseconds since the epoch). Rejects when the signal aborts. */
export async function waitUntil(clock: Clock, until: number, signal: AbortSignal): Promise<void> {
  for (let left = until - clock.now(); left > 0; left = until - clock.now()) {
    await interruptible(pause(Math.min(left, LOOK_EVERY_MS), signal), signal);
  }
  signal.throwIfAborted();
}

/** The promise's outcome, or a rejection with the signal's reason as soon as it aborts. */
export function interruptible<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** Waits that long in real time, or until the signal aborts. Never rejects. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
    if (signal.aborted) done();
  });
}
