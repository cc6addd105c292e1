/** Out-of-order deliveries, by a seed. */

/** How long deliveries are collected before they go out, in milliseconds. */
const HOLD_MS = 20;

/** A gate: those who wait at it at the same time pass in random order. When the signal aborts, it stays open. */
export function createShuffle(seed: number, signal: AbortSignal): () => Promise<void> {
  const random = mulberry32(seed);
  let waiting: (() => void)[] = [];
  let timer: NodeJS.Timeout | undefined;
  const open = () => {
    clearTimeout(timer);
    timer = undefined;
    const released = waiting;
    waiting = [];
    for (let left = released.length; left > 0; left -= 1) {
      const [pass] = released.splice(Math.floor(random() * left), 1);
      pass?.();
    }
  };
  signal.addEventListener('abort', open, { once: true });
  return () =>
    new Promise((resolve) => {
      waiting.push(resolve);
      if (signal.aborted) open();
      else timer ??= setTimeout(open, HOLD_MS);
    });
}

/** The mulberry32 generator: small, seeded, and even enough for this. */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
