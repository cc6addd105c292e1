import { dynamoDbClient } from './clients/dynamodb.ts';
import { s3Client } from './clients/s3.ts';
import { settings, variable } from './environment.ts';
import { logger } from './http/logger.ts';
import { Problem } from './http/problems.ts';
import { pieceCount, pieceLength } from './parts/geometry.ts';
import { type PieceMark, readMarks, recordPieces } from './parts/ledger.ts';
import { type Bucket, copyPart, isS3Error } from './storage/multipart.ts';
import { readBeginning } from './storage/staging.ts';
import { contentMismatch, SNIFFED_BYTES, typeOfBytes } from './upload/content.ts';
import { ensureMultipartUpload } from './upload/lifecycle.ts';
import { checkFile } from './upload/policy.ts';
import { objectKey, stagedChunkKey, type UploadRecord } from './upload/record.ts';
import type { UploadSettings } from './upload/settings.ts';
import type { Table } from './upload/store.ts';
import { ContentMismatch, NotAllowedAnyMore, namingPassingFaults, PassingFault } from './workflow/errors.ts';
import { type ExecutionInput, readExecutionInput } from './workflow/execution.ts';
import { type Plan, planOf } from './workflow/plan.ts';
import { reopen } from './workflow/reopen.ts';
import { uploadOfExecution } from './workflow/upload-of-execution.ts';

export interface Services {
  readonly table: Table;
  readonly bucket: Bucket;
  readonly settings: UploadSettings;
}

/**
 * "Gather parts": reads every page, checks that parts and bytes are whole and that such a file is still taken here,
 * and says what is to be assembled.
 */
export async function gatherParts(input: ExecutionInput, services: Services, now: number): Promise<Plan> {
  const { table, bucket } = services;
  const upload = await uploadOfExecution(table, input, now);
  mustBeAllowed(upload, services.settings);
  const { marks } = await readMarks(table, upload);
  const missing = new Map<number, undefined>();
  for (let number = 1; number <= pieceCount(upload); number++)
    if (!marks.has(number)) missing.set(number, undefined);
  if (missing.size > 0) return await reopen(table, upload, missing, services.settings, now);
  const whole = await ensureMultipartUpload(table, bucket, upload, now);
  if (whole.firstPartStaged) await placeFirstPart(whole, marks.get(1), services, now);
  return planOf(whole, marks);
}

/** Once more before the object appears: the rules may have changed since the upload began. */
function mustBeAllowed(upload: UploadRecord, rules: UploadSettings): void {
  try {
    checkFile(upload, rules);
  } catch (error) {
    throw error instanceof Problem ? new NotAllowedAnyMore(error.message) : error;
  }
}

/**
 * Looks at the first bytes of the staged first part, and makes it the first part if they are what was announced. The
 * copy is of the very bytes that were looked at: one that is stored over them meanwhile has another ETag.
 */
async function placeFirstPart(
  upload: UploadRecord & { readonly s3UploadId: string },
  mark: PieceMark | undefined,
  { table, bucket, settings: rules }: Services,
  now: number,
): Promise<void> {
  const key = stagedChunkKey(upload, 1);
  const staged = await readBeginning(bucket, key, SNIFFED_BYTES);
  if (staged?.size !== pieceLength(upload, 1))
    return await reopen(table, upload, new Map([[1, mark]]), rules, now);
  const shown = await typeOfBytes(staged.bytes);
  const mismatch = contentMismatch(upload.contentType, shown, rules.allowedContentTypes);
  if (mismatch) throw new ContentMismatch(mismatch);
  const etag = await copyFirstPart(bucket, upload, { key, etag: staged.etag });
  if (etag !== mark) await recordPieces(table, upload, new Map([[1, etag]]));
}

async function copyFirstPart(
  bucket: Bucket,
  upload: UploadRecord & { readonly s3UploadId: string },
  source: { readonly key: string; readonly etag: string },
): Promise<string> {
  try {
    return await copyPart(bucket, { key: objectKey(upload), s3UploadId: upload.s3UploadId }, 1, source);
  } catch (error) {
    if (!isS3Error(error, 'PreconditionFailed', 'NoSuchKey')) throw error;
    throw new PassingFault('The first part was stored again while it was looked at.', { cause: error });
  }
}

const log = logger();
const services: Services = {
  table: { client: dynamoDbClient(), tableName: variable('TABLE_NAME') },
  bucket: { client: s3Client(), bucketName: variable('BUCKET_NAME') },
  settings: settings(),
};

export const handler = async (event: unknown): Promise<Plan> => {
  const input = readExecutionInput(event);
  log.resetKeys();
  log.appendKeys({ uploadId: input.uploadId, attempt: input.attempt, run: input.run });
  const plan = await namingPassingFaults(async () => await gatherParts(input, services, Date.now()));
  log.info('parts gathered', { partsToAssemble: plan.parts.length });
  return plan;
};
