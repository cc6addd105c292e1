import { bytesOfPieces, type Pieces, pieceCount } from '../parts/geometry.ts';
import { levelsOf, piecesBelow } from '../parts/pages.ts';
import { cleanFileName } from './file-name.ts';
import { executionName, type UploadMode } from './identity.ts';

/**
 * - `uploading`: takes parts
 * - `completing`: all bytes are there; the workflow is at it
 * - `completed`: the object exists
 * - `failed`: the workflow gave up; the watchdog or ops redrive it, a client may start over
 * - `aborted`: by its owner
 * - `expired`: abandoned, or too old
 */
export type UploadStatus = 'uploading' | 'completing' | 'completed' | 'failed' | 'aborted' | 'expired';

/** An upload's item in the table. Times are epoch seconds. */
export interface UploadRecord extends Pieces {
  readonly owner: string;
  readonly uploadId: string;
  /** What arrives late for another attempt changes nothing. */
  readonly attempt: string;
  /** Grows when S3 turned out to lack a part and the upload was opened again: a new execution needs a new name. */
  readonly run: number;
  readonly mode: UploadMode;
  readonly status: UploadStatus;
  /** As the client gave it; the key holds {@link cleanFileName} of it. */
  readonly fileName: string;
  readonly contentType: string;
  readonly metadata?: Readonly<Record<string, string>>;
  /** The deployer's own, below `uploads/`, without a slash at either end. */
  readonly keyPrefix?: string;
  /**
   * Presigned mode with content checked: the first part is staged, looked at by the workflow, and copied into its
   * place.
   */
  readonly firstPartStaged?: boolean;
  /** Absent until S3's multipart upload has been created. */
  readonly s3UploadId?: string;
  /** Top pages or nodes of which all pieces are recorded. */
  readonly fullPages: ReadonlySet<number>;
  readonly createdAt: number;
  /** From this second on an upload that is `uploading` counts as gone, whoever looks first. */
  readonly expiresAt: number;
  /** When the watchdog looks next; absent when it need not look any more. */
  readonly nextLook?: number;
  /** Bytes recorded when the watchdog last looked, and how often it has seen the same. */
  readonly lookedBytes?: number;
  readonly looksWithoutChange?: number;
  readonly completedAt?: number;
  readonly etag?: string;
  readonly failure?: { readonly error: string; readonly cause: string };
  /** How often the watchdog has redriven its execution. */
  readonly redrives?: number;
  /** The event of an expired or failed upload has been emitted. */
  readonly announced?: boolean;
  /** Swept once already, after its end. */
  readonly swept?: boolean;
  readonly ttl: number;
}

/** Where an upload's object will be. The attempt is in it, so that no late completion can overwrite another's object. */
export const objectKey = (upload: {
  owner: string;
  uploadId: string;
  attempt: string;
  fileName: string;
  keyPrefix?: string;
}): string => `${objectPrefix(upload)}${upload.attempt}/${cleanFileName(upload.fileName)}`;

/** Everything that any attempt of this upload can put under its final keys. */
export const objectPrefix = (upload: { owner: string; uploadId: string; keyPrefix?: string }): string =>
  `uploads/${upload.keyPrefix ? `${upload.keyPrefix}/` : ''}${upload.owner}/${upload.uploadId}/`;

/** Everything that any attempt of this upload can have staged. */
export const stagingPrefix = (upload: { owner: string; uploadId: string }): string =>
  `staging/${upload.owner}/${upload.uploadId}/`;

export const stagedChunkKey = (
  upload: { owner: string; uploadId: string; attempt: string },
  chunkNumber: number,
): string => `${stagingPrefix(upload)}${upload.attempt}/${String(chunkNumber).padStart(7, '0')}`;

export const executionNameOf = (upload: UploadRecord): string => executionName(upload);

/** Takes parts: neither over, nor expired. */
export const isOpen = (upload: UploadRecord, now: number): boolean =>
  upload.status === 'uploading' && upload.expiresAt * 1000 > now;

/** The status as a client is to see it: time is over when it is over, not when the watchdog comes by. */
export const statusAt = (upload: UploadRecord, now: number): UploadStatus =>
  upload.status === 'uploading' && !isOpen(upload, now) ? 'expired' : upload.status;

/**
 * Bytes that the upload's own item knows to be there: those of full top pages. Exact when nothing is on its way;
 * else at most the pages under way too low.
 */
export function bytesOnFullPages(upload: UploadRecord): number {
  const count = pieceCount(upload);
  const level = levelsOf(count).length - 1;
  let bytes = 0;
  for (const index of upload.fullPages) {
    const { first, last } = piecesBelow({ level, index }, count);
    bytes += bytesOfPieces(upload, first, last);
  }
  return bytes;
}
