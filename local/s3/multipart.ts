import { randomBytes } from 'node:crypto';
import { type Answer, emptyAnswer, isoDate, type OperationContext, quoted, xmlAnswer } from './answer.ts';
import {
  type ChecksumAlgorithm,
  type ChecksumType,
  checksumElement,
  checksumHeader,
  checksumTypes,
  defaultAlgorithm,
} from './checksums.ts';
import { invalidArgument, invalidRequest, S3Error } from './errors.ts';
import { declaredAlgorithm, receiveBody, sentChecksum } from './intake.ts';
import { abortDue } from './lifecycle.ts';
import type { ObjectRecord, PartRecord, UploadRecord } from './metadata.ts';
import { fullRange } from './object-reads.ts';
import { copyBytes, copySource, etagFor } from './object-writes.ts';
import { type ByteRange, encryptionAnswer, partNumberOf, type S3Request, storedHeaders } from './request.ts';

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
const maxPartSize = 5 * 1024 ** 3;

export function createMultipartUpload(context: OperationContext): Answer {
  const { request, bucket, metadata, clock } = context;
  const headers = storedHeaders(request);
  const algorithm = declaredAlgorithm(request);
  const type = request.header('x-amz-checksum-type')?.toUpperCase();
  if (type !== undefined && algorithm === undefined) {
    throw invalidRequest(
      'The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.',
    );
  }
  const checksum = algorithm === undefined ? undefined : { algorithm, type: allowedType(algorithm, type) };
  const initiatedAt = clock.now();
  const upload: UploadRecord = {
    // Later uploads have greater ids: ListMultipartUploads' upload-id-marker counts on it.
    id: `${initiatedAt.toString(16).padStart(12, '0')}${randomBytes(24).toString('hex')}`,
    bucket: bucket.name,
    key: request.key,
    initiatedAt,
    headers,
    checksum,
  };
  metadata.createUpload(upload);
  return xmlAnswer(
    'InitiateMultipartUploadResult',
    { Bucket: bucket.name, Key: request.key, UploadId: upload.id },
    {
      ...encryptionAnswer(headers),
      ...abortAnswer(context, initiatedAt),
      ...(checksum === undefined
        ? {}
        : { 'x-amz-checksum-algorithm': checksum.algorithm, 'x-amz-checksum-type': checksum.type }),
    },
  );
}

function allowedType(algorithm: ChecksumAlgorithm, asked: string | undefined): ChecksumType {
  const types = checksumTypes(algorithm);
  const type = asked === undefined ? types[0] : types.find((name) => name === asked);
  if (type === undefined) {
    throw invalidRequest(
      `The ${asked} checksum type cannot be used with the ${algorithm.toLowerCase()} checksum algorithm.`,
    );
  }
  return type;
}

export function abortAnswer(context: OperationContext, initiatedAt: number): Record<string, string> {
  const due = abortDue(context.bucket.options.lifecycle ?? [], context.request.key, initiatedAt);
  return due === undefined
    ? {}
    : { 'x-amz-abort-date': new Date(due.at).toUTCString(), 'x-amz-abort-rule-id': due.ruleId };
}

/** @throws S3Error NoSuchUpload */
export function requireUpload({ request, bucket, metadata }: OperationContext): UploadRecord {
  const id = request.query.get('uploadId') ?? '';
  if (id === '') {
    throw invalidArgument('This operation does not accept partNumber without uploadId', 'uploadId', '');
  }
  const upload = metadata.upload(bucket.name, request.key, id);
  if (upload === undefined) throw new S3Error('NoSuchUpload', undefined, { UploadId: id });
  return upload;
}

/** What the object's checksum will be made of; S3's default where CreateMultipartUpload declared nothing. */
export const effectiveChecksum = (
  upload: UploadRecord,
): { algorithm: ChecksumAlgorithm; type: ChecksumType } =>
  upload.checksum ?? { algorithm: defaultAlgorithm, type: 'FULL_OBJECT' };

export async function uploadPart(context: OperationContext): Promise<Answer> {
  const { request, blobs } = context;
  const partNumber = partNumberOf(request);
  const upload = requireUpload(context);
  const { algorithm, type } = effectiveChecksum(upload);
  const sent = sentChecksum(request)?.algorithm;
  // Without a declaration S3 checks whatever the part brings; SDKs of 2025 and later send CRC32 on their own.
  if (upload.checksum !== undefined && sent !== algorithm && (sent !== undefined || type === 'COMPOSITE')) {
    throw invalidRequest(
      `Checksum Type mismatch occurred, expected checksum Type: ${algorithm.toLowerCase()}, actual checksum Type: ${sent?.toLowerCase() ?? 'null'}`,
    );
  }
  const body = await receiveBody(request, blobs, [algorithm]);
  const part = await storePart(context, upload, {
    partNumber,
    blob: body.blob,
    size: body.size,
    md5: body.md5,
    checksums: body.checksums,
  });
  const value = body.sent === undefined ? undefined : body.checksums[body.sent];
  return emptyAnswer(200, {
    etag: quoted(part.etag),
    ...(body.sent === undefined || value === undefined ? {} : { [checksumHeader(body.sent)]: value }),
    ...encryptionAnswer(upload.headers),
  });
}

/** Records a part whose bytes are on disk; an earlier part of that number goes. */
async function storePart(
  context: OperationContext,
  upload: UploadRecord,
  received: Omit<PartRecord, 'etag' | 'modifiedAt'>,
): Promise<PartRecord> {
  const { metadata, blobs, clock } = context;
  const part: PartRecord = {
    ...received,
    etag: etagFor(context, upload.headers, received.md5),
    modifiedAt: clock.now(),
  };
  let replaced: string[];
  try {
    replaced = metadata.transaction(() => {
      // The upload may have been completed or aborted while the bytes came in.
      requireUpload(context);
      return metadata.putPart(upload.id, part);
    });
  } catch (error) {
    await blobs.remove([received.blob]);
    throw error;
  }
  await blobs.remove(replaced);
  return part;
}

export async function uploadPartCopy(context: OperationContext): Promise<Answer> {
  const { request } = context;
  const partNumber = partNumberOf(request);
  const upload = requireUpload(context);
  const { object, parts } = copySource(context);
  const range = copyRange(request, object);
  const size = range === undefined ? 0 : range.end - range.start + 1;
  if (size > maxPartSize) {
    throw invalidRequest(
      `The specified copy source is larger than the maximum allowable size for a copy source: ${maxPartSize}`,
    );
  }
  const { algorithm } = effectiveChecksum(upload);
  const copied = await copyBytes(context, parts, range, algorithm);
  const part = await storePart(context, upload, {
    partNumber,
    blob: copied.blob,
    size: copied.size,
    md5: copied.md5,
    checksums: { [algorithm]: copied.checksum },
  });
  return xmlAnswer(
    'CopyPartResult',
    {
      ETag: quoted(part.etag),
      LastModified: isoDate(part.modifiedAt),
      ...(upload.checksum === undefined ? {} : { [checksumElement(algorithm)]: copied.checksum }),
    },
    encryptionAnswer(upload.headers),
  );
}

function copyRange(request: S3Request, source: ObjectRecord): ByteRange | undefined {
  const header = request.header('x-amz-copy-source-range');
  if (header === undefined) return fullRange(source.size);
  const match = /^bytes=(\d{1,15})-(\d{1,15})$/.exec(header);
  const [start, end] = [Number(match?.[1]), Number(match?.[2])];
  if (match === null || start > end) {
    throw invalidArgument(
      'The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy',
      'x-amz-copy-source-range',
      header,
    );
  }
  if (end >= source.size) {
    throw invalidArgument(
      `Range specified is not valid for source object of size: ${source.size}`,
      'x-amz-copy-source-range',
      header,
    );
  }
  return { start, end };
}

export async function abortMultipartUpload(context: OperationContext): Promise<Answer> {
  const removed = context.metadata.transaction(() =>
    context.metadata.deleteUpload(requireUpload(context).id),
  );
  await context.blobs.remove(removed);
  return emptyAnswer(204);
}
