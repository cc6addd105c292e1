import { createHash, randomBytes } from 'node:crypto';
import {
  type Answer,
  emptyAnswer,
  expirationAnswer,
  isoDate,
  type OperationContext,
  owner,
  quoted,
  unquoted,
  xmlAnswer,
} from './answer.ts';
import {
  type Checksum,
  type ChecksumAlgorithm,
  type ChecksumType,
  type ChecksumValues,
  checksumAlgorithms,
  checksumElement,
  checksumHeader,
  checksumTypes,
  combineChecksums,
  defaultAlgorithm,
  isChecksumValue,
} from './checksums.ts';
import { invalidArgument, invalidRequest, S3Error } from './errors.ts';
import { declaredAlgorithm, receiveBody, receiveDocument, sentChecksum } from './intake.ts';
import { abortDue } from './lifecycle.ts';
import type { ObjectRecord, PartRecord, UploadRecord } from './metadata.ts';
import { fullRange } from './object-reads.ts';
import { checkWriteConditions, copyBytes, copySource, etagFor } from './object-writes.ts';
import {
  type ByteRange,
  encryptionAnswer,
  keyEncoder,
  pageSize,
  partNumberOf,
  type S3Request,
  storedHeaders,
} from './request.ts';
import { listField, parseXml, textField } from './xml.ts';

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
const minPartSize = 5 * 1024 ** 2;
const maxPartSize = 5 * 1024 ** 3;
const maxParts = 10_000;
/** 10,000 parts with ETags and checksums stay well below. */
const maxCompleteDocument = 8 * 1024 * 1024;

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

function abortAnswer(context: OperationContext, initiatedAt: number): Record<string, string> {
  const due = abortDue(context.bucket.options.lifecycle ?? [], context.request.key, initiatedAt);
  return due === undefined
    ? {}
    : { 'x-amz-abort-date': new Date(due.at).toUTCString(), 'x-amz-abort-rule-id': due.ruleId };
}

/** @throws S3Error NoSuchUpload */
function requireUpload({ request, bucket, metadata }: OperationContext): UploadRecord {
  const id = request.query.get('uploadId') ?? '';
  if (id === '') {
    throw invalidArgument('This operation does not accept partNumber without uploadId', 'uploadId', '');
  }
  const upload = metadata.upload(bucket.name, request.key, id);
  if (upload === undefined) throw new S3Error('NoSuchUpload', undefined, { UploadId: id });
  return upload;
}

/** What the object's checksum will be made of; S3's default where CreateMultipartUpload declared nothing. */
const effectiveChecksum = (upload: UploadRecord): { algorithm: ChecksumAlgorithm; type: ChecksumType } =>
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

interface ListedPart {
  readonly partNumber: number;
  readonly etag: string;
  readonly checksums: ChecksumValues;
}

/** @throws S3Error MalformedXML, InvalidArgument, InvalidPartOrder */
function parseCompletion(document: string): ListedPart[] {
  const parts = listField(parseXml(document, 'CompleteMultipartUpload'), 'Part').map((entry): ListedPart => {
    const number = textField(entry, 'PartNumber');
    const etag = textField(entry, 'ETag');
    if (number === undefined || etag === undefined || !/^-?\d{1,10}$/.test(number)) {
      throw new S3Error('MalformedXML');
    }
    if (Number(number) < 1) throw invalidArgument('PartNumber must be >= 1', 'PartNumber', number);
    const checksums: ChecksumValues = {};
    for (const algorithm of checksumAlgorithms) {
      const value = textField(entry, checksumElement(algorithm));
      if (value !== undefined) checksums[algorithm] = value;
    }
    return { partNumber: Number(number), etag: unquoted(etag), checksums };
  });
  if (parts.length === 0 || parts.length > maxParts) throw new S3Error('MalformedXML');
  parts.forEach((part, index) => {
    const before = parts[index - 1];
    if (before !== undefined && part.partNumber <= before.partNumber) throw new S3Error('InvalidPartOrder');
  });
  return parts;
}

export async function completeMultipartUpload(context: OperationContext): Promise<Answer> {
  const { request, bucket, metadata, blobs, clock } = context;
  const document = await receiveDocument(request, maxCompleteDocument, 'object');
  const listed = parseCompletion(document);
  const id = request.query.get('uploadId') ?? '';

  const { object, removed } = metadata.transaction(() => {
    const existing = metadata.object(bucket.name, request.key);
    checkWriteConditions(request, existing);
    if (metadata.upload(bucket.name, request.key, id) === undefined && existing?.uploadId === id) {
      return { object: repeatedCompletion(context, existing, listed), removed: [] };
    }
    const upload = requireUpload(context);
    const parts = chosenParts(upload, metadata.parts(upload.id), listed);
    const size = parts.reduce((sum, part) => sum + part.size, 0);
    checkAnnouncedSize(request, size);
    const made: Omit<ObjectRecord, 'id'> = {
      bucket: bucket.name,
      key: request.key,
      size,
      etag: multipartEtag(context, upload, parts),
      modifiedAt: clock.now(),
      headers: upload.headers,
      checksum: objectChecksum(request, upload, parts),
      uploadId: upload.id,
    };
    const kept = new Set(parts.map(({ blob }) => blob));
    const unused = metadata.deleteUpload(upload.id).filter((blob) => !kept.has(blob));
    const replaced = metadata.putObject(made, parts);
    return { object: made, removed: [...unused, ...replaced] };
  });
  await blobs.remove(removed);

  return xmlAnswer(
    'CompleteMultipartUploadResult',
    {
      Location: `http://${request.header('host') ?? 'localhost'}/${bucket.name}/${encodeURIComponent(request.key).replaceAll('%2F', '/')}`,
      Bucket: bucket.name,
      Key: request.key,
      ETag: quoted(object.etag),
      ...(object.checksum === undefined
        ? {}
        : {
            [checksumElement(object.checksum.algorithm)]: object.checksum.value,
            ChecksumType: object.checksum.type,
          }),
    },
    { ...encryptionAnswer(object.headers), ...expirationAnswer(context, object.modifiedAt) },
  );
}

/**
 * S3 answers a repeated completion with the first one's success for a while, or with NoSuchUpload: here with
 * success as long as the key still holds what the upload made and the same parts are listed.
 */
function repeatedCompletion(
  { metadata }: OperationContext,
  object: ObjectRecord,
  listed: readonly ListedPart[],
): ObjectRecord {
  const parts = metadata.objectParts(object.id);
  const same =
    parts.length === listed.length &&
    parts.every((part, index) => {
      const given = listed[index];
      return given?.partNumber === part.partNumber && given.etag === part.etag;
    });
  if (!same) throw new S3Error('NoSuchUpload', undefined, { UploadId: object.uploadId ?? '' });
  return object;
}

/** The stored parts that the request lists, checked one by one. */
function chosenParts(
  upload: UploadRecord,
  stored: readonly PartRecord[],
  listed: readonly ListedPart[],
): PartRecord[] {
  const byNumber = new Map(stored.map((part) => [part.partNumber, part]));
  const parts = listed.map((given, index): PartRecord => {
    const part = byNumber.get(given.partNumber);
    const wrongChecksum = checksumAlgorithms.some(
      (algorithm) =>
        given.checksums[algorithm] !== undefined && given.checksums[algorithm] !== part?.checksums[algorithm],
    );
    if (part === undefined || part.etag !== given.etag || wrongChecksum) {
      throw new S3Error('InvalidPart', undefined, {
        UploadId: upload.id,
        PartNumber: given.partNumber,
        ETag: given.etag,
      });
    }
    if (upload.checksum?.type === 'COMPOSITE' && given.checksums[upload.checksum.algorithm] === undefined) {
      throw invalidRequest(
        `The upload was created using a ${upload.checksum.algorithm.toLowerCase()} checksum. The complete request must include the checksum for each part. It was missing for part ${given.partNumber} in the request.`,
      );
    }
    // Composite checksums need consecutive numbers from 1; S3 documents a 500 for others.
    if (upload.checksum?.type === 'COMPOSITE' && given.partNumber !== index + 1) {
      throw new S3Error('InternalError');
    }
    return part;
  });
  for (const part of parts.slice(0, -1)) {
    if (part.size < minPartSize) {
      throw new S3Error('EntityTooSmall', undefined, {
        ProposedSize: part.size,
        MinSizeAllowed: minPartSize,
        PartNumber: part.partNumber,
        ETag: part.etag,
      });
    }
  }
  return parts;
}

/** `x-amz-mp-object-size`: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html */
function checkAnnouncedSize(request: S3Request, size: number): void {
  const announced = request.header('x-amz-mp-object-size');
  if (announced === undefined) return;
  if (!/^-?\d{1,18}$/.test(announced)) {
    throw invalidRequest(`Value for x-amz-mp-object-size header is invalid: '${announced}'`);
  }
  if (Number(announced) < 0) {
    throw invalidRequest(`Value for x-amz-mp-object-size header is less than zero: '${announced}'`);
  }
  if (Number(announced) !== size) {
    throw invalidRequest(
      `The provided 'x-amz-mp-object-size' header value ${announced} does not match what was computed: ${size}`,
    );
  }
}

/** The MD5 of the parts' MD5s with the number of parts, or as opaque as the parts' own ETags. */
function multipartEtag(
  context: OperationContext,
  upload: UploadRecord,
  parts: readonly PartRecord[],
): string {
  const hash = createHash('md5');
  for (const part of parts) hash.update(Buffer.from(part.md5, 'hex'));
  return `${etagFor(context, upload.headers, hash.digest('hex'))}-${parts.length}`;
}

/** @throws S3Error BadDigest where the request names another checksum for the object. */
function objectChecksum(request: S3Request, upload: UploadRecord, parts: readonly PartRecord[]): Checksum {
  const { algorithm, type } = effectiveChecksum(upload);
  const askedType = request.header('x-amz-checksum-type')?.toUpperCase();
  if (askedType !== undefined && askedType !== type) {
    throw invalidRequest(
      `The upload was created using the ${type} checksum mode. The complete request must use the same checksum mode.`,
    );
  }
  const combined = combineChecksums(
    algorithm,
    type,
    parts.map(({ checksums, size }) => ({ value: checksums[algorithm] ?? '', size })),
  );
  for (const name of checksumAlgorithms) {
    const given = request.header(checksumHeader(name));
    if (given === undefined) continue;
    if (!isChecksumValue(name, given.replace(/-\d+$/, ''))) {
      throw invalidRequest(`Value for ${checksumHeader(name)} header is invalid.`);
    }
    // Of another algorithm than the upload's there is nothing to compare with, so it cannot be vouched for.
    if (name !== algorithm || given !== combined.value) {
      throw new S3Error(
        'BadDigest',
        `The ${name.toLowerCase()} you specified did not match the calculated checksum.`,
      );
    }
  }
  return combined;
}

export async function abortMultipartUpload(context: OperationContext): Promise<Answer> {
  const removed = context.metadata.transaction(() =>
    context.metadata.deleteUpload(requireUpload(context).id),
  );
  await context.blobs.remove(removed);
  return emptyAnswer(204);
}

export function listParts(context: OperationContext): Answer {
  const { request, bucket, metadata } = context;
  const upload = requireUpload(context);
  const { type, encode } = keyEncoder(request);
  const limit = pageSize(request, 'max-parts');
  const marker = request.query.get('part-number-marker') ?? '0';
  if (!/^\d{1,10}$/.test(marker)) {
    throw invalidArgument(
      'Argument part-number-marker must be an integer between 0 and 2147483647',
      'part-number-marker',
      marker,
    );
  }
  const found = metadata.parts(upload.id, Number(marker), limit + 1);
  const page = found.slice(0, limit);
  return xmlAnswer(
    'ListPartsResult',
    {
      Bucket: bucket.name,
      Key: encode(upload.key),
      UploadId: upload.id,
      Initiator: owner,
      Owner: owner,
      StorageClass: upload.headers['x-amz-storage-class'] ?? 'STANDARD',
      PartNumberMarker: Number(marker),
      NextPartNumberMarker: page.at(-1)?.partNumber ?? 0,
      MaxParts: limit,
      ...(type === undefined ? {} : { EncodingType: type }),
      IsTruncated: found.length > limit && limit > 0,
      ...(upload.checksum === undefined
        ? {}
        : { ChecksumAlgorithm: upload.checksum.algorithm, ChecksumType: upload.checksum.type }),
      Part: page.map((part) => ({
        PartNumber: part.partNumber,
        LastModified: isoDate(part.modifiedAt),
        ETag: quoted(part.etag),
        Size: part.size,
        ...(upload.checksum === undefined
          ? {}
          : { [checksumElement(upload.checksum.algorithm)]: part.checksums[upload.checksum.algorithm] }),
      })),
    },
    abortAnswer(context, upload.initiatedAt),
  );
}

export function listMultipartUploads(context: OperationContext): Answer {
  const { request, bucket, metadata } = context;
  if (request.query.has('delimiter')) {
    throw new S3Error('NotImplemented', 'ListMultipartUploads with a delimiter is not implemented');
  }
  const { type, encode } = keyEncoder(request);
  const limit = pageSize(request, 'max-uploads');
  const prefix = request.query.get('prefix') ?? '';
  const keyMarker = request.query.get('key-marker') ?? '';
  const idMarker = keyMarker === '' ? '' : (request.query.get('upload-id-marker') ?? '');

  const page: UploadRecord[] = [];
  let truncated = false;
  let [key, id]: [string, string | undefined] = [keyMarker, idMarker === '' ? undefined : idMarker];
  for (let more = limit > 0; more; ) {
    const found = metadata.uploadsAfter(bucket.name, key, id, limit + 1);
    more = found.length === limit + 1;
    for (const upload of found) {
      [key, id] = [upload.key, upload.id];
      if (!upload.key.startsWith(prefix)) continue;
      if (page.length === limit) {
        truncated = true;
        more = false;
        break;
      }
      page.push(upload);
    }
  }
  const last = page.at(-1);
  return xmlAnswer('ListMultipartUploadsResult', {
    Bucket: bucket.name,
    KeyMarker: encode(keyMarker),
    UploadIdMarker: idMarker,
    ...(truncated && last !== undefined
      ? { NextKeyMarker: encode(last.key), NextUploadIdMarker: last.id }
      : {}),
    Prefix: encode(prefix),
    MaxUploads: limit,
    ...(type === undefined ? {} : { EncodingType: type }),
    IsTruncated: truncated,
    Upload: page.map((upload) => ({
      Key: encode(upload.key),
      UploadId: upload.id,
      Initiator: owner,
      Owner: owner,
      StorageClass: upload.headers['x-amz-storage-class'] ?? 'STANDARD',
      Initiated: isoDate(upload.initiatedAt),
      ...(upload.checksum === undefined
        ? {}
        : { ChecksumAlgorithm: upload.checksum.algorithm, ChecksumType: upload.checksum.type }),
    })),
  });
}
