/** Seconds over which the rate is taken: long enough to be calm, short enough to follow. */
const WINDOW_MS = 10_000;

/**
 * Speed and time left from how many bytes were done when. Bytes that were there at the start do not count as speed,
 * nor does time spent paused, if {@link restart} is called when going on.
 */
export class TransferRate {
  #samples: { at: number; bytes: number }[] = [];

  /** @param at milliseconds, of any clock that only goes forward */
  add(bytes: number, at: number): void {
    const last = this.#samples.at(-1);
    if (last && bytes < last.bytes) this.#samples = []; // Part of it is sent again: what came before says nothing.
    this.#samples.push({ at, bytes });
    while (this.#samples.length > 2 && (this.#samples[1]?.at ?? at) <= at - WINDOW_MS) this.#samples.shift();
  }

  restart(): void {
    this.#samples = [];
  }

  /** Undefined until there is something to go by. */
  get bytesPerSecond(): number | undefined {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (!first || !last || last.at - first.at < 500) return undefined;
    return ((last.bytes - first.bytes) * 1000) / (last.at - first.at);
  }

  /** Seconds until `totalBytes` are done; undefined where that cannot be said. */
  secondsLeft(totalBytes: number): number | undefined {
    const rate = this.bytesPerSecond;
    const done = this.#samples.at(-1)?.bytes ?? 0;
    return rate ? (totalBytes - done) / rate : undefined;
  }
}
