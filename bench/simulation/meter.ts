/** Counts what happens in each second of simulated time, and keeps each kind's busiest second. */
export interface Meter {
  /** @param key what has a limit of its own: a partition, an item, a prefix; one for all by default */
  add(kind: string, amount?: number, key?: string): void;
  /** Something that is in use from now on, until the function that is returned is called. */
  hold(kind: string): () => void;
  /** The most in one second that any one key of this kind had; of what is held, the most at one time. */
  peak(kind: string): number;
  total(kind: string): number;
}

export function createMeter(now: () => number): Meter {
  const seconds = new Map<string, { second: number; amount: number }>();
  const peaks = new Map<string, number>();
  const totals = new Map<string, number>();
  const held = new Map<string, number>();
  const raise = (kind: string, amount: number): void => {
    if (amount > (peaks.get(kind) ?? 0)) peaks.set(kind, amount);
  };
  return {
    add(kind, amount = 1, key = '') {
      const second = Math.floor(now() / 1000);
      const name = `${kind} ${key}`;
      const current = seconds.get(name);
      const sum = current?.second === second ? current.amount + amount : amount;
      seconds.set(name, { second, amount: sum });
      raise(kind, sum);
      totals.set(kind, (totals.get(kind) ?? 0) + amount);
    },
    hold(kind) {
      const count = (held.get(kind) ?? 0) + 1;
      held.set(kind, count);
      raise(kind, count);
      return () => held.set(kind, (held.get(kind) ?? 0) - 1);
    },
    peak: (kind) => peaks.get(kind) ?? 0,
    total: (kind) => totals.get(kind) ?? 0,
  };
}

/** A quota that refills: so much at once, so much a second. */
export function tokenBucket(now: () => number, size: number, perSecond: number): { take(): boolean } {
  let tokens = size;
  let filledAt = now();
  return {
    take() {
      tokens = Math.min(size, tokens + ((now() - filledAt) / 1000) * perSecond);
      filledAt = now();
      if (tokens < 1) return false;
      tokens--;
      return true;
    },
  };
}
