import { setTimeout as pause } from 'node:timers/promises';
import { authorizeHook } from './clients/authorize-hook.ts';
import { dynamoDbClient } from './clients/dynamodb.ts';
import { s3Client } from './clients/s3.ts';
import { stepFunctionsClient } from './clients/step-functions.ts';
import { settings, variable } from './environment.ts';
import { progressAnswer } from './http/answers.ts';
import { type ApiAnswer, type ApiRequest, apiHandler } from './http/handler.ts';
import { jsonBody, metadata, text, wholeNumber } from './http/json-body.ts';
import { logger } from './http/logger.ts';
import { choosePartSize, pieceCount } from './parts/geometry.ts';
import { readMarks } from './parts/ledger.ts';
import { FIRST_PART_URLS } from './parts/limits.ts';
import { firstMissing, type Ranges, toRanges } from './parts/ranges.ts';
import type { RecordServices } from './parts/record.ts';
import { type Bucket } from './storage/multipart.ts';
import { presignParts } from './storage/presign.ts';
import { type AdmissionServices, admitUpload } from './upload/admission.ts';
import { type UploadIdentity, uploadIdOf } from './upload/identity.ts';
import { ensureMultipartUpload } from './upload/lifecycle.ts';
import { checkFile, mediaType } from './upload/policy.ts';
import { objectKey, type UploadRecord, type UploadStatus } from './upload/record.ts';
import { getUpload, type Table } from './upload/store.ts';
import { bytesOfMarks, recordUnrecorded, unrecordedPieces } from './upload/unrecorded.ts';
import { startExecution } from './workflow/execution.ts';

export interface Services extends AdmissionServices, RecordServices {
  /** Signs the browser's URLs: accelerated where the deployment is. */
  readonly signer: Bucket;
}

/**
 * `POST /uploads`: begins an upload in presigned mode, or finds the one that the same owner began of the same file.
 *
 * 201 for a new one, 200 for one that goes on; either with what is there already and URLs for the first parts that
 * are not.
 */
export async function createUpload(request: ApiRequest, services: Services): Promise<ApiAnswer> {
  const { owner, now, log } = request;
  const body = jsonBody(request.event);
  const fileName = text(body.fileName, 'fileName', 1024);
  const totalSize = wholeNumber(body.size, 'size', 0, Number.MAX_SAFE_INTEGER);
  const contentType = text(body.contentType, 'contentType', 200, '');
  const identifier = text(body.identifier, 'identifier', 1024, `${totalSize}-${fileName}`);
  const extra = metadata(body.metadata);
  checkFile({ fileName, totalSize, contentType }, services.settings);

  const identity: UploadIdentity = {
    owner,
    mode: 'presigned',
    identifier,
    totalSize,
    chunkSize: 0,
    fileName,
  };
  log.appendKeys({ uploadId: uploadIdOf(identity) });
  const { upload, created } = await admitUpload(
    services,
    identity,
    {
      contentType: mediaType(contentType),
      pieceSize: choosePartSize(totalSize, services.settings.partSize),
      metadata: extra,
    },
    request,
  );
  log.appendKeys({ attempt: upload.attempt });
  log.info(created ? 'upload created' : 'upload resumed', { mode: 'presigned', totalBytes: totalSize });
  return await describe(services, upload, created, now);
}

async function describe(
  services: Services,
  upload: UploadRecord,
  created: boolean,
  now: number,
): Promise<ApiAnswer> {
  const count = pieceCount(upload);
  const { status, bytes, received } = created
    ? { status: upload.status, bytes: 0, received: [] }
    : await takeStock(services, upload, now);
  const isOver = status !== 'uploading';
  return {
    status: created ? 201 : 200,
    body: {
      ...progressAnswer(upload, { status, receivedBytes: isOver ? upload.totalSize : bytes }),
      key: objectKey(upload),
      partSize: upload.pieceSize,
      partCount: count,
      receivedParts: isOver ? [[1, count]] : received,
      partUrls: isOver
        ? []
        : await signFirst(services, upload, created, firstMissing(received, count, FIRST_PART_URLS), now),
    },
  };
}

/**
 * What is there of an upload that goes on. Parts that S3 has and nobody reported, since a browser died first, are put
 * on record: they are not to travel again.
 */
async function takeStock(
  services: Services,
  upload: UploadRecord,
  now: number,
): Promise<{ status: UploadStatus; bytes: number; received: Ranges }> {
  // Who made it completing may have died just before it could start the execution.
  if (upload.status === 'completing') await startExecution(services.stateMachine, upload);
  if (upload.status !== 'uploading') return { status: upload.status, bytes: 0, received: [] };
  const { marks, bytes } = await readMarks(services.table, upload);
  const unrecorded =
    bytes < upload.totalSize ? await unrecordedPieces(services.bucket, upload, marks) : new Map();
  return {
    status: await recordUnrecorded(services, upload, bytes, unrecorded, now),
    bytes: bytes + bytesOfMarks(upload, unrecorded),
    received: toRanges([...marks.keys(), ...unrecorded.keys()]),
  };
}

async function signFirst(
  { table, bucket, signer, settings }: Services,
  upload: UploadRecord,
  created: boolean,
  numbers: readonly number[],
  now: number,
) {
  const known = created ? upload : await settled(table, upload, now);
  const whole = await ensureMultipartUpload(table, bucket, known, now);
  return await presignParts(signer, whole, numbers, { now, expirySeconds: settings.urlExpirySeconds });
}

/** Another request may be creating the multipart upload just now: waiting a moment is cheaper than making a second. */
async function settled(table: Table, upload: UploadRecord, now: number): Promise<UploadRecord> {
  let current = upload;
  for (let wait = 50; !current.s3UploadId && wait <= 400; wait *= 2) {
    await pause(wait);
    current = (await getUpload(table, upload, now)) ?? current;
  }
  return current;
}

function buildServices(): Services {
  const chosen = settings();
  const bucketName = variable('BUCKET_NAME');
  const bucket = { client: s3Client(), bucketName };
  return {
    table: { client: dynamoDbClient(), tableName: variable('TABLE_NAME') },
    bucket,
    stateMachine: { client: stepFunctionsClient(), stateMachineArn: variable('STATE_MACHINE_ARN') },
    signer: chosen.accelerate ? { client: s3Client({ accelerate: true }), bucketName } : bucket,
    settings: chosen,
    hook: authorizeHook(),
  };
}

const services = buildServices();
export const handler = apiHandler(logger(), async (request) => await createUpload(request, services));
