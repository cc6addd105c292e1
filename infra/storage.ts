import { Annotations, Duration, type RemovalPolicy, Token } from 'aws-cdk-lib';
import * as cloudtrail from 'aws-cdk-lib/aws-cloudtrail';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import * as s3 from 'aws-cdk-lib/aws-s3';
import type { Construct } from 'constructs';
import { bucketCors } from './cors.ts';
import { InvalidOption } from './invalid-option.ts';

/** Where completed files appear; S3 holds their unfinished multipart uploads under the same keys. */
export const UPLOADS_PREFIX = 'uploads/';
/** Where chunks wait until they are joined into parts of legal size. */
export const STAGING_PREFIX = 'staging/';

export interface UploadBucketProps {
  readonly allowedOrigins: readonly string[];
  readonly maxAgeSeconds: number;
  readonly transferAcceleration: boolean;
  readonly key: IKey | undefined;
  readonly serverAccessLogs: s3.IBucket | undefined;
  readonly removalPolicy: RemovalPolicy;
}

/**
 * After how many days the bucket removes what an upload left behind.
 *
 * The state of an upload must be gone before its parts are, or a client would resume onto nothing. State is over
 * `maxAgeSeconds` after the upload's start, and S3 counts whole days from when the parts' upload was initiated or
 * the chunk was stored, which is never before that start. One more day leaves time to complete an upload that
 * was whole at the last moment.
 */
export const lifecycleDays = (maxAgeSeconds: number): number => Math.ceil(maxAgeSeconds / 86_400) + 1;

export function uploadBucket(scope: Construct, props: UploadBucketProps): s3.IBucket {
  const days = Duration.days(lifecycleDays(props.maxAgeSeconds));
  return new s3.Bucket(scope, 'Bucket', {
    blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
    objectOwnership: s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
    enforceSSL: true,
    ...(props.key
      ? { encryption: s3.BucketEncryption.KMS, encryptionKey: props.key, bucketKeyEnabled: true }
      : { encryption: s3.BucketEncryption.S3_MANAGED }),
    // No versioning: every attempt has a key of its own, so that nothing is ever overwritten, while the versions
    // of removed chunks would stay and be billed.
    versioned: false,
    transferAcceleration: props.transferAcceleration,
    cors: bucketCors(props.allowedOrigins),
    lifecycleRules: [
      { id: 'abort-unfinished-uploads', abortIncompleteMultipartUploadAfter: days },
      { id: 'expire-staged-chunks', prefix: STAGING_PREFIX, expiration: days },
    ],
    ...(props.serverAccessLogs && {
      serverAccessLogsBucket: props.serverAccessLogs,
      serverAccessLogsPrefix: 'resumable-uploads/',
    }),
    removalPolicy: props.removalPolicy,
  }) as s3.IBucket;
}

/** Tells of every call on the bucket's objects, presigned ones included. */
export function objectTrail(scope: Construct, bucket: s3.IBucket, records: s3.IBucket): cloudtrail.Trail {
  const trail = new cloudtrail.Trail(scope, 'ObjectTrail', {
    bucket: records,
    isMultiRegionTrail: false,
    includeGlobalServiceEvents: false,
    managementEvents: cloudtrail.ReadWriteType.NONE,
    enableFileValidation: true,
  });
  trail.addS3EventSelector([{ bucket }]);
  return trail;
}

/** What we cannot set on a bucket of yours, said where a deployer reads it. */
export function checkOwnBucket(
  scope: Construct,
  bucket: s3.IBucket,
  { maxAgeSeconds, transferAcceleration }: { maxAgeSeconds: number; transferAcceleration: boolean },
): void {
  const name = bucket.bucketName;
  if (transferAcceleration && !Token.isUnresolved(name) && name.includes('.')) {
    throw new InvalidOption(
      `transferAcceleration: the bucket "${name}" has a dot in its name, which Transfer Acceleration excludes; bring a bucket without dots or leave transferAcceleration off.`,
    );
  }
  const days = lifecycleDays(maxAgeSeconds);
  Annotations.of(scope).addWarningV2(
    'resumable-uploads:own-bucket',
    `The bucket is yours, so it is not changed: it needs CORS for PUT that exposes ETag to your pages, a lifecycle rule that aborts incomplete multipart uploads after ${days} days or more, one that expires ${STAGING_PREFIX} after as many, and no versioning (removed chunks would stay and be billed)${bucket.encryptionKey ? '' : '; under a KMS key of yours, functions need that key too: give the bucket with its encryptionKey, or kmsKey'}${transferAcceleration ? ', and Transfer Acceleration enabled' : ''}.`,
  );
}
