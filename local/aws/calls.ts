/** The log of calls to the AWS endpoint, as tests and budgets read it. */
import type { AwsCall } from '../types.ts';

export interface CallLog {
  add(call: Omit<AwsCall, 'seq'>): void;
  /** Calls with a higher `seq`, oldest first. */
  after(seq: number): readonly AwsCall[];
  clear(): void;
}

/** Keeps the newest `limit` calls. @default limit 200000 */
export const createCallLog = (limit = 200_000): CallLog => {
  let calls: AwsCall[] = [];
  let last = 0;
  return {
    add(call) {
      last += 1;
      calls.push({ seq: last, ...call });
      // Cut back seldom, by half, so that adding stays cheap.
      if (calls.length >= limit * 2) calls = calls.slice(-limit);
    },
    after(seq) {
      const first = calls[0]?.seq ?? 0;
      return calls.slice(Math.max(0, calls.length - limit, seq - first + 1));
    },
    clear() {
      calls = [];
    },
  };
};
