import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  ListPartsCommand,
  type ListPartsCommandOutput,
  type S3Client,
  UploadPartCommand,
  type UploadPartCommandInput,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';

export interface Bucket {
  readonly client: S3Client;
  readonly bucketName: string;
}

/** One S3 multipart upload. */
export interface MultipartUpload {
  readonly key: string;
  readonly s3UploadId: string;
}

export interface StoredPart {
  readonly partNumber: number;
  /** Without quotes. */
  readonly etag: string;
  readonly size: number;
}

export interface StoredObject {
  /** Without quotes. */
  readonly etag: string;
  readonly size: number;
  /** S3's CRC64NVME of the whole object, base64, where the engine has one. */
  readonly checksum?: string;
}

/** S3's errors are not modelled as classes: match them by name. */
export const isS3Error = (error: unknown, ...names: string[]): boolean =>
  error instanceof Error && names.includes(error.name);

export const unquoted = (etag: string | undefined): string => (etag ?? '').replaceAll('"', '');

export async function createMultipartUpload(
  { client, bucketName }: Bucket,
  object: { key: string; contentType: string },
): Promise<string> {
  const { UploadId } = await client.send(
    new CreateMultipartUploadCommand({
      Bucket: bucketName,
      Key: object.key,
      ContentType: object.contentType,
      // A browser that opens the object from the bucket saves it; it never runs what a stranger uploaded.
      ContentDisposition: 'attachment',
    }),
  );
  if (!UploadId) throw new Error('S3 created a multipart upload without an id.');
  return UploadId;
}

/** Stores one part. A part sent again replaces the former. */
export async function uploadPart(
  { client, bucketName }: Bucket,
  upload: MultipartUpload,
  part: { partNumber: number; body: NonNullable<UploadPartCommandInput['Body']>; size: number },
  abortSignal?: AbortSignal,
): Promise<string> {
  const { ETag } = await client.send(
    new UploadPartCommand({
      Bucket: bucketName,
      Key: upload.key,
      UploadId: upload.s3UploadId,
      PartNumber: part.partNumber,
      Body: part.body,
      ContentLength: part.size,
    }),
    abortSignal ? { abortSignal } : {},
  );
  return unquoted(ETag);
}

/**
 * Makes one part of an object of the bucket, inside S3; the object must still be the one of this ETag. S3 copies up to
 * 5 GiB at a time.
 *
 * @throws S3's `PreconditionFailed` when it is another one by now
 */
export async function copyPart(
  { client, bucketName }: Bucket,
  upload: MultipartUpload,
  partNumber: number,
  source: { readonly key: string; readonly etag: string },
): Promise<string> {
  const { CopyPartResult } = await client.send(
    new UploadPartCopyCommand({
      Bucket: bucketName,
      Key: upload.key,
      UploadId: upload.s3UploadId,
      PartNumber: partNumber,
      CopySource: `${bucketName}/${source.key.split('/').map(encodeURIComponent).join('/')}`,
      CopySourceIfMatch: `"${source.etag}"`,
    }),
  );
  return unquoted(CopyPartResult?.ETag);
}

/** All parts that S3 has, in order: the truth. One call for each 1,000. */
export async function listParts(
  { client, bucketName }: Bucket,
  upload: MultipartUpload,
): Promise<StoredPart[]> {
  const parts: StoredPart[] = [];
  // Not the SDK's paginator: it follows a marker that S3 gives on the last page too, and so never ends.
  let marker: string | undefined = '0';
  while (marker !== undefined) {
    const page: ListPartsCommandOutput = await client.send(
      new ListPartsCommand({
        Bucket: bucketName,
        Key: upload.key,
        UploadId: upload.s3UploadId,
        PartNumberMarker: marker,
      }),
    );
    for (const { PartNumber = 0, ETag, Size = 0 } of page.Parts ?? [])
      parts.push({ partNumber: PartNumber, etag: unquoted(ETag), size: Size });
    marker = page.IsTruncated ? page.NextPartNumberMarker : undefined;
  }
  return parts;
}

/**
 * Completes an upload. `totalSize` goes along, so that S3 itself refuses an object of another size.
 *
 * @throws S3's errors by name; see `isS3Error`
 */
export async function completeMultipartUpload(
  { client, bucketName }: Bucket,
  upload: MultipartUpload,
  parts: ReadonlyArray<{ partNumber: number; etag: string }>,
  totalSize: number,
): Promise<StoredObject> {
  const { ETag, ChecksumCRC64NVME } = await client.send(
    new CompleteMultipartUploadCommand({
      Bucket: bucketName,
      Key: upload.key,
      UploadId: upload.s3UploadId,
      MpuObjectSize: totalSize,
      MultipartUpload: {
        Parts: parts.map(({ partNumber, etag }) => ({ PartNumber: partNumber, ETag: `"${etag}"` })),
      },
    }),
  );
  if (!ETag) {
    // Ceph leaves it out of this answer; the object has one.
    const object = await headObject({ client, bucketName }, upload.key);
    if (object) return object;
    throw new Error(`S3 completed ${upload.key} without an ETag, and has no such object.`);
  }
  return {
    etag: unquoted(ETag),
    size: totalSize,
    ...(ChecksumCRC64NVME && { checksum: ChecksumCRC64NVME }),
  };
}

/** The finished object; undefined when there is none. */
export async function headObject(
  { client, bucketName }: Bucket,
  key: string,
): Promise<StoredObject | undefined> {
  try {
    const head = await client.send(
      new HeadObjectCommand({ Bucket: bucketName, Key: key, ChecksumMode: 'ENABLED' }),
    );
    return {
      etag: unquoted(head.ETag),
      size: head.ContentLength ?? 0,
      ...(head.ChecksumCRC64NVME && { checksum: head.ChecksumCRC64NVME }),
    };
  } catch (error) {
    if (isS3Error(error, 'NotFound', 'NoSuchKey')) return undefined;
    throw error;
  }
}

/** Ends an upload and frees its parts. One that is gone already is as good. */
export async function abortMultipartUpload(
  { client, bucketName }: Bucket,
  upload: MultipartUpload,
): Promise<void> {
  try {
    await client.send(
      new AbortMultipartUploadCommand({
        Bucket: bucketName,
        Key: upload.key,
        UploadId: upload.s3UploadId,
      }),
    );
  } catch (error) {
    if (!isS3Error(error, 'NoSuchUpload')) throw error;
  }
}
