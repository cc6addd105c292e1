import { UploadPartCommand } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import type { Bucket, MultipartUpload } from './multipart.ts';

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
 * Signs a URL for each part. The length is signed along, so that a URL stores a part of this size or none. No call
 * to AWS is made.
 */
export async function presignParts(
  { client, bucketName }: Bucket,
  upload: MultipartUpload,
  parts: ReadonlyArray<{ partNumber: number; size: number }>,
  { now, expirySeconds }: { now: number; expirySeconds: number },
): Promise<PartUrl[]> {
  const expiresAt = new Date(now + expirySeconds * 1000).toISOString();
  return await Promise.all(
    parts.map(async ({ partNumber, size }) => ({
      partNumber,
      url: await getSignedUrl(
        client,
        new UploadPartCommand({
          Bucket: bucketName,
          Key: upload.key,
          UploadId: upload.s3UploadId,
          PartNumber: partNumber,
          ContentLength: size,
        }),
        { expiresIn: expirySeconds, signableHeaders: new Set(['host', 'content-length']) },
      ),
      size,
      expiresAt,
    })),
  );
}
