import { describe, expect, test } from '@jest/globals';
import { Duration } from 'aws-cdk-lib';
import fc from 'fast-check';
import { WATCH_INDEX } from '../../infra/state-table.ts';
import { lifecycleDays } from '../../infra/storage.ts';
import { NEXT_LOOK_INDEX } from '../../lambdas/upload/store.ts';
import { type Resource, type Synthesised, synthesise } from './synthesised.ts';

const DAY = 86_400;
const byDefault = synthesise();
const bucketOf = (stack: Synthesised): Resource => stack.only('AWS::S3::Bucket');
const settingsOf = (stack: Synthesised): { maxAgeSeconds: number } =>
  JSON.parse(stack.fn('watchdog').Properties.Environment.Variables.SETTINGS);

describe('the bucket', () => {
  test('is closed to the public, encrypted, owned by the account, and speaks TLS only', () => {
    const { Properties } = bucketOf(byDefault);
    expect(Properties.PublicAccessBlockConfiguration).toEqual({
      BlockPublicAcls: true,
      BlockPublicPolicy: true,
      IgnorePublicAcls: true,
      RestrictPublicBuckets: true,
    });
    expect(Properties.BucketEncryption.ServerSideEncryptionConfiguration).toEqual([
      { ServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' } },
    ]);
    expect(Properties.OwnershipControls.Rules).toEqual([{ ObjectOwnership: 'BucketOwnerEnforced' }]);
    expect(byDefault.only('AWS::S3::BucketPolicy').Properties.PolicyDocument.Statement).toEqual([
      expect.objectContaining({
        Effect: 'Deny',
        Action: 's3:*',
        Principal: { AWS: '*' },
        Condition: { Bool: { 'aws:SecureTransport': 'false' } },
      }),
    ]);
  });

  test('and the table stay when the stack goes, unless told otherwise', () => {
    for (const type of ['AWS::S3::Bucket', 'AWS::DynamoDB::Table']) {
      expect(byDefault.only(type)).toMatchObject({ DeletionPolicy: 'Retain', UpdateReplacePolicy: 'Retain' });
    }
  });

  test('lets the given origins PUT parts and read their ETags, and no origin by default', () => {
    expect(bucketOf(byDefault).Properties.CorsConfiguration).toBeUndefined();
    const { Properties } = bucketOf(synthesise({ allowedOrigins: ['https://app.example.com'] }));
    expect(Properties.CorsConfiguration.CorsRules).toEqual([
      expect.objectContaining({
        AllowedOrigins: ['https://app.example.com'],
        AllowedMethods: ['PUT', 'GET', 'HEAD'],
        AllowedHeaders: ['*'],
        ExposedHeaders: ['ETag'],
      }),
    ]);
  });
});

describe('what outlives what', () => {
  test('state is always gone a day or more before S3 removes parts and chunks', () => {
    fc.assert(
      fc.property(fc.integer({ min: 900, max: 365 * DAY }), (maxAgeSeconds) => {
        const days = lifecycleDays(maxAgeSeconds);
        expect(days * DAY).toBeGreaterThanOrEqual(maxAgeSeconds + DAY);
        expect(days * DAY).toBeLessThan(maxAgeSeconds + 2 * DAY);
      }),
    );
  });

  test.each([
    { maxUploadAge: Duration.days(7), days: 8 },
    { maxUploadAge: Duration.hours(36), days: 3 },
    { maxUploadAge: Duration.days(30), days: 31 },
  ])('both lifecycle rules follow from maxUploadAge: $days days', ({ maxUploadAge, days }) => {
    const stack = synthesise({ maxUploadAge });
    expect(settingsOf(stack).maxAgeSeconds).toBe(maxUploadAge.toSeconds());
    expect(bucketOf(stack).Properties.LifecycleConfiguration.Rules).toEqual([
      expect.objectContaining({
        Status: 'Enabled',
        AbortIncompleteMultipartUpload: { DaysAfterInitiation: days },
      }),
      expect.objectContaining({ Status: 'Enabled', Prefix: 'staging/', ExpirationInDays: days }),
    ]);
  });

  test('no lifecycle rule ever deletes a completed upload', () => {
    const rules = bucketOf(byDefault).Properties.LifecycleConfiguration.Rules as Record<string, unknown>[];
    for (const rule of rules.filter(({ ExpirationInDays }) => ExpirationInDays !== undefined)) {
      expect(rule['Prefix']).toBe('staging/');
    }
  });
});

describe('the table', () => {
  test('is paid by use, removes what is past its ttl, and has the sparse index of open uploads', () => {
    const { Properties } = byDefault.only('AWS::DynamoDB::Table');
    expect(Properties.BillingMode).toBe('PAY_PER_REQUEST');
    expect(Properties.TimeToLiveSpecification).toEqual({ AttributeName: 'ttl', Enabled: true });
    expect(Properties.GlobalSecondaryIndexes).toEqual([
      {
        IndexName: 'by-next-look',
        KeySchema: [
          { AttributeName: 'watch', KeyType: 'HASH' },
          { AttributeName: 'nextLook', KeyType: 'RANGE' },
        ],
        Projection: { ProjectionType: 'KEYS_ONLY' },
      },
    ]);
  });

  test('has its index under the name that the functions ask for', () => {
    expect(WATCH_INDEX).toBe(NEXT_LOOK_INDEX);
  });
});
