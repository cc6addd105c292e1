import type { IKey } from 'aws-cdk-lib/aws-kms';

/** How the files and their records are encrypted at rest. They always are. */
export type UploadEncryption =
  | { readonly type: 's3-managed' }
  /** With a key of yours, or one that is made. */
  | { readonly type: 'kms'; readonly key: IKey | undefined };

export const UploadEncryption = {
  /** S3's and DynamoDB's own keys, at no cost. */
  s3Managed(): UploadEncryption {
    return { type: 's3-managed' };
  },

  /**
   * A customer managed KMS key for the bucket (with a bucket key, so that KMS is asked seldom) and the table.
   * ETags are then no MD5 sums any more.
   * @param key yours; its policy must let this account's IAM decide. Default: one is made ($1 a month), and
   * kept when the stack goes, since nothing can be read without it
   */
  kms(key?: IKey): UploadEncryption {
    return { type: 'kms', key };
  },
} as const;
