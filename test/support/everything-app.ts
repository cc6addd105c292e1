/**
 * A deployer's own app, for tests: it brings along all that can be brought along, each encrypted with a key of its
 * own, and turns on what is off by default.
 *
 *     UPLOADS_APP=test/support/everything-app.ts npm start
 */
import { fileURLToPath } from 'node:url';
import { App, Duration, Stack } from 'aws-cdk-lib';
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import * as events from 'aws-cdk-lib/aws-events';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as s3 from 'aws-cdk-lib/aws-s3';
import { loadConfig } from '../../infra/config.ts';
import { ResumableUploads } from '../../infra/resumable-uploads.ts';
import { addOutputs } from '../../infra/stack.ts';

const app = new App({ analyticsReporting: false });
const { stackName, stack: options } = loadConfig({
  context: app.node.getAllContext() as Record<string, unknown>,
  env: process.env,
  directory: process.cwd(),
});
const { auth, allowedOrigins, partSize } = options;

const stack = new Stack(app, stackName);
const key = new kms.Key(stack, 'Key');
// As the warning about a bucket of one's own says.
const bucket = new s3.Bucket(stack, 'Videos', {
  encryption: s3.BucketEncryption.KMS,
  encryptionKey: key,
  bucketKeyEnabled: true,
  cors: [
    {
      allowedOrigins: ['*'],
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
const authorize = new lambda.Function(stack, 'Authorize', {
  runtime: lambda.Runtime.NODEJS_24_X,
  handler: 'index.handler',
  code: lambda.Code.fromAsset(
    fileURLToPath(new URL('../../examples/authorize-upload/authorize', import.meta.url)),
  ),
});
const uploads = new ResumableUploads(stack, 'Uploads', {
  ...(auth && { auth }),
  ...(allowedOrigins && { allowedOrigins }),
  ...(partSize && { partSize }),
  bucket: bucket as s3.IBucket,
  table: table as dynamodb.ITable,
  eventBus: new events.EventBus(stack, 'Bus') as events.IEventBus,
  authorizeUpload: authorize,
  checkContent: true,
  maxUploadsPerOwner: 1000,
  dataEventsBucket: s3.Bucket.fromBucketName(stack, 'DataEvents', 'records-of-calls'),
  workflowLogs: 'all',
  tracing: true,
});
addOutputs(stack, uploads);
app.synth();
