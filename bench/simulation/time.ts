/** A clock that jumps from one wake-up to the next as soon as nothing is left to do at the present moment. */
export interface SimulatedTime {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  sleep(ms: number): Promise<void>;
  /** Runs real asynchronous work during which simulated time stands still. */
  work<T>(task: () => Promise<T>): Promise<T>;
  /** Runs until `task` is over. */
  run<T>(task: Promise<T>): Promise<T>;
}

interface Sleeper {
  readonly at: number;
  readonly order: number;
  readonly wake: () => void;
}

export function simulatedTime(start: number): SimulatedTime {
  let now = start;
  let order = 0;
  let working = 0;
  const heap: Sleeper[] = [];

  const isBefore = (a: Sleeper, b: Sleeper): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);
  const push = (sleeper: Sleeper): void => {
    let child = heap.push(sleeper) - 1;
    while (child > 0) {
      const parent = (child - 1) >> 1;
      const [a, b] = [heap[child], heap[parent]];
      if (!a || !b || !isBefore(a, b)) break;
      [heap[child], heap[parent]] = [b, a];
      child = parent;
    }
  };
  const pop = (): Sleeper | undefined => {
    const top = heap[0];
    const last = heap.pop();
    if (!top || !last || heap.length === 0) return top;
    heap[0] = last;
    for (let parent = 0; ; ) {
      let least = parent;
      for (const child of [2 * parent + 1, 2 * parent + 2]) {
        const [a, b] = [heap[child], heap[least]];
        if (a && b && isBefore(a, b)) least = child;
      }
      const [a, b] = [heap[parent], heap[least]];
      if (least === parent || !a || !b) return top;
      [heap[parent], heap[least]] = [b, a];
      parent = least;
    }
  };

  /** Lets everything run that can without time passing. */
  const settle = async (): Promise<void> => {
    do await new Promise((resolve) => setImmediate(resolve));
    while (working > 0);
  };

  return {
    now: () => now,
    sleep: (ms) =>
      new Promise((wake) => push({ at: now + Math.max(0, Math.round(ms)), order: order++, wake })),
    async work(task) {
      working++;
      try {
        return await task();
      } finally {
        working--;
      }
    },
    async run(task) {
      let over = false;
      const watched = task.finally(() => {
        over = true;
      });
      watched.catch(() => undefined);
      for (;;) {
        await settle();
        if (over) return await watched;
        const next = pop();
        if (!next) throw new Error('Everything waits, and nothing will ever wake it.');
        now = next.at;
        next.wake();
        // All that wakes at the same moment does so before the world is looked at again.
        while (heap[0]?.at === now) pop()?.wake();
      }
    },
  };
}

/** Random numbers from 0 to 1 that are the same in every run. */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
