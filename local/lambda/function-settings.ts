import type { LocalTemplate, Resource } from '../types.ts';

/** What the template says about one function. */
export interface FunctionSettings {
  readonly resource: Resource;
  readonly name: string;
  readonly arn: string;
  /** The name that people and fault rules use, for example `receive-chunk`. */
  readonly shortName: string;
  readonly codeFolder: string;
  readonly handler: string;
  /** As in the template, without Lambda's own variables. */
  readonly environment: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly memorySizeMb: number;
  readonly role: Resource;
  readonly reservedConcurrency: number | undefined;
  /** How often a failed asynchronous invocation is tried again. */
  readonly asyncRetries: number;
  /** The queue that takes asynchronous events which failed for good. */
  readonly deadLetterArn: string | undefined;
  readonly logGroupName: string;
}

/** Reads every function of the template. Throws where one names a role that the template does not have. */
export function readFunctions(template: LocalTemplate): FunctionSettings[] {
  const roles = new Map(template.byType('AWS::IAM::Role').map((role) => [role.arn, role]));
  const invokeConfigs = template.byType('AWS::Lambda::EventInvokeConfig');
  return template.byType('AWS::Lambda::Function').map((resource) => {
    const properties = resource.properties as {
      Handler: string;
      Role: string;
      Timeout?: number;
      MemorySize?: number;
      ReservedConcurrentExecutions?: number;
      Environment?: { Variables?: Record<string, unknown> };
      DeadLetterConfig?: { TargetArn?: string };
      LoggingConfig?: { LogGroup?: string };
    };
    const name = resource.physicalId;
    const role = roles.get(properties.Role);
    if (!role) throw new Error(`${resource.logicalId}: its role ${properties.Role} is not in the template`);
    const environment = Object.fromEntries(
      Object.entries(properties.Environment?.Variables ?? {}).map(([key, value]) => [key, String(value)]),
    );
    const invokeConfig = invokeConfigs.find(({ properties }) => properties.FunctionName === name);
    return {
      resource,
      name,
      arn: resource.arn ?? '',
      shortName: environment.POWERTOOLS_SERVICE_NAME ?? resource.logicalId,
      codeFolder: template.assetPath(resource),
      handler: properties.Handler,
      environment,
      // CloudFormation's defaults.
      timeoutMs: (properties.Timeout ?? 3) * 1000,
      memorySizeMb: properties.MemorySize ?? 128,
      role,
      reservedConcurrency: properties.ReservedConcurrentExecutions,
      asyncRetries: Number(invokeConfig?.properties.MaximumRetryAttempts ?? 2),
      deadLetterArn: properties.DeadLetterConfig?.TargetArn,
      logGroupName: properties.LoggingConfig?.LogGroup ?? `/aws/lambda/${name}`,
    };
  });
}

/** The whole environment of a function's process: the template's variables and those that Lambda sets. */
export function functionEnvironment(
  settings: FunctionSettings,
  instance: {
    readonly region: string;
    readonly awsEndpointUrl: string;
    readonly logStreamName: string;
    readonly credentials: { accessKeyId: string; secretAccessKey: string; sessionToken?: string };
  },
): Record<string, string> {
  const { credentials, region } = instance;
  return {
    ...settings.environment,
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    ...(credentials.sessionToken === undefined ? {} : { AWS_SESSION_TOKEN: credentials.sessionToken }),
    AWS_REGION: region,
    AWS_DEFAULT_REGION: region,
    // The one variable that Lambda does not have: it sends the SDK to this machine.
    AWS_ENDPOINT_URL: instance.awsEndpointUrl,
    AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x',
    AWS_LAMBDA_FUNCTION_NAME: settings.name,
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(settings.memorySizeMb),
    AWS_LAMBDA_FUNCTION_VERSION: '$LATEST',
    AWS_LAMBDA_INITIALIZATION_TYPE: 'on-demand',
    AWS_LAMBDA_LOG_GROUP_NAME: settings.logGroupName,
    AWS_LAMBDA_LOG_STREAM_NAME: instance.logStreamName,
    LAMBDA_TASK_ROOT: settings.codeFolder,
    LAMBDA_RUNTIME_DIR: '/var/runtime',
    _HANDLER: settings.handler,
    LANG: 'en_US.UTF-8',
    TZ: ':UTC',
    PATH: '/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin',
  };
}
