import { dynamoDbClient } from './clients/dynamodb.ts';
import { s3Client } from './clients/s3.ts';
import { settings, variable } from './environment.ts';
import { logger } from './http/logger.ts';
import { pieceCount } from './parts/geometry.ts';
import { readMarks } from './parts/ledger.ts';
import type { Bucket } from './storage/multipart.ts';
import { ensureMultipartUpload } from './upload/lifecycle.ts';
import type { UploadSettings } from './upload/settings.ts';
import type { Table } from './upload/store.ts';
import { namingPassingFaults } from './workflow/errors.ts';
import type { ExecutionInput } from './workflow/execution.ts';
import { type Plan, planOf } from './workflow/plan.ts';
import { reopen } from './workflow/reopen.ts';
import { uploadOfExecution } from './workflow/upload-of-execution.ts';

export interface Services {
  readonly table: Table;
  readonly bucket: Bucket;
  readonly settings: UploadSettings;
}

/** "Gather parts": reads every page, checks that parts and bytes are whole, and says what is to be assembled. */
export async function gatherParts(input: ExecutionInput, services: Services, now: number): Promise<Plan> {
  const { table, bucket } = services;
  const upload = await uploadOfExecution(table, input, now);
  const { marks } = await readMarks(table, upload);
  const missing = new Map<number, undefined>();
  for (let number = 1; number <= pieceCount(upload); number++)
    if (!marks.has(number)) missing.set(number, undefined);
  if (missing.size > 0) return await reopen(table, upload, missing, services.settings, now);
  return planOf(await ensureMultipartUpload(table, bucket, upload, now), marks);
}

const log = logger();
const services: Services = {
  table: { client: dynamoDbClient(), tableName: variable('TABLE_NAME') },
  bucket: { client: s3Client(), bucketName: variable('BUCKET_NAME') },
  settings: settings(),
};

export const handler = async (input: ExecutionInput): Promise<Plan> => {
  log.resetKeys();
  log.appendKeys({ uploadId: input.uploadId, attempt: input.attempt, run: input.run });
  const plan = await namingPassingFaults(async () => await gatherParts(input, services, Date.now()));
  log.info('parts gathered', { partsToAssemble: plan.parts.length });
  return plan;
};
