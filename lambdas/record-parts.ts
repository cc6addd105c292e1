import { dynamoDbClient } from './clients/dynamodb.ts';
import { stepFunctionsClient } from './clients/step-functions.ts';
import { settings, variable } from './environment.ts';
import { mustTakeParts, progressAnswer, uploadOfPath } from './http/answers.ts';
import { type ApiAnswer, type ApiRequest, apiHandler } from './http/handler.ts';
import { jsonBody, list, wholeNumber } from './http/json-body.ts';
import { logger } from './http/logger.ts';
import { Problem } from './http/problems.ts';
import { pieceCount } from './parts/geometry.ts';
import { MAX_REPORTED_PARTS } from './parts/limits.ts';
import { type RecordServices, recordStoredPieces } from './parts/record.ts';
import { unquoted } from './storage/multipart.ts';
import { startExecution } from './workflow/execution.ts';

/**
 * `POST /uploads/{uploadId}/parts`: the browser reports parts that it PUT to S3, with the ETags that S3 answered.
 *
 * ETags are hints here: S3 has the last word when the upload is completed, and what it does not have is then asked
 * for again. The report that makes the file whole also starts the workflow.
 */
export async function recordParts(request: ApiRequest, services: RecordServices): Promise<ApiAnswer> {
  const upload = await uploadOfPath(services.table, request);
  request.log.appendKeys({ uploadId: upload.uploadId, attempt: upload.attempt });
  if (upload.mode === 'presigned' && (upload.status === 'completing' || upload.status === 'completed')) {
    // A report repeated, perhaps because its first answer was lost together with the function.
    if (upload.status === 'completing') await startExecution(services.stateMachine, upload);
    return {
      status: 200,
      body: progressAnswer(upload, { status: upload.status, receivedBytes: upload.totalSize }),
    };
  }
  mustTakeParts(upload, request.now);
  const count = pieceCount(upload);
  const parts = list(jsonBody(request.event).parts, 'parts', MAX_REPORTED_PARTS, (entry) =>
    readPart(entry, count),
  );
  const marks = new Map(parts.map(({ partNumber, etag }) => [partNumber, etag]));
  const progress = await recordStoredPieces(services, upload, marks, request.now);
  request.log.info('parts recorded', { parts: marks.size, status: progress.status });
  return { status: 200, body: progressAnswer(upload, progress) };
}

function readPart(entry: unknown, count: number): { partNumber: number; etag: string } {
  const { partNumber, etag } = (entry ?? {}) as Record<string, unknown>;
  const plain = typeof etag === 'string' ? unquoted(etag) : '';
  // S3's ETags are 32 hex digits; room is left for other engines', none for anything that is not an ETag.
  if (!/^[A-Za-z0-9+/=_-]{1,64}$/.test(plain))
    throw new Problem('invalid-request', 'Each of parts must have the etag that S3 answered the PUT with.');
  return { partNumber: wholeNumber(partNumber, 'Each partNumber', 1, count), etag: plain };
}

function buildServices(): RecordServices {
  return {
    table: { client: dynamoDbClient(), tableName: variable('TABLE_NAME') },
    stateMachine: { client: stepFunctionsClient(), stateMachineArn: variable('STATE_MACHINE_ARN') },
    settings: settings(),
  };
}

const services = buildServices();
export const handler = apiHandler(logger(), async (request) => await recordParts(request, services));
