import { dynamoDbClient } from './clients/dynamodb.ts';
import { variable } from './environment.ts';
import { isoTime } from './events/upload-event.ts';
import { optionalTime, progressAnswer, uploadOfPath } from './http/answers.ts';
import { type ApiAnswer, type ApiRequest, apiHandler } from './http/handler.ts';
import { logger } from './http/logger.ts';
import { pieceCount } from './parts/geometry.ts';
import { readMarks } from './parts/ledger.ts';
import { toRanges } from './parts/ranges.ts';
import { executionNameOf, objectKey, statusAt } from './upload/record.ts';
import type { Table } from './upload/store.ts';
import { failureForClient } from './workflow/errors.ts';

export interface Services {
  readonly table: Table;
}

/** `GET /uploads/{uploadId}`: all that a page needs to resume, or to follow the completion, in one request. */
export async function describeUpload(request: ApiRequest, { table }: Services): Promise<ApiAnswer> {
  const upload = await uploadOfPath(table, request);
  const status = statusAt(upload, request.now);
  const isThere = status === 'completing' || status === 'completed';
  const count = pieceCount(upload);
  const { marks, bytes } = isThere
    ? { marks: new Map(), bytes: upload.totalSize }
    : await readMarks(table, upload);
  return {
    status: 200,
    body: {
      ...progressAnswer(upload, { status, receivedBytes: bytes }),
      key: objectKey(upload),
      fileName: upload.fileName,
      contentType: upload.contentType,
      mode: upload.mode,
      receivedParts: isThere ? [[1, count]] : toRanges(marks.keys()),
      partSize: upload.pieceSize,
      partCount: count,
      createdAt: isoTime(upload.createdAt),
      ...(status === 'uploading' && { expiresAt: isoTime(upload.expiresAt) }),
      ...optionalTime('completedAt', upload.completedAt),
      ...(upload.etag && { etag: upload.etag }),
      ...(status === 'failed' && upload.failure && { failure: failureForClient(upload.failure) }),
      ...((isThere || status === 'failed') && { executionName: executionNameOf(upload) }),
    },
  };
}

const services: Services = { table: { client: dynamoDbClient(), tableName: variable('TABLE_NAME') } };
export const handler = apiHandler(logger(), async (request) => await describeUpload(request, services));
