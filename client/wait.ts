import { ApiError, type ApiOptions, type CompletedUpload, type Upload, uploadsApi } from './api.ts';
import { sleep } from './backoff.ts';
import { missingNumbers, numbersIn } from './ranges.ts';

/** An outage of some ten minutes, as the chunks outlast it: all that was sent would seem lost. */
const MAX_RETRIES = 50;

/** An upload has ended without an object. */
export class UploadEndedError extends Error {
  override readonly name = 'UploadEndedError';
  readonly upload: Upload;
  constructor(upload: Upload, message: string) {
    super(message);
    this.upload = upload;
  }
}

/** S3 turned out to lack parts that had been reported: the upload is open again. `file.retry()` sends what is missing. */
export class UploadReopenedError extends Error {
  override readonly name = 'UploadReopenedError';
  readonly upload: Upload;
  constructor(upload: Upload) {
    super('Storage lacks some parts of this file after all: they must be sent again.');
    this.upload = upload;
  }
}

export interface WaitOptions extends ApiOptions {
  /** @default 50 */
  readonly maxRetries?: number | undefined;
  readonly uploadId: string;
  readonly signal?: AbortSignal | undefined;
  /** Told of every answer. */
  readonly onStatus?: (upload: Upload) => void;
  /** First and longest time between two looks, in milliseconds. @default [500, 5000] */
  readonly intervalMs?: readonly [number, number];
}

/**
 * Waits until the object exists, by asking for the upload's status, first often and then less so. To be called once all
 * is sent (`fileSuccess`): an upload that lacks parts then has been opened again.
 *
 * @throws UploadEndedError where the upload failed, was aborted or has expired
 * @throws UploadReopenedError where parts must be sent again
 * @throws ApiError where the API refuses
 * @throws the signal's reason when aborted
 */
export async function waitUntilCompleted(options: WaitOptions): Promise<CompletedUpload> {
  const { uploadId, signal, onStatus, intervalMs: [first, longest] = [500, 5000] } = options;
  const api = uploadsApi({ ...options, maxRetries: options.maxRetries ?? MAX_RETRIES });
  let seenCompleting = false;
  for (let interval = first; ; interval = Math.min(interval * 1.3, longest)) {
    const upload = await api.get(uploadId, { signal });
    onStatus?.(upload);
    switch (upload.status) {
      case 'completed':
        if (!isCompleted(upload)) throw new ApiError('The server names no ETag for a completed upload.', 200);
        return upload;
      case 'failed':
        throw new UploadEndedError(upload, failureSentence(upload));
      case 'aborted':
        throw new UploadEndedError(upload, 'The upload was cancelled.');
      case 'expired':
        throw new UploadEndedError(upload, 'The upload has expired.');
      case 'completing':
        seenCompleting = true;
        break;
      case 'uploading':
        // With nothing missing, the server is about to notice that all is there.
        if (seenCompleting || lacksParts(upload)) throw new UploadReopenedError(upload);
    }
    await sleep(interval, signal);
  }
}

function lacksParts({ partCount, receivedParts }: Upload): boolean {
  return !missingNumbers(partCount, new Set(numbersIn(receivedParts))).next().done;
}

const isCompleted = (upload: Upload): upload is CompletedUpload =>
  upload.status === 'completed' && upload.etag !== undefined;

const failureSentence = ({ failure }: Upload): string =>
  failure
    ? `The server could not complete the upload: ${failure.cause || failure.error}`
    : 'The server could not complete the upload.';
