import type { ReportedPart } from './api.ts';

export interface PartReportOptions<Answer> {
  /** Tells the server; retrying is its business. */
  readonly send: (parts: readonly ReportedPart[]) => Promise<Answer>;
  /** Whether no other part is on its way, so that waiting for company makes no sense. */
  readonly isLast: () => boolean;
  /** A report is sent at this many parts. @default 50 */
  readonly batchSize?: number;
  /** Or when its first part has waited for this long, in milliseconds. @default 60000 */
  readonly maxWaitMs?: number;
}

/**
 * Tells the server of stored parts in batches. S3 holds the bytes by then, but until the server has recorded a part it
 * is not there for anyone: so each part's promise resolves with the answer to the report that held it.
 */
export class PartReport<Answer> {
  readonly #options: PartReportOptions<Answer>;
  #waiting: { part: ReportedPart; resolve: (answer: Answer) => void; reject: (error: unknown) => void }[] =
    [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #unanswered = 0;

  constructor(options: PartReportOptions<Answer>) {
    this.#options = options;
  }

  /** Whether the server has answered for every part. While it has not, its word for the whole says nothing. */
  get isSettled(): boolean {
    return this.#unanswered === 0;
  }

  add(part: ReportedPart): Promise<Answer> {
    this.#unanswered++;
    const recorded = new Promise<Answer>((resolve, reject) => {
      this.#waiting.push({ part, resolve, reject });
    });
    const { batchSize = 50, maxWaitMs = 60_000, isLast } = this.#options;
    if (this.#waiting.length >= batchSize || isLast()) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), maxWaitMs);
    return recorded;
  }

  /** Forgets what has gathered: nobody wants to know any more. */
  discard(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const dropped = this.#waiting.splice(0);
    this.#unanswered -= dropped.length;
    for (const { reject } of dropped) reject(new Error('The upload was cancelled.'));
  }

  /** Sends what has gathered, now. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const batch = this.#waiting;
    this.#waiting = [];
    if (batch.length === 0) return;
    this.#options.send(batch.map(({ part }) => part)).then(
      (answer) => {
        this.#unanswered -= batch.length;
        for (const { resolve } of batch) resolve(answer);
      },
      (error: unknown) => {
        this.#unanswered -= batch.length;
        for (const { reject } of batch) reject(error);
      },
    );
  }
}
