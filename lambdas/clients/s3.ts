import { S3Client } from '@aws-sdk/client-s3';

/**
 * `WHEN_REQUIRED`: the SDK's default would put a CRC32 of an empty body into presigned URLs, which then refuse every
 * real one, and would demand trailers of streamed parts. S3 computes a checksum of its own for each object.
 */
export const s3Client = (options: { accelerate?: boolean } = {}): S3Client =>
  new S3Client({
    maxAttempts: 4,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // An endpoint that was set is not S3's accelerated one, and the SDK refuses to take it for that.
    useAccelerateEndpoint: (options.accelerate ?? false) && !process.env.AWS_ENDPOINT_URL,
  });
