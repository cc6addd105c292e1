/** One entry of `GET /_local/events`, as far as the pages read it. */
export interface BusEvent {
  /** Grows with each event. */
  readonly seq: number;
  readonly bus: string;
  readonly event: UploadEvent;
  readonly matchedRules: readonly string[];
}

/** What EventBridge delivers. */
export interface UploadEvent {
  readonly source?: string;
  readonly 'detail-type': string;
  readonly time?: string;
  readonly detail: {
    readonly uploadId?: string;
    readonly bucket?: string;
    readonly name?: string;
    readonly status?: string;
  };
}

/** Follows the events of the local stack: each call gives those that came since the last. */
export class BusEvents {
  #last = 0;
  #underway: Promise<readonly BusEvent[]> = Promise.resolve([]);

  /** @returns oldest first */
  fetchNew(): Promise<readonly BusEvent[]> {
    // One after the other, whoever asks: no event is given twice.
    const next = this.#underway.then(() => this.#fetchPages());
    this.#underway = next.catch(() => []);
    return next;
  }

  async #fetchPages(): Promise<readonly BusEvent[]> {
    const fresh: BusEvent[] = [];
    for (;;) {
      const answer = await fetch(`/_local/events?after=${this.#last}&limit=1000`);
      if (!answer.ok) throw new Error(`The local stack answers ${answer.status}.`);
      const { events } = (await answer.json()) as { events: BusEvent[] };
      const last = events.at(-1);
      if (!last) return fresh;
      this.#last = last.seq;
      fresh.push(...events);
    }
  }
}
