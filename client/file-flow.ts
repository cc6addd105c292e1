import { ApiError, errorFromAnswer } from './api.ts';
import { sleep, untilOnline, waitBeforeRetry } from './backoff.ts';
import { assertReadable } from './identifier.ts';
import type { FinishedRequest, ResumableChunk, ResumableFile } from './resumable-types.ts';

/** Why a chunk's last request failed. Status 0: no answer. */
export interface ChunkFailure {
  readonly status: number;
  readonly body: string;
  readonly retryAfter: string | null;
}

/** What a mode knows of one file once the server has been asked. */
export interface UploadSession {
  /** Bytes of every chunk but the last. */
  readonly chunkSize: number;
  /** Numbers (from 1) of the chunks that the server has already. */
  readonly received: Iterable<number>;
  /**
   * Called before each request for a chunk, first or repeated. Rejecting ends the file with the error's message.
   *
   * @param failure of the request before
   */
  prepare(chunk: ResumableChunk, failure: ChunkFailure | undefined, signal: AbortSignal): Promise<void>;
  /**
   * A chunk's request has succeeded. The chunk counts as uploaded only when this resolves.
   *
   * @returns the message for `fileSuccess`
   */
  stored(chunk: ResumableChunk): Promise<string>;
  /** Throws away what the server has. */
  cancel(): Promise<void>;
  /** The page goes away: last chance to tell the server something. */
  leaving?(): void;
}

export interface FlowControl {
  readonly file: ResumableFile;
  /** Counts these chunks as uploaded, without a request. */
  markReceived(numbers: Iterable<number>): void;
  /** Counts these chunks as not uploaded. */
  sendAgain(numbers: Iterable<number>): void;
  /** Whether each chunk's request has succeeded. */
  allSent(): boolean;
}

export interface FlowHost {
  /** Rebuilds the file's chunks; resolves when Resumable.js is through. */
  rebuildChunks(file: ResumableFile): Promise<void>;
  /** A slot may have become free. */
  proceed(): void;
  /** Not the end of a file, but worth an `error` event. */
  warn(message: string, file: ResumableFile): void;
}

const FINISHED: FinishedRequest = {
  readyState: 4,
  status: 200,
  responseText: '',
  getResponseHeader: () => null,
  getAllResponseHeaders: () => '',
  abort: () => undefined,
};

/**
 * One file on its way through Resumable.js 1.1, from the first question to the server to the last chunk.
 *
 * Resumable.js decides which chunk goes when, and sends it. What it cannot do is put in at two places: before each
 * request (`preprocess`: wait, sign, skip) and after each answer (the chunk's `callback`: record, only then count).
 */
export class FileFlow {
  readonly file: ResumableFile;
  readonly #host: FlowHost;
  readonly #ready: Promise<UploadSession>;
  readonly #preparing = new Map<ResumableChunk, AbortController>();
  readonly #failures = new WeakMap<ResumableChunk, ChunkFailure>();
  /** Hands an event of any chunk on as the file's. */
  readonly #tell: ResumableChunk['callback'];
  #session: UploadSession | undefined;
  #state: 'under way' | 'failed' | 'uploaded' | 'cancelled' = 'under way';

  /** @param placeholder the one chunk that Resumable.js has cut before the chunk size was known */
  constructor(
    placeholder: ResumableChunk,
    host: FlowHost,
    open: (control: FlowControl) => Promise<UploadSession>,
  ) {
    this.file = placeholder.fileObj;
    this.#tell = placeholder.callback;
    this.#host = host;
    delete this.file.uploadError;
    this.#ready = this.#open(open);
    this.#ready.catch((error: unknown) => this.fail(error));
  }

  /** Whether `file.retry()` needs another one. */
  get over(): boolean {
    return this.#state !== 'under way';
  }

  /** Chunks that take up a slot without a request. */
  get preparing(): number {
    return this.#preparing.size;
  }

  /** Resumable.js is about to send this chunk: does all that must come first, then lets it. */
  async prepare(chunk: ResumableChunk): Promise<void> {
    const turn = new AbortController();
    this.#preparing.set(chunk, turn);
    try {
      const session = await this.#ready;
      turn.signal.throwIfAborted();
      if (chunk.status() === 'pending') {
        const failure = this.#failures.get(chunk);
        if (failure) await waitForBetterTimes(chunk.retries, failure, turn.signal);
        // A file that is gone or has changed looks like a connection that fails, each time.
        if (failure?.status === 0) await assertReadable(this.file.file, chunk.startByte);
        await session.prepare(chunk, failure, turn.signal);
        turn.signal.throwIfAborted();
        this.#preparing.delete(chunk);
        if (this.file.isPaused()) chunk.preprocessState = 0;
        else return chunk.preprocessFinished();
      }
    } catch (error) {
      // When revoked, it starts over when its turn comes again.
      if (!turn.signal.aborted) this.fail(error);
      return;
    }
    this.#preparing.delete(chunk);
    this.#host.proceed();
  }

  /** Paused or cancelled: what was about to be sent goes back to the queue. */
  revoke(): void {
    for (const [chunk, turn] of this.#preparing) {
      turn.abort();
      chunk.preprocessState = 0;
    }
    this.#preparing.clear();
  }

  fail(error: unknown): void {
    if (this.over) return;
    this.#end('failed');
    this.file.uploadError = error instanceof Error ? error : new Error(String(error));
    this.#tell('error', this.file.uploadError.message);
    this.#host.proceed();
  }

  /** Ends it without a word: the file is about to be sent anew. */
  restart(): void {
    if (!this.over) this.#end('failed');
  }

  /** Also after a failure: what has arrived would lie on the server until it expires. */
  async cancel(): Promise<void> {
    if (this.#state === 'uploaded' || this.#state === 'cancelled') return;
    this.#end('cancelled');
    const session = await this.#ready.catch(() => undefined); // Never opened: nothing to throw away.
    try {
      await session?.cancel();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#host.warn(`The upload could not be cancelled on the server. ${reason}`, this.file);
    }
  }

  leaving(): void {
    this.#session?.leaving?.();
  }

  async #open(open: (control: FlowControl) => Promise<UploadSession>): Promise<UploadSession> {
    await assertUsable(this.file.file);
    const session = await open({
      file: this.file,
      markReceived: (numbers) => this.#markReceived(numbers),
      sendAgain: (numbers) => this.#sendAgain(numbers),
      allSent: () => this.file.chunks.every((chunk) => chunk.status() === 'success'),
    });
    this.#session = session;
    if (this.over) return session;
    this.file.opts.chunkSize = session.chunkSize;
    await this.#host.rebuildChunks(this.file);
    if (this.over) return session;
    for (const chunk of this.file.chunks) this.#watch(chunk);
    this.#markReceived(session.received);
    return session;
  }

  #watch(chunk: ResumableChunk): void {
    const abort = chunk.abort;
    chunk.abort = () => {
      // Resumable.js throws a failed request away before it tells of the retry: this is the last look at it.
      const { xhr } = chunk;
      if (xhr?.readyState === 4 && xhr !== FINISHED) this.#failures.set(chunk, failureOf(xhr));
      abort();
      // Resumable.js would neither prepare it again nor, after a pause, send it at all.
      if (chunk.preprocessState === 2) chunk.preprocessState = 0;
    };
    chunk.callback = (event, message) => {
      if (event === 'success') void this.#store(chunk);
      else if (event === 'error') this.fail(errorOf(chunk));
      else this.#tell(event, message);
    };
  }

  async #store(chunk: ResumableChunk): Promise<void> {
    this.#failures.delete(chunk);
    chunk.preprocessState = 1; // Not complete before the server knows.
    try {
      const message = (await this.#session?.stored(chunk)) ?? '';
      if (this.over) return;
      if (chunk.status() === 'success') {
        chunk.preprocessState = 2;
        this.#succeed(message);
      }
      this.#host.proceed();
    } catch (error) {
      this.fail(error);
    }
  }

  #succeed(message: string): void {
    if (this.file.isComplete()) this.#end('uploaded');
    this.#tell('success', message);
  }

  #end(state: 'failed' | 'uploaded' | 'cancelled'): void {
    this.#state = state;
    this.revoke();
    // A retry asks the server anew.
    delete this.file.opts.chunkSize;
  }

  #markReceived(numbers: Iterable<number>): void {
    if (this.over) return; // The chunks are another run's by now.
    for (const number of numbers) {
      const chunk = this.file.chunks[number - 1];
      if (chunk?.status() !== 'pending') continue;
      this.#preparing.get(chunk)?.abort();
      this.#preparing.delete(chunk);
      chunk.xhr = FINISHED;
      chunk.preprocessState = 2;
    }
    this.#tell('progress');
    if (this.file.chunks.length > 0 && this.file.isComplete()) this.#succeed('');
    queueMicrotask(() => this.#host.proceed());
  }

  #sendAgain(numbers: Iterable<number>): void {
    if (this.over) return;
    for (const number of numbers) {
      const chunk = this.file.chunks[number - 1];
      if (chunk?.status() !== 'success') continue;
      chunk.xhr = null;
      chunk.preprocessState = 0;
    }
    this.#host.proceed();
  }
}

/** @throws where there is nothing to send: said before the server is asked */
async function assertUsable(file: File): Promise<void> {
  if (file.size === 0)
    throw new ApiError('The file has no bytes; choose one that has.', 400, {
      type: 'urn:resumable-uploads:problem:empty-file',
    });
  await assertReadable(file, 0);
}

const failureOf = (xhr: XMLHttpRequest | FinishedRequest): ChunkFailure => ({
  status: xhr.status,
  body: xhr.responseText,
  // Asked for by name, a header that CORS does not expose would be reported to the browser's console as an error.
  retryAfter: /^retry-after: *(.+?)\r?$/im.exec(xhr.getAllResponseHeaders())?.[1] ?? null,
});

function errorOf({ xhr }: ResumableChunk): ApiError {
  const { status, body, retryAfter } = xhr ? failureOf(xhr) : { status: 0, body: '', retryAfter: null };
  return errorFromAnswer(status, body, retryAfter, Date.now());
}

/** The backoff that Resumable.js lacks. */
async function waitForBetterTimes(
  retries: number,
  failure: ChunkFailure,
  signal: AbortSignal,
): Promise<void> {
  const { retryAfterMs } = errorFromAnswer(failure.status, '', failure.retryAfter, Date.now());
  await sleep(waitBeforeRetry(Math.max(retries - 1, 0), Math.random, {}, retryAfterMs), signal);
  await untilOnline(signal);
}
