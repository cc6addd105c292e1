import { PutObjectCommand, UploadPartCommand } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { pieceLength } from '../parts/geometry.ts';
import { objectKey, stagedChunkKey, type UploadRecord } from '../upload/record.ts';
import type { Bucket } from './multipart.ts';

/** A URL that stores one part by a PUT from anywhere. */
export interface PartUrl {
  readonly partNumber: number;
  readonly url: string;
  /** Bytes; S3 refuses a body of another length. */
  readonly size: number;
  /** ISO 8601. It may end sooner, with the session of the role that signed it. */
  readonly expiresAt: string;
}

/**
 * Signs a URL for each part. The length is signed along, so that a URL stores a part of this size or none. Where the
 * content is checked, the first part's stores a staged object, for the workflow to look at. No call to AWS is made.
 */
export async function presignParts(
  { client, bucketName }: Bucket,
  upload: UploadRecord & { readonly s3UploadId: string },
  partNumbers: readonly number[],
  { now, expirySeconds }: { now: number; expirySeconds: number },
): Promise<PartUrl[]> {
  const expiresAt = new Date(now + expirySeconds * 1000).toISOString();
  const options = { expiresIn: expirySeconds, signableHeaders: new Set(['host', 'content-length']) };
  const key = objectKey(upload);
  const urlOf = async (partNumber: number, size: number): Promise<string> => {
    const common = { Bucket: bucketName, ContentLength: size };
    if (upload.firstPartStaged && partNumber === 1)
      return await getSignedUrl(
        client,
        new PutObjectCommand({ ...common, Key: stagedChunkKey(upload, partNumber) }),
        options,
      );
    return await getSignedUrl(
      client,
      new UploadPartCommand({ ...common, Key: key, UploadId: upload.s3UploadId, PartNumber: partNumber }),
      options,
    );
  };
  return await Promise.all(
    partNumbers.map(async (partNumber) => {
      const size = pieceLength(upload, partNumber);
      return { partNumber, url: await urlOf(partNumber, size), size, expiresAt };
    }),
  );
}
