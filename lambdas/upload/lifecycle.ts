import { setTimeout as pause } from 'node:timers/promises';
import { abortMultipartUpload, type Bucket, createMultipartUpload } from '../storage/multipart.ts';
import type { UploadIdentity } from './identity.ts';
import { newAttempt, uploadIdOf } from './identity.ts';
import { isOpen, objectKey, type UploadRecord } from './record.ts';
import type { UploadSettings } from './settings.ts';
import { changeUpload, getUpload, putNewAttempt, type Table } from './store.ts';

const DAY = 86_400;

/** How long after its last sign of life an upload waits for the watchdog's next look. */
export const FIRST_LOOK_SECONDS = 300;

/** While nothing changes, looks get rarer, up to this. */
const SLOWEST_LOOK_SECONDS = 6 * 3600;

/** How long the watchdog waits where `times` looks have changed nothing, or as many redrives have failed. */
export const pauseBeforeLook = (times: number): number =>
  Math.min(FIRST_LOOK_SECONDS * 2 ** times, SLOWEST_LOOK_SECONDS);

/**
 * The time of the last part is noted at most this often, since each note is a write: every 24th of the time after
 * which an upload counts as abandoned. The expiry lies that much later, so that nobody gets less time than promised.
 */
const activityStep = ({ abandonAfterSeconds }: UploadSettings): number => Math.ceil(abandonAfterSeconds / 24);

/** When an upload that is active now expires, epoch seconds. */
export function expiryFrom(seconds: number, createdAt: number, settings: UploadSettings): number {
  return Math.min(
    seconds + settings.abandonAfterSeconds + activityStep(settings),
    createdAt + settings.maxAgeSeconds,
  );
}

/** Records of uploads outlive the uploads by a day: an expired one can still be told apart from an unknown one. */
export const ttlOf = (createdAt: number, settings: UploadSettings): number =>
  createdAt + settings.maxAgeSeconds + DAY;

/** A new attempt at an upload, as it goes into the table. */
export function newUpload(
  identity: UploadIdentity,
  file: {
    contentType: string;
    pieceSize: number;
    metadata?: Readonly<Record<string, string>> | undefined;
    keyPrefix?: string | undefined;
  },
  settings: UploadSettings,
  now: number,
  previous?: UploadRecord,
): UploadRecord {
  const createdAt = Math.floor(now / 1000);
  const { owner, mode, totalSize, fileName } = identity;
  return {
    owner,
    uploadId: uploadIdOf(identity),
    attempt: newAttempt(now, previous?.attempt),
    run: 1,
    mode,
    status: 'uploading',
    fileName,
    contentType: file.contentType,
    ...(file.metadata && Object.keys(file.metadata).length > 0 && { metadata: file.metadata }),
    ...(file.keyPrefix && { keyPrefix: file.keyPrefix }),
    ...(settings.checkContent && mode === 'presigned' && { firstPartStaged: true }),
    totalSize,
    pieceSize: file.pieceSize,
    fullPages: new Set(),
    createdAt,
    expiresAt: expiryFrom(createdAt, createdAt, settings),
    nextLook: createdAt + FIRST_LOOK_SECONDS,
    ttl: ttlOf(createdAt, settings),
  };
}

/**
 * Gets the live attempt of an upload, or creates one where there is none: never begun, or the last one failed, was
 * aborted, or has expired. Of many requests at once one creates it, and all get the same.
 *
 * @param create makes the new attempt; called again for each race lost. Undefined: another request is about to put
 *   one, look again in a moment
 * @param lost told of an attempt that was made and not put
 */
export async function getOrCreateUpload(
  table: Table,
  address: { owner: string; uploadId: string },
  now: number,
  create: (previous: UploadRecord | undefined) => Promise<UploadRecord | undefined>,
  lost: (upload: UploadRecord) => Promise<void> = async () => {},
): Promise<{ upload: UploadRecord; created: boolean; previous?: UploadRecord | undefined }> {
  for (let race = 0; race < 5; race++) {
    const existing = await getUpload(table, address, now);
    if (
      existing &&
      (isOpen(existing, now) || existing.status === 'completing' || existing.status === 'completed')
    )
      return { upload: existing, created: false };
    const upload = await create(existing);
    if (!upload) {
      await pause(50 * 2 ** race);
      continue;
    }
    if (await putNewAttempt(table, upload, now)) return { upload, created: true, previous: existing };
    const first = await getUpload(table, address, now);
    // This very attempt: the answer to our own put was lost, and the SDK repeated it.
    if (first?.attempt === upload.attempt) return { upload: first, created: true, previous: existing };
    await lost(upload);
  }
  throw new Error('The upload was created and ended again by other requests, five times in a row.');
}

/**
 * Gives the upload its S3 multipart upload. Where two do this at once the first to record its id wins, and the other
 * aborts the one that it made; one whose maker died between the two calls is swept by the watchdog.
 */
export async function ensureMultipartUpload(
  table: Table,
  bucket: Bucket,
  upload: UploadRecord,
  now: number,
): Promise<UploadRecord & { s3UploadId: string }> {
  if (hasMultipartUpload(upload)) return upload;
  const key = objectKey(upload);
  const s3UploadId = await createMultipartUpload(bucket, { key, contentType: upload.contentType });
  const changed = await changeUpload(table, upload, {
    set: { s3UploadId },
    when: { absent: 's3UploadId', status: ['uploading', 'completing', 'failed'] },
  });
  if (changed && hasMultipartUpload(changed)) return changed;

  const winner = await getUpload(table, upload, now);
  // With this very id, it is our own write that was first: its answer was lost, and the SDK repeated it.
  if (winner?.s3UploadId !== s3UploadId) await abortMultipartUpload(bucket, { key, s3UploadId });
  if (winner?.attempt === upload.attempt && hasMultipartUpload(winner)) return winner;
  throw new UploadEnded('The upload ended while its multipart upload was being created.');
}

/** The upload was aborted, expired or started over between two of a request's steps. The request may be repeated. */
export class UploadEnded extends Error {
  override readonly name = 'UploadEnded';
}

const hasMultipartUpload = (upload: UploadRecord): upload is UploadRecord & { s3UploadId: string } =>
  upload.s3UploadId !== undefined;

/**
 * Keeps an active upload from expiring, and has the watchdog look soon if it had slowed down: one write at most for
 * each 24th of the time to abandonment, or none.
 */
export async function keepAlive(
  table: Table,
  upload: UploadRecord,
  settings: UploadSettings,
  now: number,
): Promise<void> {
  const seconds = Math.floor(now / 1000);
  const expiresAt = expiryFrom(seconds, upload.createdAt, settings);
  const set = {
    ...(upload.expiresAt - seconds < settings.abandonAfterSeconds &&
      expiresAt > upload.expiresAt && { expiresAt }),
    ...soonerLook(upload, seconds),
  };
  if (Object.keys(set).length === 0) return;
  await changeUpload(table, upload, { set, when: { status: ['uploading'], expiresAfter: now } });
}

/** The watchdog's next look, where it lies further off than an active upload's should. */
export const soonerLook = (upload: UploadRecord, seconds: number): { nextLook?: number } =>
  (upload.nextLook ?? 0) > seconds + FIRST_LOOK_SECONDS ? { nextLook: seconds + FIRST_LOOK_SECONDS } : {};
