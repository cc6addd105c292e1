import { createHash, randomBytes } from 'node:crypto';
import {
  type Answer,
  checksumAnswer,
  emptyAnswer,
  etagMatches,
  expirationAnswer,
  isoDate,
  type OperationContext,
  quoted,
  unquoted,
  xmlAnswer,
} from './answer.ts';
import {
  type Checksum,
  type ChecksumAlgorithm,
  checksumElement,
  createHasher,
  defaultAlgorithm,
} from './checksums.ts';
import { invalidArgument, invalidRequest, S3Error } from './errors.ts';
import { declaredAlgorithm, receiveBody, receiveDocument, sentChecksum } from './intake.ts';
import type { ObjectPart, ObjectRecord, StoredHeaders } from './metadata.ts';
import { fullRange, readObject } from './object-reads.ts';
import { type ByteRange, encryptionAnswer, type S3Request, storedHeaders } from './request.ts';
import { field, listField, parseXml, textField } from './xml.ts';

/** DeleteObjects takes 1,000 keys of up to 1,024 bytes. */
const maxDeleteDocument = 2 * 1024 * 1024;

/** An ETag for bytes: their MD5, or one that says nothing of them where the encryption hides it. */
export function etagFor(context: OperationContext, headers: StoredHeaders, md5: string): string {
  const hidden =
    context.bucket.options.opaqueEtags === true ||
    (headers['x-amz-server-side-encryption'] ?? '').startsWith('aws:kms');
  return hidden ? randomBytes(16).toString('hex') : md5;
}

/**
 * The conditions of conditional writes: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
 *
 * @throws S3Error PreconditionFailed, NoSuchKey, NotImplemented
 */
export function checkWriteConditions(request: S3Request, existing: ObjectRecord | undefined): void {
  const ifNoneMatch = request.header('if-none-match');
  const ifMatch = request.header('if-match');
  if (ifNoneMatch !== undefined) {
    if (unquoted(ifNoneMatch) !== '*')
      throw new S3Error('NotImplemented', undefined, { Header: 'If-None-Match' });
    if (existing !== undefined)
      throw new S3Error('PreconditionFailed', undefined, { Condition: 'If-None-Match' });
  }
  if (ifMatch !== undefined) {
    if (existing === undefined) throw new S3Error('NoSuchKey', undefined, { Key: request.key });
    if (!etagMatches(ifMatch, existing)) {
      throw new S3Error('PreconditionFailed', undefined, { Condition: 'If-Match' });
    }
  }
}

export async function putObject(context: OperationContext): Promise<Answer> {
  const { request, bucket, metadata, blobs } = context;
  const headers = storedHeaders(request);
  checkWriteConditions(request, metadata.object(bucket.name, request.key));
  const wanted = sentChecksum(request) === undefined ? [defaultAlgorithm] : [];
  const body = await receiveBody(request, blobs, wanted);
  const algorithm = body.sent ?? defaultAlgorithm;
  return storeObject(context, headers, body, {
    algorithm,
    type: 'FULL_OBJECT',
    value: body.checksums[algorithm] ?? '',
  });
}

/** Makes received bytes the object of the request's key, if the conditions still hold. */
async function storeObject(
  context: OperationContext,
  headers: StoredHeaders,
  body: { readonly blob: string; readonly size: number; readonly md5: string },
  checksum: Checksum,
): Promise<Answer> {
  const { request, bucket, metadata, blobs, clock } = context;
  const etag = etagFor(context, headers, body.md5);
  const modifiedAt = clock.now();
  const part: ObjectPart = {
    partNumber: 1,
    blob: body.blob,
    size: body.size,
    etag,
    checksums: { [checksum.algorithm]: checksum.value },
  };
  let replaced: string[];
  try {
    replaced = metadata.transaction(() => {
      checkWriteConditions(request, metadata.object(bucket.name, request.key));
      return metadata.putObject(
        {
          bucket: bucket.name,
          key: request.key,
          size: body.size,
          etag,
          modifiedAt,
          headers,
          checksum,
          uploadId: undefined,
        },
        [part],
      );
    });
  } catch (error) {
    await blobs.remove([body.blob]);
    throw error;
  }
  await blobs.remove(replaced);
  return emptyAnswer(200, {
    etag: quoted(etag),
    ...checksumAnswer(checksum),
    ...encryptionAnswer(headers),
    ...expirationAnswer(context, modifiedAt),
  });
}

/**
 * The object that `x-amz-copy-source` names, its conditions checked.
 *
 * @throws S3Error InvalidArgument, NoSuchBucket, NoSuchKey, PreconditionFailed
 */
export function copySource(context: OperationContext): { object: ObjectRecord; parts: ObjectPart[] } {
  const { request, metadata } = context;
  const header = request.header('x-amz-copy-source') ?? '';
  const match = /^\/?([^/?]+)\/([^?]+)(\?.*)?$/.exec(header);
  let bucketName: string;
  let key: string;
  try {
    bucketName = decodeURIComponent(match?.[1] ?? '');
    key = decodeURIComponent(match?.[2] ?? '');
  } catch {
    throw invalidArgument('Invalid copy source encoding', 'x-amz-copy-source', header);
  }
  if (bucketName === '' || key === '') {
    throw invalidArgument(
      'Copy Source must mention the source bucket and key: sourcebucket/sourcekey',
      'x-amz-copy-source',
      header,
    );
  }
  if (match?.[3] !== undefined) {
    throw new S3Error('NotImplemented', undefined, { Header: 'x-amz-copy-source?versionId' });
  }
  if (metadata.bucket(bucketName) === undefined) {
    throw new S3Error('NoSuchBucket', undefined, { BucketName: bucketName });
  }
  const object = metadata.object(bucketName, key);
  if (object === undefined) throw new S3Error('NoSuchKey', undefined, { Key: key });

  const failed = (condition: string): S3Error =>
    new S3Error('PreconditionFailed', undefined, { Condition: condition });
  const seconds = Math.floor(object.modifiedAt / 1000) * 1000;
  const ifMatch = request.header('x-amz-copy-source-if-match');
  const ifNoneMatch = request.header('x-amz-copy-source-if-none-match');
  const modifiedSince = Date.parse(request.header('x-amz-copy-source-if-modified-since') ?? '');
  const unmodifiedSince = Date.parse(request.header('x-amz-copy-source-if-unmodified-since') ?? '');
  if (ifMatch !== undefined && !etagMatches(ifMatch, object)) throw failed('x-amz-copy-source-If-Match');
  if (ifMatch === undefined && seconds > unmodifiedSince)
    throw failed('x-amz-copy-source-If-Unmodified-Since');
  if (ifNoneMatch !== undefined && etagMatches(ifNoneMatch, object)) {
    throw failed('x-amz-copy-source-If-None-Match');
  }
  if (ifNoneMatch === undefined && seconds <= modifiedSince)
    throw failed('x-amz-copy-source-If-Modified-Since');
  return { object, parts: metadata.objectParts(object.id) };
}

/** Copies a range of an object to a new blob. */
export async function copyBytes(
  context: OperationContext,
  parts: readonly ObjectPart[],
  range: ByteRange | undefined,
  algorithm: ChecksumAlgorithm,
): Promise<{ blob: string; size: number; md5: string; checksum: string }> {
  const md5 = createHash('md5');
  const hasher = await createHasher(algorithm);
  const source = range === undefined ? emptyBytes() : readObject(context.blobs, parts, range);
  const hashed = async function* (): AsyncGenerator<Buffer> {
    for await (const chunk of source) {
      md5.update(chunk);
      hasher.update(chunk);
      yield chunk;
    }
  };
  const { blob, size } = await context.blobs.write(hashed());
  return { blob, size, md5: md5.digest('hex'), checksum: hasher.digest().toString('base64') };
}

async function* emptyBytes(): AsyncGenerator<Buffer> {}

/** One copy takes up to 5 GiB; larger objects go by UploadPartCopy. */
const maxCopySize = 5 * 1024 ** 3;

export async function copyObject(context: OperationContext): Promise<Answer> {
  const { request, bucket } = context;
  const { object, parts } = copySource(context);
  const directive = request.header('x-amz-metadata-directive') ?? 'COPY';
  if (directive !== 'COPY' && directive !== 'REPLACE') {
    throw invalidArgument('Unknown metadata directive.', 'x-amz-metadata-directive', directive);
  }
  const given = storedHeaders(request);
  if (directive === 'COPY' && object.bucket === bucket.name && object.key === request.key) {
    throw invalidRequest(
      "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.",
    );
  }
  if (object.size > maxCopySize) {
    throw invalidRequest(
      'The specified copy source is larger than the maximum allowable size for a copy source: 5368709120',
    );
  }
  const headers = directive === 'REPLACE' ? given : { ...object.headers, ...encryptionAnswer(given) };
  const algorithm = declaredAlgorithm(request) ?? object.checksum?.algorithm ?? defaultAlgorithm;
  const copied = await copyBytes(context, parts, fullRange(object.size), algorithm);
  const checksum: Checksum = { algorithm, type: 'FULL_OBJECT', value: copied.checksum };
  const stored = await storeObject(context, headers, copied, checksum);
  return xmlAnswer(
    'CopyObjectResult',
    {
      ETag: stored.headers.etag,
      LastModified: isoDate(context.clock.now()),
      ChecksumType: checksum.type,
      [checksumElement(algorithm)]: checksum.value,
    },
    encryptionAnswer(headers),
  );
}

export async function deleteObject(context: OperationContext): Promise<Answer> {
  const { request, bucket, metadata, blobs } = context;
  const removed = metadata.transaction(() => {
    const existing = metadata.object(bucket.name, request.key);
    const ifMatch = request.header('if-match');
    if (ifMatch !== undefined && existing !== undefined && !etagMatches(ifMatch, existing)) {
      throw new S3Error('PreconditionFailed', undefined, { Condition: 'If-Match' });
    }
    return metadata.deleteObject(bucket.name, request.key);
  });
  await blobs.remove(removed);
  return emptyAnswer(204);
}

export async function deleteObjects(context: OperationContext): Promise<Answer> {
  const { request, bucket, metadata, blobs } = context;
  if (request.header('content-md5') === undefined && sentChecksum(request) === undefined) {
    throw invalidRequest('Missing required header for this request: Content-MD5 OR x-amz-checksum-*');
  }
  const document = parseXml(await receiveDocument(request, maxDeleteDocument, 'document'), 'Delete');
  const keys = listField(document, 'Object').map((entry) => {
    const key = textField(entry, 'Key');
    if (key === undefined || key === '') throw new S3Error('MalformedXML');
    if (field(entry, 'VersionId') !== undefined || field(entry, 'ETag') !== undefined) {
      throw new S3Error('NotImplemented', 'Deleting versions, or by ETag, is not implemented');
    }
    return key;
  });
  if (keys.length === 0 || keys.length > 1000) throw new S3Error('MalformedXML');
  const removed = metadata.transaction(() => keys.flatMap((key) => metadata.deleteObject(bucket.name, key)));
  await blobs.remove(removed);
  const quiet = textField(document, 'Quiet') === 'true';
  return xmlAnswer('DeleteResult', { Deleted: quiet ? [] : keys.map((Key) => ({ Key })) });
}
