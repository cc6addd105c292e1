import { ArnFormat, Lazy, Stack } from 'aws-cdk-lib';
import type { ITable } from 'aws-cdk-lib/aws-dynamodb';
import type { IEventBus } from 'aws-cdk-lib/aws-events';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { IBucket } from 'aws-cdk-lib/aws-s3';
import type { StateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import type { FunctionEnvironment } from '../lambdas/environment.ts';
import type { Permissions } from './function-map.ts';
import { WATCH_INDEX } from './state-table.ts';
import { STAGING_PREFIX, UPLOADS_PREFIX } from './storage.ts';

/** What functions are about. */
export interface UploadResources {
  readonly bucket: IBucket;
  readonly table: ITable;
  readonly eventBus: IEventBus;
  /** Given late: its definition names functions, which name it. */
  readonly stateMachine: () => StateMachine;
  /** The deployer's own, where there is one. */
  readonly authorizeFunction?: IFunction | undefined;
}

/** The variable by which a function learns the name of what it may act on. */
const VARIABLE_OF: Record<keyof Permissions, Exclude<keyof FunctionEnvironment, 'SETTINGS'>> = {
  table: 'TABLE_NAME',
  watchIndex: 'TABLE_NAME',
  uploads: 'BUCKET_NAME',
  staging: 'BUCKET_NAME',
  multipartUploads: 'BUCKET_NAME',
  listStaging: 'BUCKET_NAME',
  missingObjects: 'BUCKET_NAME',
  stateMachine: 'STATE_MACHINE_ARN',
  executions: 'STATE_MACHINE_ARN',
  eventBus: 'EVENT_BUS_NAME',
  authorizeFunction: 'AUTHORIZE_FUNCTION_ARN',
};

/** A function gets the names of what it may act on, and no others. */
export const variablesFor = (may: Permissions): (keyof FunctionEnvironment)[] => [
  ...new Set(subjectsOf(may).map((subject) => VARIABLE_OF[subject])),
];

export function statementsFor(may: Permissions, resources: UploadResources): PolicyStatement[] {
  const statements = subjectsOf(may).map((subject) => {
    const scope = scopeOf(subject, resources);
    return new PolicyStatement({
      actions: [...(may[subject] ?? [])],
      resources: [scope.resource],
      ...(scope.prefix && { conditions: { StringLike: { 's3:prefix': `${scope.prefix}*` } } }),
    });
  });
  return [...statements, ...keyStatementsFor(may, resources)];
}

const subjectsOf = (may: Permissions): (keyof Permissions)[] => Object.keys(may) as (keyof Permissions)[];

function scopeOf(
  subject: keyof Permissions,
  { bucket, table, eventBus, stateMachine, authorizeFunction }: UploadResources,
): { readonly resource: string; readonly prefix?: string } {
  switch (subject) {
    case 'table':
      return { resource: table.tableArn };
    case 'watchIndex':
      return { resource: `${table.tableArn}/index/${WATCH_INDEX}` };
    case 'uploads':
      return { resource: bucket.arnForObjects(`${UPLOADS_PREFIX}*`) };
    case 'staging':
      return { resource: bucket.arnForObjects(`${STAGING_PREFIX}*`) };
    case 'listStaging':
      return { resource: bucket.bucketArn, prefix: STAGING_PREFIX };
    case 'multipartUploads':
    case 'missingObjects':
      return { resource: bucket.bucketArn };
    case 'stateMachine':
      return { resource: Lazy.string({ produce: () => stateMachine().stateMachineArn }) };
    case 'executions':
      return { resource: Lazy.string({ produce: () => executionArns(stateMachine()) }) };
    case 'eventBus':
      return { resource: eventBus.eventBusArn };
    case 'authorizeFunction':
      // Without `:*`: this very function, or the alias or version that was given, and no other of it.
      return { resource: authorizeFunction?.functionArn ?? '' };
  }
}

const executionArns = (stateMachine: StateMachine): string =>
  Stack.of(stateMachine).formatArn({
    service: 'states',
    resource: 'execution',
    resourceName: `${stateMachine.stateMachineName}:*`,
    arnFormat: ArnFormat.COLON_RESOURCE_NAME,
  });

/**
 * Decrypt also to write: S3 reads the parts back when it completes a multipart upload. And to list parts, whose
 * checksums are encrypted too.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html#mpuAndPermissions
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListParts.html
 */
const NEEDS_KEY = /:(PutObject|GetObject|ListMultipartUploadParts)$/;

/** Under a customer managed key, who uses the bucket or the table must be allowed to have the key used for that. */
function keyStatementsFor(may: Permissions, { bucket, table }: UploadResources): PolicyStatement[] {
  const statements: PolicyStatement[] = [];
  const objectActions = [...(may.uploads ?? []), ...(may.staging ?? [])];
  if (bucket.encryptionKey && objectActions.some((action) => NEEDS_KEY.test(action))) {
    statements.push(viaService(bucket.encryptionKey, 's3', ['kms:Decrypt', 'kms:GenerateDataKey']));
  }
  if (table.encryptionKey && (may.table || may.watchIndex)) {
    statements.push(tableKeyStatement(table.encryptionKey));
  }
  return statements;
}

/** https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html */
export const tableKeyStatement = (key: IKey): PolicyStatement =>
  viaService(key, 'dynamodb', ['kms:Decrypt', 'kms:DescribeKey', 'kms:Encrypt', 'kms:GenerateDataKey']);

const viaService = (key: IKey, service: string, actions: string[]): PolicyStatement =>
  new PolicyStatement({
    actions,
    resources: [key.keyArn],
    conditions: {
      StringEquals: {
        'kms:ViaService': `${service}.${Stack.of(key).region}.${Stack.of(key).urlSuffix}`,
      },
    },
  });
