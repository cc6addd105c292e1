import { createCipheriv, createHash } from 'node:crypto';

/** The mulberry32 generator: numbers from 0 to 1, the same for the same seed on every machine. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  const whole = (from: number, to: number): number => from + Math.floor(next() * (to - from + 1));
  return {
    next,
    whole,
    /** Small numbers as often as large ones. */
    logarithmic: (from: number, to: number) => Math.round(from * (to / from) ** next()),
    pick: <T>(items: readonly T[]): T => {
      const item = items[whole(0, items.length - 1)];
      if (item === undefined) throw new Error('There is nothing to pick from.');
      return item;
    },
  };
}

export interface Random {
  next(): number;
  /** Both ends included. */
  whole(from: number, to: number): number;
  logarithmic(from: number, to: number): number;
  pick<T>(items: readonly T[]): T;
}

/** Bytes that look random, and are the same for the same name. */
export function seededBytes(name: string, size: number): Uint8Array {
  const key = createHash('sha256').update(name).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(size));
}
