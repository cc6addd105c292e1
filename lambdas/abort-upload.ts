import { dynamoDbClient } from './clients/dynamodb.ts';
import { s3Client } from './clients/s3.ts';
import { settings, variable } from './environment.ts';
import { uploadOfPath } from './http/answers.ts';
import { type ApiAnswer, type ApiRequest, apiHandler } from './http/handler.ts';
import { logger } from './http/logger.ts';
import { Problem } from './http/problems.ts';
import { deletePages } from './parts/ledger.ts';
import type { Bucket } from './storage/multipart.ts';
import { sweepStorage } from './storage/sweep.ts';
import { FIRST_LOOK_SECONDS } from './upload/lifecycle.ts';
import { hasQuota, release } from './upload/quota.ts';
import type { UploadSettings } from './upload/settings.ts';
import { changeUpload, type Table } from './upload/store.ts';

export interface Services {
  readonly table: Table;
  readonly bucket: Bucket;
  readonly settings: UploadSettings;
}

/**
 * `DELETE /uploads/{uploadId}`: ends an upload in either mode and frees what it had: S3's parts, staged chunks, state.
 * 204, also when repeated. An upload that is completing or completed is not undone: 409.
 *
 * A request that was under way may still store something behind this one's back; the watchdog sweeps once more.
 */
export async function abortUpload(
  request: ApiRequest,
  { table, bucket, settings: chosen }: Services,
): Promise<ApiAnswer> {
  const upload = await uploadOfPath(table, request);
  request.log.appendKeys({ uploadId: upload.uploadId, attempt: upload.attempt });
  const seconds = Math.floor(request.now / 1000);
  // An expired one is as good as aborted, and keeps its name: the watchdog has an event to emit for it.
  const aborted =
    upload.status === 'expired'
      ? upload
      : await changeUpload(table, upload, {
          set: { status: 'aborted', nextLook: seconds + FIRST_LOOK_SECONDS },
          when: { status: ['uploading', 'failed', 'aborted'] },
        });
  if (!aborted)
    throw new Problem(
      'upload-not-open',
      'The upload is completing or completed, and is not undone any more.',
    );
  await sweepStorage(bucket, aborted);
  await deletePages(table, aborted);
  if (hasQuota(chosen)) await release(table, aborted);
  request.log.info('upload aborted');
  return { status: 204 };
}

function buildServices(): Services {
  return {
    table: { client: dynamoDbClient(), tableName: variable('TABLE_NAME') },
    bucket: { client: s3Client(), bucketName: variable('BUCKET_NAME') },
    settings: settings(),
  };
}

const services = buildServices();
export const handler = apiHandler(logger(), async (request) => await abortUpload(request, services));
