import { dynamoDbClient } from './clients/dynamodb.ts';
import { s3Client } from './clients/s3.ts';
import { settings, variable } from './environment.ts';
import { mustTakeParts, uploadOfPath } from './http/answers.ts';
import { type ApiAnswer, type ApiRequest, apiHandler } from './http/handler.ts';
import { jsonBody, list, wholeNumber } from './http/json-body.ts';
import { logger } from './http/logger.ts';
import { tryAgain } from './http/problems.ts';
import { pieceCount } from './parts/geometry.ts';
import { MAX_PART_URLS } from './parts/limits.ts';
import type { Bucket } from './storage/multipart.ts';
import { presignParts } from './storage/presign.ts';
import type { UploadSettings } from './upload/settings.ts';
import type { Table } from './upload/store.ts';

export interface Services {
  readonly table: Table;
  readonly signer: Bucket;
  readonly settings: UploadSettings;
}

/** `POST /uploads/{uploadId}/part-urls`: a URL for each of up to 100 parts, each bound to its part's size. */
export async function signParts(request: ApiRequest, services: Services): Promise<ApiAnswer> {
  const upload = await uploadOfPath(services.table, request);
  mustTakeParts(upload, request.now);
  const count = pieceCount(upload);
  const numbers = list(jsonBody(request.event).partNumbers, 'partNumbers', MAX_PART_URLS, (entry) =>
    wholeNumber(entry, 'Each of partNumbers', 1, count),
  );
  if (!upload.s3UploadId)
    throw tryAgain('The upload is still being created. Create it again, or wait a moment.');
  return {
    status: 200,
    body: {
      partUrls: await presignParts(
        services.signer,
        { ...upload, s3UploadId: upload.s3UploadId },
        [...new Set(numbers)],
        { now: request.now, expirySeconds: services.settings.urlExpirySeconds },
      ),
    },
  };
}

function buildServices(): Services {
  const chosen = settings();
  return {
    table: { client: dynamoDbClient(), tableName: variable('TABLE_NAME') },
    signer: { client: s3Client({ accelerate: chosen.accelerate }), bucketName: variable('BUCKET_NAME') },
    settings: chosen,
  };
}

const services = buildServices();
export const handler = apiHandler(logger(), async (request) => await signParts(request, services));
