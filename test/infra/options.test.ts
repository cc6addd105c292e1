import { describe, expect, test } from '@jest/globals';
import { Duration, Size, Stack } from 'aws-cdk-lib';
import { Annotations, Match, Template } from 'aws-cdk-lib/assertions';
import { UserPool } from 'aws-cdk-lib/aws-cognito';
import { Table } from 'aws-cdk-lib/aws-dynamodb';
import { EventBus } from 'aws-cdk-lib/aws-events';
import { SqsQueue } from 'aws-cdk-lib/aws-events-targets';
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Bucket } from 'aws-cdk-lib/aws-s3';
import { Queue } from 'aws-cdk-lib/aws-sqs';
import { UploadAuth } from '../../infra/auth.ts';
import { InvalidOption } from '../../infra/invalid-option.ts';
import { ResumableUploads, type ResumableUploadsProps } from '../../infra/resumable-uploads.ts';
import type { UploadSettings } from '../../lambdas/upload/settings.ts';
import { synthesise, testApp, withoutPrintedWarnings, written } from './synthesised.ts';
import { WRITTEN } from './written-options.ts';

withoutPrintedWarnings();

const construct = (props: ResumableUploadsProps, id = 'Uploads'): ResumableUploads =>
  new ResumableUploads(new Stack(testApp(), 'Test'), id, props);

describe('options that cannot work are refused, with what to write instead', () => {
  const refusals: [ResumableUploadsProps, string][] = [
    [
      { partSize: Size.mebibytes(1) },
      'partSize is 1 MiB: S3 takes parts of 5 MiB to 5 GiB; give a size in that range.',
    ],
    [
      { partSize: Size.gibibytes(6) },
      'partSize is 6 GiB: S3 takes parts of 5 MiB to 5 GiB; give a size in that range.',
    ],
    [{ maxFileSize: Size.tebibytes(60) }, 'maxFileSize is 61440 GiB: S3 stores 48.8 TiB at most'],
    [{ minFileSize: Size.bytes(0) }, 'minFileSize is 0: S3 has no multipart upload of nothing'],
    [
      { minFileSize: Size.mebibytes(2), maxFileSize: Size.mebibytes(1) },
      'maxFileSize (1 MiB) is below minFileSize (2 MiB)',
    ],
    [{ urlExpiry: Duration.days(8) }, 'urlExpiry is 8 days: a presigned URL lives 1 minute to 7 days'],
    [{ urlExpiry: Duration.seconds(30) }, 'urlExpiry is 30 seconds'],
    [{ abandonAfter: Duration.minutes(5) }, 'abandonAfter is 5 minutes: the watchdog looks every 5 minutes'],
    [
      { abandonAfter: Duration.minutes(30) },
      'abandonAfter (30 minutes) is below urlExpiry (60 minutes): a part could still be on its way',
    ],
    [{ maxUploadAge: Duration.hours(2) }, 'maxUploadAge (120 minutes) is below abandonAfter (1 days)'],
    [{ maxUploadAge: Duration.days(400) }, 'maxUploadAge is 400 days'],
    [{ keepRecords: Duration.minutes(1) }, 'keepRecords is 1 minutes'],
    [{ maxUploadsPerOwner: 0 }, 'maxUploadsPerOwner is 0: all are counted in one item'],
    [{ maxUploadsPerOwner: 1001 }, 'give a whole number from 1 to 1000'],
    [
      { minFileSize: Size.mebibytes(2), maxBytesPerOwner: Size.mebibytes(1) },
      'maxBytesPerOwner (1 MiB) is below minFileSize (2 MiB)',
    ],
    [{ allowedContentTypes: ['mp4'] }, '"mp4" is not a media type: write one like "video/mp4" or "video/*".'],
    [
      { allowedExtensions: ['mp4'] },
      '"mp4" is not a file name\'s ending: write one with its dot, like ".mp4".',
    ],
    [{ allowedOrigins: ['https://app.example.com/'] }, '"https://app.example.com/" is not an origin'],
    [{ allowedOrigins: ['app.example.com'] }, 'is not an origin'],
    [{ allowedOrigins: ['https://*.example.com'] }, 'API Gateway takes no other wildcard for a host'],
    [{ throttle: { rateLimit: 0, burstLimit: 1 } }, 'would stop every request; give a rateLimit above 0'],
    [
      {
        throttle: { rateLimit: 1, burstLimit: 1, routes: { 'POST /files': { rateLimit: 1, burstLimit: 1 } } },
      },
      'there is no route "POST /files"; the routes are POST /upload, ',
    ],
    [{ reservedConcurrency: { watchdog: 0 } }, 'watchdog with 0 would never run'],
    [
      { reservedConcurrency: { watchcat: 1 } as object },
      'there is no function "watchcat"; the functions are',
    ],
  ];

  test.each(refusals)('%j', (props, sentence) => {
    const attempt = (): ResumableUploads => construct(props);
    expect(attempt).toThrow(InvalidOption);
    expect(attempt).toThrow(sentence);
  });

  test('an open API must be asked for twice', () => {
    expect(() => UploadAuth.none()).toThrow(
      'auth: "none" lets anyone on the internet upload at your cost, and see and abort the uploads of others; if that is what you want, add iUnderstandThatAnyoneCanUpload: true, otherwise choose jwt or iam.',
    );
  });

  test('a JWT issuer must be https, but on this machine, and an audience be named', () => {
    expect(() => UploadAuth.jwt({ issuer: 'http://login.example.com', audience: 'a' })).toThrow(
      'not an https URL',
    );
    expect(() => UploadAuth.jwt({ issuer: 'login.example.com', audience: 'a' })).toThrow('not an https URL');
    expect(() => UploadAuth.jwt({ issuer: 'https://login.example.com', audience: [] })).toThrow(
      'without an audience',
    );
    expect(UploadAuth.jwt({ issuer: 'http://127.0.0.1:3000/issuer', audience: 'a' }).type).toBe('jwt');
    const pool = new UserPool(new Stack(testApp(), 'Test'), 'Users');
    expect(UploadAuth.jwt({ issuer: pool.userPoolProviderUrl, audience: 'a' }).type).toBe('jwt');
  });

  test('Transfer Acceleration cannot be had of a bucket with a dot in its name', () => {
    const stack = new Stack(testApp(), 'Test');
    const bucket = Bucket.fromBucketName(stack, 'Own', 'videos.example.com');
    expect(() => new ResumableUploads(stack, 'Uploads', { bucket, transferAcceleration: true })).toThrow(
      'transferAcceleration: the bucket "videos.example.com" has a dot in its name',
    );
  });
});

describe('options reach what they are about', () => {
  test('the functions are told the limits, by default these', () => {
    const { SETTINGS } = synthesise().fn('create-upload').Properties.Environment.Variables;
    expect(JSON.parse(SETTINGS)).toEqual({
      minFileSize: 1,
      maxFileSize: 2 ** 40,
      allowedContentTypes: [],
      allowedExtensions: [],
      partSize: 16 * 2 ** 20,
      urlExpirySeconds: 3600,
      abandonAfterSeconds: 86_400,
      maxAgeSeconds: 604_800,
      keepRecordSeconds: 604_800,
      accelerate: false,
    } satisfies UploadSettings);
  });

  const all = synthesise(written(WRITTEN));

  test('and what else was decided', () => {
    expect(JSON.parse(all.fn('watchdog').Properties.Environment.Variables.SETTINGS)).toEqual({
      minFileSize: 100,
      maxFileSize: 20 * 2 ** 20,
      allowedContentTypes: ['video/*'],
      allowedExtensions: ['.mp4'],
      checkContent: true,
      maxUploadsPerOwner: 100,
      maxBytesPerOwner: 2 ** 30,
      partSize: 5 * 2 ** 20,
      urlExpirySeconds: 1800,
      abandonAfterSeconds: 7200,
      maxAgeSeconds: 172_800,
      keepRecordSeconds: 86_400,
      accelerate: true,
    } satisfies UploadSettings);
  });

  test('bucket, table and key', () => {
    const bucket = all.only('AWS::S3::Bucket');
    expect(bucket.Properties.AccelerateConfiguration).toEqual({ AccelerationStatus: 'Enabled' });
    expect(bucket.Properties.BucketEncryption.ServerSideEncryptionConfiguration[0]).toMatchObject({
      BucketKeyEnabled: true,
      ServerSideEncryptionByDefault: { SSEAlgorithm: 'aws:kms' },
    });
    expect(bucket.DeletionPolicy).toBe('Delete');
    const table = all.only('AWS::DynamoDB::Table');
    expect(table.DeletionPolicy).toBe('Delete');
    expect(table.Properties).toMatchObject({
      DeletionProtectionEnabled: true,
      PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
      SSESpecification: { SSEEnabled: true, SSEType: 'KMS' },
    });
    expect(all.only('AWS::KMS::Key')).toMatchObject({
      DeletionPolicy: 'Retain',
      Properties: { EnableKeyRotation: true },
    });
  });

  test('a key by its ARN: no other is made, and functions may use this one', () => {
    const arn = 'arn:aws:kms:us-east-1:000000000000:key/1234';
    const stack = synthesise({ kmsKey: arn });
    expect(stack.byType('AWS::KMS::Key')).toEqual([]);
    expect(
      stack.only('AWS::S3::Bucket').Properties.BucketEncryption.ServerSideEncryptionConfiguration[0],
    ).toMatchObject({ ServerSideEncryptionByDefault: { KMSMasterKeyID: arn } });
    expect(stack.only('AWS::DynamoDB::Table').Properties.SSESpecification.KMSMasterKeyId).toBe(arn);
    expect(stack.allowed(stack.fn('receive-chunk').Properties.Role)).toEqual(
      expect.arrayContaining([
        expect.stringMatching(`^kms:GenerateDataKey on ${arn} when .*s3\\.`),
        expect.stringMatching(`^kms:GenerateDataKey on ${arn} when .*dynamodb\\.`),
      ]),
    );
  });

  test('functions, logs and traces', () => {
    for (const { Properties } of all.byType('AWS::Logs::LogGroup'))
      expect(Properties.RetentionInDays).toBe(7);
    for (const { Properties } of all.byType('AWS::Lambda::Function')) {
      expect(Properties).toMatchObject({
        Runtime: 'nodejs24.x',
        Architectures: ['arm64'],
        TracingConfig: { Mode: 'Active' },
        Environment: { Variables: { POWERTOOLS_LOG_LEVEL: 'DEBUG', NODE_OPTIONS: '--enable-source-maps' } },
      });
    }
    expect(all.fn('receive-chunk').Properties.ReservedConcurrentExecutions).toBe(2);
    expect(all.fn('test-chunk').Properties.ReservedConcurrentExecutions).toBeUndefined();
    expect(all.only('AWS::StepFunctions::StateMachine').Properties).toMatchObject({
      LoggingConfiguration: { Level: 'ALL', IncludeExecutionData: false },
      TracingConfiguration: { Enabled: true },
    });
  });

  test('alarms tell the topic, each with what to do; the dashboard is there', () => {
    const alarms = all.byType('AWS::CloudWatch::Alarm');
    expect(alarms).toHaveLength(6);
    for (const { Properties } of alarms) {
      expect(Properties.AlarmActions).toEqual(['arn:aws:sns:us-east-1:000000000000:ops']);
      expect(Properties.AlarmDescription.length).toBeGreaterThan(40);
    }
    expect(all.byType('AWS::CloudWatch::Dashboard')).toHaveLength(1);
  });

  test('nothing that costs by the month is there unless asked for', () => {
    const types = Object.values(synthesise().resources).map(({ Type }) => Type);
    expect(types).not.toEqual(expect.arrayContaining([expect.stringMatching(/KMS::Key|CloudWatch/)]));
  });
});

describe('what is brought along is used as it is', () => {
  const stack = new Stack(testApp(), 'Test');
  const uploads = new ResumableUploads(stack, 'Uploads', {
    bucket: Bucket.fromBucketName(stack, 'OwnBucket', 'videos'),
    table: Table.fromTableName(stack, 'OwnTable', 'uploads'),
    eventBus: EventBus.fromEventBusName(stack, 'OwnBus', 'default'),
    transferAcceleration: true,
  });
  const template = Template.fromStack(stack);

  test('no bucket, table or bus is made, and the functions get the names of the given ones', () => {
    for (const type of ['AWS::S3::Bucket', 'AWS::DynamoDB::Table', 'AWS::Events::EventBus']) {
      template.resourceCountIs(type, 0);
    }
    template.hasResourceProperties('AWS::Lambda::Function', {
      Environment: {
        Variables: { BUCKET_NAME: 'videos', TABLE_NAME: 'uploads', EVENT_BUS_NAME: 'default' },
      },
    });
    expect(uploads.bucket.bucketName).toBe('videos');
  });

  test('a warning says what a bucket needs', () => {
    Annotations.fromStack(stack).hasWarning(
      '/Test/Uploads',
      Match.stringLikeRegexp(
        'aborts incomplete multipart uploads after 8 days or more.*Transfer Acceleration enabled',
      ),
    );
  });
});

describe('options that cost calls or resources', () => {
  test('reach the functions only where they are set', () => {
    const stack = synthesise({
      checkContent: true,
      maxUploadsPerOwner: 5,
      maxBytesPerOwner: Size.gibibytes(1),
      dataEventsBucketName: 'records',
    });
    expect(JSON.parse(stack.fn('receive-chunk').Properties.Environment.Variables.SETTINGS)).toMatchObject({
      checkContent: true,
      maxUploadsPerOwner: 5,
      maxBytesPerOwner: 2 ** 30,
    });
    expect(stack.only('AWS::CloudTrail::Trail').Properties).toMatchObject({
      S3BucketName: 'records',
      EventSelectors: [{ IncludeManagementEvents: false, DataResources: [{ Type: 'AWS::S3::Object' }] }],
    });
    expect(synthesise().byType('AWS::CloudTrail::Trail')).toEqual([]);
  });

  test('the API tells its host, for a distribution in front', () => {
    const { apiDomainName, httpApi } = construct({});
    expect(Stack.of(httpApi).resolve(apiDomainName)).toEqual({
      'Fn::Join': [
        '',
        [
          { Ref: expect.stringMatching(/HttpApi/) },
          '.execute-api.',
          { Ref: 'AWS::Region' },
          '.',
          { Ref: 'AWS::URLSuffix' },
        ],
      ],
    });
  });
});

test('a URL expiry beyond the longest session of a role is warned of', () => {
  const uploads = construct({ urlExpiry: Duration.hours(13) });
  Annotations.fromStack(Stack.of(uploads)).hasWarning(
    '/Test/Uploads',
    Match.stringLikeRegexp('12 hours at most'),
  );
});

describe('consumers', () => {
  const stack = new Stack(testApp(), 'Test');
  const uploads = new ResumableUploads(stack, 'Uploads');
  const queue = new Queue(stack, 'Queue');
  const role = new Role(stack, 'Reader', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') });
  uploads.onUploadCompleted('Done', {
    target: new SqsQueue(queue),
    eventPattern: { detail: { owner: ['ann'] } },
  });
  uploads.onUploadFailed('Failed', { target: new SqsQueue(queue) });
  uploads.onUploadExpired('Expired', {
    target: new SqsQueue(queue),
    description: 'Cleans up after the page',
  });
  uploads.grantRead(role);
  uploads.grantUpload(role);
  const template = Template.fromStack(stack);

  test.each([
    ['Upload Completed', { detail: { owner: ['ann'] } }],
    ['Upload Failed', {}],
    ['Upload Expired', {}],
  ])('get "%s" from the bus', (detailType, more) => {
    template.hasResourceProperties('AWS::Events::Rule', {
      EventBusName: { Ref: Match.stringLikeRegexp('EventBus') },
      EventPattern: { source: ['resumable-uploads'], 'detail-type': [detailType], ...more },
      Targets: [Match.objectLike({ Arn: { 'Fn::GetAtt': [Match.stringLikeRegexp('^Queue'), 'Arn'] } })],
    });
  });

  test('may read completed uploads, and nothing that is staged', () => {
    const policies = template.findResources('AWS::IAM::Policy', {
      Properties: { Roles: [{ Ref: Match.stringLikeRegexp('^Reader') }] },
    });
    const text = JSON.stringify(policies);
    expect(text).toContain('/uploads/*');
    expect(text).not.toContain('staging');
    expect(text).toContain('execute-api:Invoke');
  });

  test('get every function by its name', () => {
    expect(uploads.functions['receive-chunk'].functionArn).toBeDefined();
    expect(Object.keys(uploads.functions)).toHaveLength(13);
  });
});
