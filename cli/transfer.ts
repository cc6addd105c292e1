import type { CompletedUpload } from '../client/api.ts';
import { wholeElsewhere } from '../client/confirm.ts';
import { missingNumbers, numbersIn } from '../client/ranges.ts';
import { UploadReopenedError, waitUntilCompleted } from '../client/wait.ts';
import type { Connection } from './connection.ts';
import type { LocalFile } from './local-file.ts';
import type { ProgressLine } from './progress-line.ts';
import { bytesOf, type Sender } from './sender.ts';

/** How often an upload that should be whole may turn out not to be. */
const MAX_ROUNDS = 4;

export interface TransferOptions {
  readonly sender: Sender;
  readonly connection: Connection;
  readonly file: LocalFile;
  readonly parallel: number;
  readonly signal: AbortSignal;
  readonly line: ProgressLine;
}

/** Sends what the server lacks, and waits until the object is there. */
export async function transfer(options: TransferOptions): Promise<CompletedUpload> {
  const { sender, connection, file, parallel, signal, line } = options;
  for (let round = 1; round <= MAX_ROUNDS; round++) {
    let done = bytesOf(sender.received, file.size, sender.partSize);
    line.update(done);
    const missing = missingNumbers(sender.partCount, new Set(sender.received));
    try {
      await inParallel(missing, parallel, signal, (number, partSignal) =>
        sender.send(number, partSignal, (bytes) => {
          done += bytes;
          line.update(done);
        }),
      );
    } catch (error) {
      await wholeElsewhere(connection.api, sender.uploadId, error);
    } finally {
      await sender.flush(); // Also when interrupted: what is stored need not travel again.
    }
    const upload = await connection.api.get(sender.uploadId, { signal });
    if (upload.status !== 'uploading') {
      line.say('all bytes sent; the server completes the object …');
      try {
        return await waitUntilCompleted({
          api: connection.apiUrl,
          fetch: connection.fetch,
          uploadId: sender.uploadId,
          signal,
        });
      } catch (error) {
        if (!(error instanceof UploadReopenedError)) throw error;
        recount(sender, error.upload.receivedParts);
      }
    } else recount(sender, upload.receivedParts);
  }
  throw new Error('The server does not confirm that all parts have arrived. Run the command again.');
}

/** The server's word counts. Where nothing is missing, the last part sent again carries on what was interrupted. */
function recount(sender: Sender, receivedParts: CompletedUpload['receivedParts']): void {
  sender.received.clear();
  for (const number of numbersIn(receivedParts)) sender.received.add(number);
  if (sender.received.size === sender.partCount) sender.received.delete(sender.partCount);
}

/** Runs `work` on each item, `width` at once. The first failure stops the others, and is thrown when they have. */
export async function inParallel<T>(
  items: Iterable<T>,
  width: number,
  signal: AbortSignal,
  work: (item: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const queue = items[Symbol.iterator]();
  const worker = async () => {
    for (let next = queue.next(); !next.done; next = queue.next()) {
      either.throwIfAborted();
      try {
        await work(next.value, either);
      } catch (error) {
        stop.abort(error);
        throw error;
      }
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: width }, worker));
  signal.throwIfAborted();
  stop.signal.throwIfAborted();
  for (const end of ended) if (end.status === 'rejected') throw end.reason;
}
