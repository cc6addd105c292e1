import { expect, test } from '@jest/globals';
import { bucketOptions } from '../../../local/s3/bucket.ts';

test("a bucket's options follow from the template's properties", () => {
  expect(
    bucketOptions({
      CorsConfiguration: {
        CorsRules: [
          { AllowedOrigins: ['*'], AllowedMethods: ['PUT'], ExposedHeaders: ['ETag'], MaxAge: 300 },
        ],
      },
      LifecycleConfiguration: {
        Rules: [
          { Id: 'a', Status: 'Enabled', AbortIncompleteMultipartUpload: { DaysAfterInitiation: 9 } },
          { Prefix: 'staging/', Status: 'Disabled', ExpirationInDays: 9 },
        ],
      },
      BucketEncryption: {
        ServerSideEncryptionConfiguration: [{ ServerSideEncryptionByDefault: { SSEAlgorithm: 'aws:kms' } }],
      },
    }),
  ).toEqual({
    corsRules: [
      {
        allowedOrigins: ['*'],
        allowedMethods: ['PUT'],
        allowedHeaders: [],
        exposedHeaders: ['ETag'],
        maxAge: 300,
      },
    ],
    lifecycle: [
      { id: 'a', enabled: true, abortIncompleteMultipartUploadDays: 9 },
      { prefix: 'staging/', enabled: false, expirationDays: 9 },
    ],
    opaqueEtags: true,
  });
  expect(bucketOptions({})).toEqual({ corsRules: [], lifecycle: [], opaqueEtags: false });
});

test('a rule that the local S3 would not carry out is refused, not ignored', () => {
  const rule = { Status: 'Enabled', Transitions: [{ StorageClass: 'GLACIER', TransitionInDays: 1 }] };
  expect(() => bucketOptions({ LifecycleConfiguration: { Rules: [rule] } })).toThrow('Transitions');
});
