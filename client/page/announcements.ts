export type Kind = 'added' | 'progress' | 'completed' | 'failed' | 'cancelled' | 'discarded' | 'notice';

export interface Announcement {
  readonly kind: Kind;
  /** What it is about: a file's name. */
  readonly subject: string;
  readonly sentence: string;
}

/** What is still to be said aloud: as little as tells it, or a hundred files would be talked about for minutes. */
export class Announcements {
  #waiting: Announcement[] = [];

  /** A percentage that has not been said is stale as soon as there is other news of its file. */
  add(news: Announcement): void {
    this.#waiting = this.#waiting.filter(
      ({ kind, subject }) => kind !== 'progress' || subject !== news.subject,
    );
    this.#waiting.push(news);
  }

  /** What to say now: failures first, and what is alike of several files in one sentence. */
  next(): string | undefined {
    const first = this.#waiting.find(({ kind }) => kind === 'failed') ?? this.#waiting[0];
    if (!first) return undefined;
    const isAlike = ({ kind }: Announcement) => kind === first.kind;
    const together =
      first.kind === 'progress' || first.kind === 'notice' ? [first] : this.#waiting.filter(isAlike);
    this.#waiting = this.#waiting.filter((one) => !together.includes(one));
    return together.length === 1 ? first.sentence : `${together.length} files ${first.kind}`;
  }
}
