import { Duration, Lazy, Names, type RemovalPolicy } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import type * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import type { FunctionEnvironment } from '../lambdas/environment.ts';
import type { UploadSettings } from '../lambdas/upload/settings.ts';
import { bundleFunctions } from './bundle.ts';
import {
  type Feature,
  pascalCase,
  permissionsOf,
  type UploadFunctionName,
  uploadFunctions,
} from './function-map.ts';
import { statementsFor, type UploadResources, variablesFor } from './permissions.ts';

export interface UploadFunctionsProps {
  readonly resources: UploadResources;
  readonly settings: UploadSettings;
  readonly logRetention: logs.RetentionDays;
  readonly logLevel: 'DEBUG' | 'INFO' | 'WARN' | 'ERROR';
  readonly logRemoval: RemovalPolicy;
  readonly tracing: boolean;
  readonly sourceMaps: boolean;
  readonly reservedConcurrency: Partial<Record<UploadFunctionName, number>>;
  /** Takes events whose function failed for good. */
  readonly undelivered: sqs.IQueue;
}

/** All functions, each with a role and a log group of its own. */
export class UploadFunctions extends Construct {
  /** Of the uploads' own metrics; another for each construct, so that two of them never add up. */
  readonly metricNamespace: string;
  private readonly byName: ReadonlyMap<UploadFunctionName, lambda.Function>;

  constructor(scope: Construct, id: string, props: UploadFunctionsProps) {
    super(scope, id);
    this.metricNamespace = `ResumableUploads/${Names.uniqueResourceName(scope, {})}`;
    const all = uploadFunctions();
    const bundles = bundleFunctions(
      all.map(([name]) => name),
      { sourceMaps: props.sourceMaps },
    );
    const features: Feature[] = props.resources.authorizeFunction ? ['authorizeUpload'] : [];
    this.byName = new Map(
      all.map(([name, settings]) => {
        const { description, trigger, memory, timeout, alsoReads } = settings;
        const may = permissionsOf(settings, features);
        const construct = pascalCase(name);
        const role = new iam.Role(this, `${construct}Role`, {
          description: `${name}: ${description}`,
          assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
        });
        const logGroup = new logs.LogGroup(this, `${construct}Logs`, {
          retention: props.logRetention,
          removalPolicy: props.logRemoval,
        });
        logGroup.grantWrite(role);
        const reserved = props.reservedConcurrency[name];
        const bundle = bundles.get(name);
        if (!bundle) throw new Error(`No bundle of ${name}.`);
        const fn = new lambda.Function(this, construct, {
          description,
          runtime: lambda.Runtime.NODEJS_24_X,
          architecture: lambda.Architecture.ARM_64,
          handler: 'index.handler',
          code: lambda.Code.fromAsset(bundle.folder),
          memorySize: memory,
          timeout: Duration.seconds(timeout),
          role,
          logGroup,
          tracing: props.tracing ? lambda.Tracing.ACTIVE : lambda.Tracing.DISABLED,
          environment: {
            ...environmentOf(props, [...variablesFor(may), ...alsoReads]),
            POWERTOOLS_SERVICE_NAME: name,
            POWERTOOLS_METRICS_NAMESPACE: this.metricNamespace,
            POWERTOOLS_LOG_LEVEL: props.logLevel,
            ...(props.sourceMaps && { NODE_OPTIONS: '--enable-source-maps' }),
          },
          ...(reserved !== undefined && { reservedConcurrentExecutions: reserved }),
          ...('on' in trigger && { deadLetterQueue: props.undelivered }),
        });
        for (const statement of statementsFor(may, props.resources)) fn.addToRolePolicy(statement);
        return [name, fn];
      }),
    );
  }

  get(name: UploadFunctionName): lambda.Function {
    const fn = this.byName.get(name);
    if (!fn) throw new Error(`There is no function ${name}.`);
    return fn;
  }
}

function environmentOf(
  { resources, settings }: UploadFunctionsProps,
  names: readonly (keyof FunctionEnvironment)[],
): Record<string, string> {
  const values: FunctionEnvironment = {
    TABLE_NAME: resources.table.tableName,
    BUCKET_NAME: resources.bucket.bucketName,
    STATE_MACHINE_ARN: Lazy.string({ produce: () => resources.stateMachine().stateMachineArn }),
    EVENT_BUS_NAME: resources.eventBus.eventBusName,
    SETTINGS: JSON.stringify(settings),
    AUTHORIZE_FUNCTION_ARN: resources.authorizeFunction?.functionArn ?? '',
  };
  return Object.fromEntries(names.map((name) => [name, values[name]]));
}
