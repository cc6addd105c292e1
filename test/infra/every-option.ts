import { fileURLToPath } from 'node:url';
import { Duration, RemovalPolicy, Size, type Stack } from 'aws-cdk-lib';
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import * as events from 'aws-cdk-lib/aws-events';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { RetentionDays } from 'aws-cdk-lib/aws-logs';
import * as s3 from 'aws-cdk-lib/aws-s3';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { UploadAuth } from '../../infra/auth.ts';
import { UploadEncryption } from '../../infra/encryption.ts';
import type { ResumableUploadsProps } from '../../infra/resumable-uploads.ts';

/** What the construct makes unless it is brought along; options about it then change nothing. */
type Brought = 'bucket' | 'table' | 'eventBus';

/**
 * Every option of the construct but what it makes itself, each with a value that is not its default. Tests synthesise
 * and run all of them: an option that is missing here is a type error.
 */
export const everyOption = (
  stack: Stack,
  issuer = 'https://login.example.com',
): Required<Omit<ResumableUploadsProps, Brought>> => ({
  auth: UploadAuth.jwt({ issuer, audience: 'uploads', scopes: ['upload'] }),
  authorizeUpload: new lambda.Function(stack, 'Authorize', {
    runtime: lambda.Runtime.NODEJS_24_X,
    handler: 'index.handler',
    code: lambda.Code.fromAsset(
      fileURLToPath(new URL('../../examples/authorize-upload/authorize', import.meta.url)),
    ),
  }),
  allowedOrigins: ['https://app.example.com'],
  allowedContentTypes: ['video/*'],
  allowedExtensions: ['.mp4'],
  checkContent: true,
  maxUploadsPerOwner: 100,
  maxBytesPerOwner: Size.gibibytes(1),
  minFileSize: Size.bytes(100),
  maxFileSize: Size.mebibytes(20),
  partSize: Size.mebibytes(5),
  urlExpiry: Duration.minutes(30),
  abandonAfter: Duration.hours(2),
  maxUploadAge: Duration.days(2),
  keepRecords: Duration.days(1),
  transferAcceleration: true,
  encryption: UploadEncryption.kms(keyByArn(stack)),
  removalPolicy: RemovalPolicy.DESTROY,
  deletionProtection: true,
  pointInTimeRecovery: true,
  logRetention: RetentionDays.ONE_WEEK,
  logLevel: 'WARN',
  accessLogs: false,
  bucketAccessLogs: s3.Bucket.fromBucketName(stack, 'BucketAccessLogs', 'logs-of-buckets'),
  dataEventsBucket: s3.Bucket.fromBucketName(stack, 'DataEvents', 'records-of-calls'),
  workflowLogs: 'errors',
  tracing: true,
  sourceMaps: true,
  throttle: {
    rateLimit: 1000,
    burstLimit: 1000,
    routes: { 'POST /uploads': { rateLimit: 100, burstLimit: 100 } },
  },
  reservedConcurrency: { 'receive-chunk': 2, watchdog: 1 },
  alarms: { topic: Topic.fromTopicArn(stack, 'Ops', 'arn:aws:sns:us-east-1:000000000000:ops') },
  dashboard: true,
});

/** What the construct makes unless it is brought along, under a key of its own and as its documentation asks. */
export function everythingBrought(stack: Stack): Required<Pick<ResumableUploadsProps, Brought>> {
  const key = new kms.Key(stack, 'KeyOfFiles');
  const bucket = new s3.Bucket(stack, 'Videos', {
    encryption: s3.BucketEncryption.KMS,
    encryptionKey: key,
    bucketKeyEnabled: true,
    transferAcceleration: true,
    cors: [
      {
        allowedOrigins: ['https://app.example.com'],
        allowedMethods: [s3.HttpMethods.PUT],
        allowedHeaders: ['*'],
        exposedHeaders: ['ETag'],
      },
    ],
    lifecycleRules: [
      { abortIncompleteMultipartUploadAfter: Duration.days(8) },
      { prefix: 'staging/', expiration: Duration.days(8) },
    ],
  });
  const table = new dynamodb.Table(stack, 'Records', {
    partitionKey: { name: 'pk', type: dynamodb.AttributeType.STRING },
    sortKey: { name: 'sk', type: dynamodb.AttributeType.STRING },
    timeToLiveAttribute: 'ttl',
    billingMode: dynamodb.BillingMode.PAY_PER_REQUEST,
    encryption: dynamodb.TableEncryption.CUSTOMER_MANAGED,
    encryptionKey: key,
  });
  table.addGlobalSecondaryIndex({
    indexName: 'by-next-look',
    partitionKey: { name: 'watch', type: dynamodb.AttributeType.STRING },
    sortKey: { name: 'nextLook', type: dynamodb.AttributeType.NUMBER },
    projectionType: dynamodb.ProjectionType.KEYS_ONLY,
  });
  return {
    bucket: bucket as s3.IBucket,
    table: table as dynamodb.ITable,
    eventBus: new events.EventBus(stack, 'Bus') as events.IEventBus,
  };
}

/** In the same stack, since the local stack knows the policies of its own keys only; the construct sees the ARN alone. */
const keyByArn = (stack: Stack): kms.IKey =>
  kms.Key.fromKeyArn(stack, 'KeyByArn', new kms.Key(stack, 'Key').keyArn);
