import { dynamoDbClient } from './clients/dynamodb.ts';
import { s3Client } from './clients/s3.ts';
import { settings, variable } from './environment.ts';
import { completedDetail, type UploadCompletedDetail } from './events/upload-event.ts';
import { logger } from './http/logger.ts';
import { countCompleted } from './metrics.ts';
import { assemblyOf, bytesOfPieces, chunksOfPart, pieceCount, pieceLength } from './parts/geometry.ts';
import { isDirect, type PieceMark, readMarks, recordPieces } from './parts/ledger.ts';
import {
  type Bucket,
  completeMultipartUpload,
  headObject,
  isS3Error,
  listParts,
  type MultipartUpload,
  type StoredObject,
  type StoredPart,
} from './storage/multipart.ts';
import { deleteObjects } from './storage/staging.ts';
import { hasQuota, release } from './upload/quota.ts';
import { stagedChunkKey, type UploadRecord } from './upload/record.ts';
import type { UploadSettings } from './upload/settings.ts';
import { partitionKey, type Table } from './upload/store.ts';
import { MultipartUploadGone, namingPassingFaults, PassingFault } from './workflow/errors.ts';
import type { PlannedUpload } from './workflow/plan.ts';
import { reopen } from './workflow/reopen.ts';
import { uploadOfExecution } from './workflow/upload-of-execution.ts';

export interface Services {
  readonly table: Table;
  readonly bucket: Bucket;
  readonly settings: UploadSettings;
}

/** What the two steps after this one need: the item to mark, and the event to put. Numbers as DynamoDB takes them. */
export interface CompletedUpload {
  readonly pk: string;
  readonly attempt: string;
  readonly etag: string;
  readonly completedAt: string;
  readonly ttl: string;
  readonly event: UploadCompletedDetail;
}

/** S3's words for "these are not the parts that I have". */
const NOT_THESE_PARTS = ['InvalidPart', 'InvalidPartOrder', 'EntityTooSmall', 'InvalidRequest'];

/**
 * "Complete upload": has S3 join the parts, once and for all. Repeated after a success whose answer was lost, it finds
 * the object and reports the same.
 */
export async function completeUpload(
  planned: PlannedUpload,
  services: Services,
  now: number,
): Promise<CompletedUpload> {
  const upload = await uploadOfExecution(services.table, planned, now);
  const object = await join(upload, planned, services, now);
  await cleanUp(services.bucket, upload);
  if (hasQuota(services.settings)) await release(services.table, upload);

  const completedAt = upload.completedAt ?? Math.floor(now / 1000);
  return {
    pk: partitionKey(upload),
    attempt: upload.attempt,
    etag: object.etag,
    completedAt: String(completedAt),
    ttl: String(completedAt + services.settings.keepRecordSeconds),
    event: completedDetail(upload, services.bucket.bucketName, { ...object, completedAt }),
  };
}

async function join(
  upload: UploadRecord,
  target: MultipartUpload,
  services: Services,
  now: number,
): Promise<StoredObject> {
  const { bucket, table } = services;
  try {
    if (upload.mode === 'proxy') {
      const stored = await listParts(bucket, target);
      if (missingChunks(upload, byNumber(stored), new Map()))
        return await reconcile(upload, target, services, now);
      return await completeMultipartUpload(bucket, target, stored, upload.totalSize);
    }
    const { marks } = await readMarks(table, upload);
    const parts = [...marks].sort(([a], [b]) => a - b).map(([partNumber, etag]) => ({ partNumber, etag }));
    return await completeMultipartUpload(bucket, target, parts, upload.totalSize);
  } catch (error) {
    if (isS3Error(error, 'NoSuchUpload')) return await findCompleted(bucket, upload, target.key);
    if (!isS3Error(error, ...NOT_THESE_PARTS)) throw error;
    try {
      return await reconcile(upload, target, services, now);
    } catch (again) {
      // Changed once more since it was listed. Requests that had begun before the upload was whole may still store
      // parts anew (under SSE-KMS equal bytes have another ETag each time), but only until they end.
      if (!isS3Error(again, 'InvalidPart', 'NoSuchUpload')) throw again;
      throw new PassingFault('Parts changed while they were being joined.', { cause: again });
    }
  }
}

/** The multipart upload is gone: completed by an earlier try, or aborted by somebody. */
async function findCompleted(bucket: Bucket, upload: UploadRecord, key: string): Promise<StoredObject> {
  const object = await headObject(bucket, key);
  if (object?.size === upload.totalSize) return object;
  throw new MultipartUploadGone(
    object
      ? `The object has ${object.size} bytes; the upload was announced with ${upload.totalSize}.`
      : 'S3 has neither the multipart upload nor its object: it was aborted, perhaps by a lifecycle rule.',
  );
}

/**
 * S3 did not take the parts as they were named: what it lists is the truth. Another ETag for a part of the right
 * length is taken over; a part that is not there, or is of another length, is asked for again.
 */
async function reconcile(
  upload: UploadRecord,
  target: MultipartUpload,
  services: Services,
  now: number,
): Promise<StoredObject> {
  const { table, bucket } = services;
  const stored = byNumber(await listParts(bucket, target));
  const { marks } = await readMarks(table, upload);
  const missing =
    upload.mode === 'proxy' ? missingChunks(upload, stored, marks) : missingParts(upload, stored, marks);
  if (missing) return await reopen(table, upload, missing, services.settings, now);

  const wanted = upload.mode === 'proxy' ? assemblyOf(upload).partCount : pieceCount(upload);
  const parts = [...stored.values()].filter(({ partNumber }) => partNumber <= wanted);
  if (upload.mode === 'presigned') {
    for (const { partNumber, etag } of parts)
      if (marks.get(partNumber) !== etag) await recordPieces(table, upload, new Map([[partNumber, etag]]));
  }
  return await completeMultipartUpload(bucket, target, parts, upload.totalSize);
}

const byNumber = (parts: readonly StoredPart[]): ReadonlyMap<number, StoredPart> =>
  new Map(parts.map((part) => [part.partNumber, part]));

type Missing = Map<number, PieceMark | undefined>;

function missingParts(
  upload: UploadRecord,
  stored: ReadonlyMap<number, StoredPart>,
  marks: ReadonlyMap<number, PieceMark>,
): Missing | undefined {
  const missing: Missing = new Map();
  for (let number = 1; number <= pieceCount(upload); number++)
    if (stored.get(number)?.size !== pieceLength(upload, number)) missing.set(number, marks.get(number));
  return missing.size > 0 ? missing : undefined;
}

/**
 * What a client has to send again where S3 lacks assembled parts: of staged chunks nothing, the next run assembles
 * them anew (the watchdog starts it); but a chunk that came the short way is nowhere else.
 */
function missingChunks(
  upload: UploadRecord,
  stored: ReadonlyMap<number, StoredPart>,
  marks: ReadonlyMap<number, PieceMark>,
): Missing | undefined {
  const missing: Missing = new Map();
  let isWhole = true;
  for (let partNumber = 1; partNumber <= assemblyOf(upload).partCount; partNumber++) {
    const { first, last } = chunksOfPart(upload, partNumber);
    if (stored.get(partNumber)?.size === bytesOfPieces(upload, first, last)) continue;
    isWhole = false;
    for (let number = first; number <= last; number++) {
      const mark = marks.get(number);
      if (mark === undefined || isDirect(mark)) missing.set(number, mark);
    }
  }
  return isWhole ? undefined : missing;
}

/** What was staged is not needed any more. What cannot be deleted now is no failure: the watchdog sweeps once more. */
async function cleanUp(bucket: Bucket, upload: UploadRecord): Promise<void> {
  try {
    if (upload.mode === 'proxy') await deleteStaged(bucket, upload);
    if (upload.firstPartStaged) await deleteObjects(bucket, [stagedChunkKey(upload, 1)]);
  } catch (error) {
    log.warn('staged objects left to the watchdog', { error: error as Error });
  }
}

async function deleteStaged(bucket: Bucket, upload: UploadRecord): Promise<void> {
  const count = pieceCount(upload);
  const direct = assemblyOf(upload).partCount === 1 && count === 1;
  if (direct) return;
  for (let first = 1; first <= count; first += 16_000) {
    const batches: Promise<void>[] = [];
    for (let from = first; from <= count && from < first + 16_000; from += 1000) {
      const numbers = Array.from({ length: Math.min(1000, count - from + 1) }, (_, index) => from + index);
      batches.push(
        deleteObjects(
          bucket,
          numbers.map((number) => stagedChunkKey(upload, number)),
        ),
      );
    }
    await Promise.all(batches);
  }
}

const log = logger();
const services: Services = {
  table: { client: dynamoDbClient(), tableName: variable('TABLE_NAME') },
  bucket: { client: s3Client(), bucketName: variable('BUCKET_NAME') },
  settings: settings(),
};

export const handler = async (planned: PlannedUpload): Promise<CompletedUpload> => {
  log.resetKeys();
  log.appendKeys({ uploadId: planned.uploadId, attempt: planned.attempt, run: planned.run });
  const completed = await namingPassingFaults(
    async () => await completeUpload(planned, services, Date.now()),
  );
  log.info('upload completed', { bytes: planned.totalSize });
  countCompleted(planned.totalSize);
  return completed;
};
