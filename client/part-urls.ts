import type { PartUrl } from './api.ts';

/** A URL this close to its expiry is not used any more: S3 checks when the request arrives. */
const MARGIN_MS = 60_000;

export interface PartUrlsOptions {
  /** Signs at most `batchSize` parts at once. */
  readonly sign: (partNumbers: readonly number[]) => Promise<readonly PartUrl[]>;
  /** The parts after `partNumber` that are still to be sent, in the order of sending. */
  readonly upcoming: (partNumber: number) => Iterable<number>;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** How many parts one request signs. @default 50 */
  readonly batchSize?: number;
}

/**
 * The signed URLs of one upload: fetched in small batches a little ahead of need, so that neither thousands are signed
 * at once nor every part waits for a request of its own, and none is used that has expired meanwhile.
 */
export class PartUrls {
  readonly #options: PartUrlsOptions;
  readonly #batchSize: number;
  readonly #urls = new Map<number, { readonly url: string; readonly goodUntil: number }>();
  readonly #underway = new Map<number, Promise<void>>();

  constructor(options: PartUrlsOptions) {
    this.#options = options;
    this.#batchSize = options.batchSize ?? 50;
  }

  add(partUrls: readonly PartUrl[]): void {
    for (const { partNumber, url, expiresAt } of partUrls) {
      this.#urls.set(partNumber, { url, goodUntil: goodUntil(url, expiresAt, this.#options.now()) });
    }
  }

  /** A URL that is good for now. Signs it, and the next ones with it, where there is none. */
  async get(partNumber: number): Promise<string> {
    if (!this.#isFresh(partNumber)) await this.#fetch(partNumber);
    const entry = this.#urls.get(partNumber);
    if (!entry) throw new Error(`The server signed no URL for part ${partNumber}.`);
    this.#fetchAhead(partNumber);
    return entry.url;
  }

  /** The part is stored, or S3 refused the URL: another {@link get} signs a new one. */
  discard(partNumber: number): void {
    this.#urls.delete(partNumber);
  }

  #isFresh(partNumber: number): boolean {
    const entry = this.#urls.get(partNumber);
    return entry !== undefined && entry.goodUntil > this.#options.now();
  }

  #fetch(partNumber: number): Promise<void> {
    const underway = this.#underway.get(partNumber);
    if (underway) return underway;
    const batch = [partNumber];
    for (const next of this.#options.upcoming(partNumber)) {
      if (batch.length >= this.#batchSize) break;
      if (next !== partNumber && !this.#isFresh(next) && !this.#underway.has(next)) batch.push(next);
    }
    const signing = this.#options
      .sign(batch)
      .then((partUrls) => this.add(partUrls))
      .finally(() => {
        for (const number of batch) this.#underway.delete(number);
      });
    for (const number of batch) this.#underway.set(number, signing);
    return signing;
  }

  /** Signs the next batch when half of the last one is used up. */
  #fetchAhead(partNumber: number): void {
    let ahead = 0;
    for (const next of this.#options.upcoming(partNumber)) {
      if (this.#underway.has(next)) return;
      if (!this.#isFresh(next)) {
        // A failure is not lost: whoever needs the URL asks again, and is told then.
        this.#fetch(next).catch(() => undefined);
        return;
      }
      if (++ahead >= this.#batchSize / 2) return;
    }
  }
}

/**
 * Until when to use a URL, by our own clock. Its lifetime is counted from now on: a browser whose clock is an hour
 * wrong would otherwise take every URL for expired, or none.
 */
function goodUntil(url: string, expiresAt: string, now: number): number {
  const seconds = /[?&]X-Amz-Expires=(\d+)/i.exec(url)?.[1];
  const lifetime = seconds ? Number(seconds) * 1000 : Date.parse(expiresAt) - now;
  return now + lifetime - Math.min(MARGIN_MS, lifetime / 4);
}
