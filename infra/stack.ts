import { CfnOutput, Stack, type StackProps } from 'aws-cdk-lib';
import { EventBus } from 'aws-cdk-lib/aws-events';
import { Key } from 'aws-cdk-lib/aws-kms';
import { Function } from 'aws-cdk-lib/aws-lambda';
import type { RetentionDays } from 'aws-cdk-lib/aws-logs';
import { Bucket } from 'aws-cdk-lib/aws-s3';
import { Topic } from 'aws-cdk-lib/aws-sns';
import type { Construct } from 'constructs';
import { UploadEncryption } from './encryption.ts';
import { ResumableUploads, type ResumableUploadsProps } from './resumable-uploads.ts';

/** The construct's options, with names and ARNs in place of objects: all that a file can say. */
export interface UploadsStackProps
  extends Omit<
    ResumableUploadsProps,
    | 'alarms'
    | 'authorizeUpload'
    | 'bucket'
    | 'bucketAccessLogs'
    | 'dataEventsBucket'
    | 'encryption'
    | 'eventBus'
    | 'logRetention'
    | 'table'
  > {
  /** The ARN of a function of yours that is asked about each new upload, in this account and region. */
  readonly authorizeFunctionArn?: string;
  readonly bucketName?: string;
  readonly eventBusName?: string;
  readonly bucketAccessLogsBucketName?: string;
  readonly dataEventsBucketName?: string;
  /** The ARN of a key of yours, or `new`. @default none: encrypted by S3's and DynamoDB's own keys */
  readonly kmsKey?: string;
  readonly logRetentionDays?: RetentionDays;
  readonly alarms?: boolean;
  readonly alarmTopicArn?: string;
}

/** The whole of it as a stack of its own. Nothing in it has a fixed name, so that several fit into one account. */
export class ResumableUploadsStack extends Stack {
  readonly uploads: ResumableUploads;

  constructor(scope: Construct, id: string, options: UploadsStackProps, props: StackProps = {}) {
    super(scope, id, { description: 'Resumable uploads to S3', ...props });
    this.uploads = new ResumableUploads(this, 'Uploads', this.propsOf(options));
    addOutputs(this, this.uploads);
  }

  private propsOf(options: UploadsStackProps): ResumableUploadsProps {
    const {
      authorizeFunctionArn,
      bucketName,
      eventBusName,
      bucketAccessLogsBucketName,
      dataEventsBucketName,
      kmsKey,
      logRetentionDays,
      alarms,
      alarmTopicArn,
      ...props
    } = options;
    const key = kmsKey && kmsKey !== 'new' ? Key.fromKeyArn(this, 'OwnKey', kmsKey) : undefined;
    return {
      ...props,
      ...(authorizeFunctionArn && {
        authorizeUpload: Function.fromFunctionArn(this, 'OwnAuthorizeFunction', authorizeFunctionArn),
      }),
      ...(bucketName && {
        // Taken to be under the same key: functions then may use it for the bucket too.
        bucket: Bucket.fromBucketAttributes(this, 'OwnBucket', {
          bucketName,
          ...(key && { encryptionKey: key }),
        }),
      }),
      ...(eventBusName && { eventBus: EventBus.fromEventBusName(this, 'OwnEventBus', eventBusName) }),
      ...(bucketAccessLogsBucketName && {
        bucketAccessLogs: Bucket.fromBucketName(this, 'BucketAccessLogs', bucketAccessLogsBucketName),
      }),
      ...(dataEventsBucketName && {
        dataEventsBucket: Bucket.fromBucketName(this, 'DataEvents', dataEventsBucketName),
      }),
      ...(kmsKey && { encryption: UploadEncryption.kms(key) }),
      ...(logRetentionDays && { logRetention: logRetentionDays }),
      ...((alarms || alarmTopicArn) && {
        alarms: alarmTopicArn ? { topic: Topic.fromTopicArn(this, 'AlarmTopic', alarmTopicArn) } : {},
      }),
    };
  }
}

/** What clients, consumers and operators of a stack with uploads look for. */
export function addOutputs(
  stack: Stack,
  { apiUrl, bucket, table, stateMachine, eventBus, consoleUrl }: ResumableUploads,
): void {
  const outputs = {
    ApiUrl: { value: apiUrl, description: 'Where clients upload' },
    BucketName: { value: bucket.bucketName, description: 'Where completed files appear' },
    TableName: { value: table.tableName, description: 'The state of uploads' },
    StateMachineArn: { value: stateMachine.stateMachineArn, description: 'Completes uploads' },
    EventBusName: {
      value: eventBus.eventBusName,
      description: 'Tells of completed, failed, expired uploads',
    },
    ConsoleUrl: { value: consoleUrl, description: 'Every completion, in the AWS console' },
  };
  for (const [name, output] of Object.entries(outputs)) new CfnOutput(stack, name, output);
}
