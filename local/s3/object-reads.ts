import {
  type Answer,
  checksumAnswer,
  etagMatches,
  expirationAnswer,
  httpDate,
  isoDate,
  type OperationContext,
  quoted,
  xmlAnswer,
} from './answer.ts';
import type { BlobRange, BlobStore } from './blobs.ts';
import type { Checksum } from './checksums.ts';
import { invalidArgument, invalidRequest, S3Error } from './errors.ts';
import type { ObjectPart, ObjectRecord } from './metadata.ts';
import { type ByteRange, byteRange, keyEncoder, pageSize, partNumberOf, type S3Request } from './request.ts';

export const fullRange = (size: number): ByteRange | undefined =>
  size === 0 ? undefined : { start: 0, end: size - 1 };

/** The bytes of a range of an object, from whatever files it lies in. */
export function readObject(
  blobs: BlobStore,
  parts: readonly ObjectPart[],
  range: ByteRange,
): AsyncIterableIterator<Buffer> {
  const ranges: BlobRange[] = [];
  let offset = 0;
  for (const { blob, size } of parts) {
    const start = Math.max(range.start - offset, 0);
    const end = Math.min(range.end - offset, size - 1);
    if (start <= end) ranges.push({ blob, start, end });
    offset += size;
  }
  return blobs.read(ranges);
}

/** Query parameters that replace headers of the answer, for signed requests. */
const overrides = [
  'content-type',
  'content-language',
  'expires',
  'cache-control',
  'content-disposition',
  'content-encoding',
] as const;

/** GetObject and HeadObject: the same but for the body. */
export function getObject(context: OperationContext): Answer {
  const { request, bucket, metadata, blobs } = context;
  const object = metadata.object(bucket.name, request.key);
  if (object === undefined) throw new S3Error('NoSuchKey', undefined, { Key: request.key });
  const common = {
    etag: quoted(object.etag),
    'last-modified': httpDate(object.modifiedAt),
    'accept-ranges': 'bytes',
    ...expirationAnswer(context, object.modifiedAt),
  };
  if (isNotModified(request, object)) return { status: 304, headers: common };

  const parts = metadata.objectParts(object.id);
  const selected = selectRange(request, object, parts);
  const range = selected.range;
  const length = range === undefined ? 0 : range.end - range.start + 1;
  const { 'x-amz-tagging': tagging, ...stored } = object.headers;
  const headers: Record<string, string> = {
    ...stored,
    ...common,
    ...(tagging === undefined
      ? {}
      : { 'x-amz-tagging-count': String([...new URLSearchParams(tagging)].length) }),
    ...(request.header('x-amz-checksum-mode')?.toUpperCase() === 'ENABLED'
      ? checksumAnswer(selected.checksum)
      : {}),
    ...selected.headers,
    'content-length': String(length),
  };
  for (const name of overrides) {
    const value = request.query.get(`response-${name}`);
    if (value !== null) headers[name] = value;
  }
  const status = selected.partial ? 206 : 200;
  if (request.method === 'HEAD' || range === undefined) return { status, headers };
  return { status, headers, body: readObject(blobs, parts, range) };
}

function selectRange(
  request: S3Request,
  object: ObjectRecord,
  parts: readonly ObjectPart[],
): {
  range: ByteRange | undefined;
  partial: boolean;
  headers: Record<string, string>;
  checksum: Checksum | undefined;
} {
  const header = request.header('range');
  const contentRange = (range: ByteRange): string => `bytes ${range.start}-${range.end}/${object.size}`;
  if (request.query.has('partNumber')) {
    if (header !== undefined) {
      throw invalidRequest('Cannot specify both Range header and partNumber query parameter');
    }
    const wanted = partNumberOf(request);
    const index = parts.findIndex((part) => part.partNumber === wanted);
    const part = parts[index];
    if (part === undefined) {
      throw new S3Error('InvalidPartNumber', undefined, {
        ActualPartCount: parts.length,
        PartNumberRequested: wanted,
      });
    }
    const start = parts.slice(0, index).reduce((sum, { size }) => sum + size, 0);
    const range = part.size === 0 ? undefined : { start, end: start + part.size - 1 };
    const value = object.checksum && part.checksums[object.checksum.algorithm];
    return {
      range,
      partial: true,
      headers: {
        ...(range === undefined ? {} : { 'content-range': contentRange(range) }),
        ...(object.uploadId === undefined ? {} : { 'x-amz-mp-parts-count': String(parts.length) }),
      },
      checksum:
        object.checksum === undefined || value === undefined ? undefined : { ...object.checksum, value },
    };
  }
  const range = byteRange(header, object.size);
  if (range === undefined) {
    return { range: fullRange(object.size), partial: false, headers: {}, checksum: object.checksum };
  }
  return { range, partial: true, headers: { 'content-range': contentRange(range) }, checksum: undefined };
}

/**
 * The conditions of conditional reads, in the order of RFC 9110, 13.2.2.
 *
 * @throws S3Error PreconditionFailed
 */
function isNotModified(request: S3Request, object: ObjectRecord): boolean {
  const seconds = Math.floor(object.modifiedAt / 1000) * 1000;
  const ifMatch = request.header('if-match');
  const ifNoneMatch = request.header('if-none-match');
  const unmodifiedSince = Date.parse(request.header('if-unmodified-since') ?? '');
  const modifiedSince = Date.parse(request.header('if-modified-since') ?? '');
  const failed = ifMatch === undefined ? seconds > unmodifiedSince : !etagMatches(ifMatch, object);
  if (failed) {
    throw new S3Error('PreconditionFailed', undefined, {
      Condition: ifMatch === undefined ? 'If-Unmodified-Since' : 'If-Match',
    });
  }
  return ifNoneMatch === undefined ? seconds <= modifiedSince : etagMatches(ifNoneMatch, object);
}

/** Sorts after every key that starts with the text before it: U+10FFFF is the highest character. */
const afterAll = '\u{10FFFF}';

export function listObjectsV2(context: OperationContext): Answer {
  const { request, bucket, metadata } = context;
  const { type, encode } = keyEncoder(request);
  const prefix = request.query.get('prefix') ?? '';
  const delimiter = request.query.get('delimiter') ?? '';
  const startAfter = request.query.get('start-after') ?? '';
  const token = request.query.get('continuation-token');
  const limit = pageSize(request, 'max-keys');
  if (token === '')
    throw invalidArgument('The continuation token provided is incorrect', 'continuation-token', '');

  const contents: ObjectRecord[] = [];
  const commonPrefixes: string[] = [];
  let cursor = token === null ? startAfter : decodeToken(token);
  let inclusive = false;
  if (Buffer.compare(Buffer.from(cursor), Buffer.from(prefix)) < 0) {
    cursor = prefix;
    inclusive = true;
  }
  let truncated = false;
  let more = limit > 0;
  while (more) {
    const page = metadata.objectsFrom(bucket.name, cursor, inclusive, limit + 1);
    inclusive = false;
    more = page.length === limit + 1;
    for (const object of page) {
      // Keys sort by bytes: all with the prefix stand together.
      if (!object.key.startsWith(prefix)) {
        more = false;
        break;
      }
      if (contents.length + commonPrefixes.length === limit) {
        truncated = true;
        more = false;
        break;
      }
      const group = groupOf(object.key, prefix, delimiter);
      if (group === undefined) {
        contents.push(object);
        cursor = object.key;
      } else {
        commonPrefixes.push(group);
        // Skips the rest of the group in one step.
        cursor = group + afterAll;
        more = true;
        break;
      }
    }
  }

  return xmlAnswer('ListBucketResult', {
    Name: bucket.name,
    Prefix: encode(prefix),
    ...(delimiter === '' ? {} : { Delimiter: encode(delimiter) }),
    ...(startAfter === '' ? {} : { StartAfter: encode(startAfter) }),
    ...(token === null ? {} : { ContinuationToken: token }),
    ...(truncated ? { NextContinuationToken: encodeToken(cursor) } : {}),
    KeyCount: contents.length + commonPrefixes.length,
    MaxKeys: limit,
    ...(type === undefined ? {} : { EncodingType: type }),
    IsTruncated: truncated,
    Contents: contents.map((object) => ({
      Key: encode(object.key),
      LastModified: isoDate(object.modifiedAt),
      ETag: quoted(object.etag),
      ...(object.checksum === undefined
        ? {}
        : { ChecksumAlgorithm: object.checksum.algorithm, ChecksumType: object.checksum.type }),
      Size: object.size,
      StorageClass: object.headers['x-amz-storage-class'] ?? 'STANDARD',
    })),
    CommonPrefixes: commonPrefixes.map((group) => ({ Prefix: encode(group) })),
  });
}

function groupOf(key: string, prefix: string, delimiter: string): string | undefined {
  if (delimiter === '') return undefined;
  const at = key.indexOf(delimiter, prefix.length);
  return at === -1 ? undefined : key.slice(0, at + delimiter.length);
}

const encodeToken = (key: string): string => Buffer.from(key).toString('base64url');
const decodeToken = (token: string): string => Buffer.from(token, 'base64url').toString();
