import { createHash } from 'node:crypto';
import {
  type Answer,
  expirationAnswer,
  type OperationContext,
  quoted,
  unquoted,
  xmlAnswer,
} from './answer.ts';
import {
  type Checksum,
  type ChecksumValues,
  checksumAlgorithms,
  checksumElement,
  checksumHeader,
  combineChecksums,
  isChecksumValue,
} from './checksums.ts';
import { invalidArgument, invalidRequest, S3Error } from './errors.ts';
import { receiveDocument } from './intake.ts';
import type { ObjectRecord, PartRecord, UploadRecord } from './metadata.ts';
import { effectiveChecksum, requireUpload } from './multipart.ts';
import { checkWriteConditions, etagFor } from './object-writes.ts';
import { encryptionAnswer, type S3Request } from './request.ts';
import { listField, parseXml, textField } from './xml.ts';

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
export const s3MinPartSize = 5 * 1024 ** 2;
const maxParts = 10_000;
/** 10,000 parts with ETags and checksums stay well below. */
const maxCompleteDocument = 8 * 1024 * 1024;

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
  const { request, bucket, metadata, blobs, clock, minPartSize } = context;
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
    const parts = chosenParts(upload, metadata.parts(upload.id), listed, minPartSize);
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
  minPartSize: number,
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
