import type { Clock } from './types.ts';

/**
 * The stack's clock. `buffer` holds the offset in milliseconds (one signed 64-bit integer), shared with the
 * functions' worker threads so that their `Date` moves at the same instant as everybody else's.
 */
export function createClock(): Clock & { readonly buffer: SharedArrayBuffer } {
  const buffer = new SharedArrayBuffer(8);
  const offset = new BigInt64Array(buffer);
  return {
    buffer,
    now: () => Date.now() + Number(Atomics.load(offset, 0)),
    advance: (ms) => {
      Atomics.add(offset, 0, BigInt(Math.round(ms)));
    },
  };
}

/**
 * Shifts this thread's `Date` by the offset in a clock's buffer. Timers, `performance.now` and `hrtime` stay
 * on real time: a test that advances a day must not wait for it, nor run every timer at once.
 */
export function followClock(buffer: SharedArrayBuffer): void {
  const offset = new BigInt64Array(buffer);
  const RealDate = Date;
  const realNow = RealDate.now;
  const now = () => realNow() + Number(Atomics.load(offset, 0));
  RealDate.now = now;
  const ShiftedDate: DateConstructor = new Proxy(RealDate, {
    construct: (target, args: unknown[], newTarget) =>
      Reflect.construct(
        target,
        args.length === 0 ? [now()] : args,
        newTarget === ShiftedDate ? target : newTarget,
      ) as Date,
    apply: () => new RealDate(now()).toString(),
  });
  Object.defineProperty(RealDate.prototype, 'constructor', {
    value: ShiftedDate,
    writable: true,
    configurable: true,
  });
  globalThis.Date = ShiftedDate;
}
