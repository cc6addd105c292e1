import { authorizeHook } from './clients/authorize-hook.ts';
import { dynamoDbClient } from './clients/dynamodb.ts';
import { s3Client } from './clients/s3.ts';
import { stepFunctionsClient } from './clients/step-functions.ts';
import { settings, variable } from './environment.ts';
import { progressAnswer } from './http/answers.ts';
import { parseChunkRequest } from './http/chunk-request.ts';
import { type ApiAnswer, type ApiRequest, apiHandler } from './http/handler.ts';
import { logger } from './http/logger.ts';
import { Problem } from './http/problems.ts';
import { partOfBody, pieceLength } from './parts/geometry.ts';
import { directMark, type PieceMark } from './parts/ledger.ts';
import { type RecordServices, recordStoredPieces } from './parts/record.ts';
import { isS3Error, uploadPart } from './storage/multipart.ts';
import { stageChunk } from './storage/staging.ts';
import { type AdmissionServices, admitUpload } from './upload/admission.ts';
import { contentMismatch, typeOfBytes } from './upload/content.ts';
import { uploadIdOf } from './upload/identity.ts';
import { ensureMultipartUpload, UploadEnded } from './upload/lifecycle.ts';
import { mediaType } from './upload/policy.ts';
import { understandChunk } from './upload/proxied.ts';
import { objectKey, stagedChunkKey, type UploadRecord } from './upload/record.ts';
import { startExecution } from './workflow/execution.ts';

export interface Services extends RecordServices, AdmissionServices {}

/**
 * `POST /upload`: takes one chunk from Resumable.js, as form or octet.
 *
 * 200 means that the chunk's bytes are in S3 and its record in DynamoDB; the chunk that completes the file has also
 * started the workflow. Sent again, a chunk changes nothing and is 200 again.
 */
export async function receiveChunk(request: ApiRequest, services: Services): Promise<ApiAnswer> {
  const { owner, now, log } = request;
  const { parameters, bytes } = await parseChunkRequest(request.event);
  if (bytes.byteLength !== parameters.currentChunkSize)
    throw new Problem(
      'chunk-length-mismatch',
      `resumableCurrentChunkSize says ${parameters.currentChunkSize} bytes; the chunk has ${bytes.byteLength}.`,
    );
  const chunk = understandChunk(parameters, owner, services.settings);
  log.appendKeys({ uploadId: uploadIdOf(chunk.identity) });
  const contentType = mediaType(parameters.type);
  const shown =
    services.settings.checkContent && chunk.first === 1 ? { type: await typeOfBytes(bytes) } : undefined;
  // Before the upload begins: what is refused must leave nothing.
  if (shown) mustBeAnnounced(contentType, shown.type, services);

  const { upload, created } = await admitUpload(
    services,
    chunk.identity,
    { contentType, pieceSize: parameters.chunkSize },
    request,
    // A page that slept through its upload's end goes on where it was: a new attempt would lack all that it sent before,
    // and a late duplicate would take the place of a failed upload that can still be redriven.
    { mayStartOver: chunk.first === 1 },
  );
  // Another chunk may have begun the upload, under another type: that one goes onto the object.
  if (shown) mustBeAnnounced(upload.contentType, shown.type, services);
  log.appendKeys({ attempt: upload.attempt });
  if (created) log.info('upload created', { mode: 'proxy', totalBytes: upload.totalSize });

  if (upload.status !== 'uploading') {
    // A late duplicate. It may be the retry of a request that died just before it could start the execution.
    if (upload.status === 'completing') await startExecution(services.stateMachine, upload);
    return {
      status: 200,
      body: progressAnswer(upload, { status: upload.status, receivedBytes: upload.totalSize }),
    };
  }

  const marks = await store(services, upload, chunk, bytes, now);
  const progress = await recordStoredPieces(services, upload, marks, now);
  log.info('chunk stored', { chunk: chunk.first, bytes: bytes.byteLength, status: progress.status });
  return { status: 200, body: progressAnswer(upload, progress) };
}

/** @throws Problem unless the first bytes are of the announced type */
function mustBeAnnounced(contentType: string, shown: string | undefined, { settings }: Services): void {
  const mismatch = contentMismatch(contentType, shown, settings.allowedContentTypes);
  if (mismatch) throw new Problem('content-mismatch', mismatch);
}

/** Puts the bytes into S3: as a part where they may be one, else staged, chunk by chunk. */
async function store(
  { table, bucket }: Services,
  upload: UploadRecord,
  { first, last }: { first: number; last: number },
  bytes: Uint8Array,
  now: number,
): Promise<ReadonlyMap<number, PieceMark>> {
  const numbers = Array.from({ length: last - first + 1 }, (_, index) => first + index);
  const partNumber = partOfBody(upload, { first, last });
  if (partNumber !== undefined) {
    const { s3UploadId } = await ensureMultipartUpload(table, bucket, upload, now);
    const target = { key: objectKey(upload), s3UploadId };
    try {
      const etag = await uploadPart(bucket, target, { partNumber, body: bytes, size: bytes.byteLength });
      return new Map(numbers.map((number) => [number, directMark(etag)]));
    } catch (error) {
      if (isS3Error(error, 'NoSuchUpload'))
        throw new UploadEnded('The multipart upload ended while its last part was being stored.');
      throw error;
    }
  }
  const marks = new Map<number, PieceMark>();
  let offset = 0;
  for (const number of numbers) {
    const end = offset + pieceLength(upload, number);
    marks.set(number, await stageChunk(bucket, stagedChunkKey(upload, number), bytes.subarray(offset, end)));
    offset = end;
  }
  return marks;
}

function buildServices(): Services {
  return {
    table: { client: dynamoDbClient(), tableName: variable('TABLE_NAME') },
    bucket: { client: s3Client(), bucketName: variable('BUCKET_NAME') },
    stateMachine: { client: stepFunctionsClient(), stateMachineArn: variable('STATE_MACHINE_ARN') },
    settings: settings(),
    hook: authorizeHook(),
  };
}

const services = buildServices();
export const handler = apiHandler(logger(), async (request) => await receiveChunk(request, services));
