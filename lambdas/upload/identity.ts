import { createHash, randomInt } from 'node:crypto';

export type UploadMode = 'proxy' | 'presigned';

/** What makes two requests belong to the same upload. All of it, so that neither another person's file of the same
 * name nor the same name with another size or geometry can meet it. */
export interface UploadIdentity {
  readonly owner: string;
  readonly mode: UploadMode;
  /** The client's own name for the file; Resumable.js makes it from size and name, which collides by itself. */
  readonly identifier: string;
  readonly totalSize: number;
  /** The client's chunk size; 0 in presigned mode, where the server chooses and keeps to its choice. */
  readonly chunkSize: number;
  readonly fileName: string;
}

const sha256Hex = (text: string): string => createHash('sha256').update(text).digest('hex');

/** 32 hex digits. JSON keeps the fields apart, so that no two identities read alike. */
export const uploadIdOf = ({
  owner,
  mode,
  identifier,
  totalSize,
  chunkSize,
  fileName,
}: UploadIdentity): string =>
  sha256Hex(JSON.stringify([owner, mode, identifier, totalSize, chunkSize, fileName])).slice(0, 32);

export const isUploadId = (text: string): boolean => /^[0-9a-f]{32}$/.test(text);

/**
 * A name for one try at an upload: 14 characters of `0-9a-z`, sorting by time. Never used again, also not after the
 * upload's record is gone: an execution's name stays blocked for 90 days.
 *
 * @param previous the attempt that this one replaces: the new one sorts after it even where clocks disagree, since
 *   cleaning up after an attempt takes everything up to it
 */
export function newAttempt(now: number, previous?: string): string {
  const time = Math.max(now, previous ? Number.parseInt(previous.slice(0, 9), 36) + 1 : 0);
  return (
    time.toString(36).padStart(9, '0') +
    randomInt(36 ** 5)
      .toString(36)
      .padStart(5, '0')
  );
}

/** The owner as it may stand in a key: itself where it is plain, else a digest, so that `a/../b` names nobody else. */
export const ownerSlug = (principal: string): string =>
  /^[A-Za-z0-9_-]{1,64}$/.test(principal) ? principal : `~${sha256Hex(principal).slice(0, 32)}`;

/** At most 80 characters of those that Step Functions and CloudWatch Logs both take. */
export const executionName = (upload: { uploadId: string; attempt: string; run: number }): string =>
  `${upload.uploadId}-${upload.attempt}-${upload.run}`;
