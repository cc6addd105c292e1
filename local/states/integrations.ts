/** What a Task's Resource calls, with the results and error names that Step Functions gives it. */
import { randomUUID } from 'node:crypto';
import type { AwsCall, AwsError, Caller, JsonAnswer } from '../types.ts';
import { StateError } from './errors.ts';

/** Calls an AWS API on this machine as a caller, with that caller's permissions. */
export type CallAws = (
  service: AwsCall['service'],
  operation: string,
  input: Record<string, unknown>,
  caller: Caller,
) => Promise<JsonAnswer>;

export interface TaskScope {
  readonly call: CallAws;
  readonly caller: Caller;
  readonly executionArn: string;
  readonly stateMachineArn: string;
}

export interface Integration {
  /** As in TaskScheduled, for example `dynamodb` and `updateItem`; undefined for a plain function ARN. */
  readonly scheduled: { readonly resourceType: string; readonly resource: string } | undefined;
  run(parameters: unknown, scope: TaskScope): Promise<unknown>;
}

interface Service {
  readonly api: AwsCall['service'];
  /** Before the dot of an error's name. */
  readonly prefix: string;
  /** The error's name for what the API model does not list. */
  readonly unmodelled: string;
  /** As it is written into the cause. */
  readonly title: string;
}

/** Optimised integrations go by the names of AWS SDK for Java 1. */
const optimised: Readonly<Record<string, Service>> = {
  lambda: { api: 'lambda', prefix: 'Lambda', unmodelled: 'AWSLambdaException', title: 'AWSLambda' },
  dynamodb: {
    api: 'dynamodb',
    prefix: 'DynamoDB',
    unmodelled: 'AmazonDynamoDBException',
    title: 'AmazonDynamoDBv2',
  },
  events: {
    api: 'events',
    prefix: 'EventBridge',
    unmodelled: 'AmazonEventBridgeException',
    title: 'AmazonEventBridge',
  },
};

/** AWS SDK integrations go by the names of AWS SDK for Java 2: `S3.NoSuchUploadException`, `DynamoDb.…`. */
const sdk: Readonly<Record<string, Service>> = {
  lambda: { api: 'lambda', prefix: 'Lambda', unmodelled: 'LambdaException', title: 'Lambda' },
  dynamodb: { api: 'dynamodb', prefix: 'DynamoDb', unmodelled: 'DynamoDbException', title: 'DynamoDb' },
  eventbridge: {
    api: 'events',
    prefix: 'EventBridge',
    unmodelled: 'EventBridgeException',
    title: 'EventBridge',
  },
  s3: { api: 's3', prefix: 'S3', unmodelled: 'S3Exception', title: 'S3' },
  sfn: { api: 'states', prefix: 'Sfn', unmodelled: 'SfnException', title: 'Sfn' },
};

/** Errors that the services' API models list for the operations that a workflow calls. */
const modelled: Readonly<Partial<Record<AwsCall['service'], readonly string[]>>> = {
  lambda: [
    ...['InvalidParameterValueException', 'InvalidRequestContentException', 'RequestTooLargeException'],
    ...[
      'ResourceConflictException',
      'ResourceNotFoundException',
      'ResourceNotReadyException',
      'ServiceException',
    ],
    ...['TooManyRequestsException', 'UnsupportedMediaTypeException'],
  ],
  dynamodb: [
    ...['ConditionalCheckFailedException', 'InternalServerError', 'ItemCollectionSizeLimitExceededException'],
    ...['ProvisionedThroughputExceededException', 'RequestLimitExceeded', 'ResourceNotFoundException'],
    ...['ThrottlingException', 'TransactionCanceledException', 'TransactionConflictException'],
    ...['IdempotentParameterMismatchException', 'TransactionInProgressException'],
  ],
  events: ['InternalException'],
  s3: ['NoSuchUpload', 'NoSuchKey', 'NoSuchBucket', 'BucketAlreadyExists', 'InvalidObjectState'],
  states: [
    ...[
      'ExecutionAlreadyExists',
      'ExecutionDoesNotExist',
      'ExecutionLimitExceeded',
      'InvalidArn',
      'InvalidName',
    ],
    ...['InvalidExecutionInput', 'StateMachineDoesNotExist', 'ValidationException', 'ExecutionNotRedrivable'],
  ],
};

const putItemOperations = ['getItem', 'putItem', 'updateItem', 'deleteItem'];
const pascalCase = (operation: string): string => operation.charAt(0).toUpperCase() + operation.slice(1);

/** How a Task's Resource is run. Throws an Error for a Resource that the local stack cannot run. */
export function integrationOf(resource: string, parameters?: unknown): Integration {
  if (/^arn:[^:]+:lambda:[^:]+:\d{12}:function:[A-Za-z0-9_-]+$/.test(resource))
    return plainFunction(resource);
  const [, name = ''] = /^arn:[^:]+:states:::(.+)$/.exec(resource) ?? [];
  const [service = '', operation = '', sdkOperation = ''] = name.split(':');
  const refuse = (why: string): never => {
    throw new Error(`Resource ${resource} is not supported by the local stack${why}`);
  };
  if (name.includes('.')) refuse(': jobs (.sync) and callbacks (.waitForTaskToken) are not run here');
  if (name === 'lambda:invoke') {
    const { InvocationType: type = 'RequestResponse' } = (parameters ?? {}) as { InvocationType?: unknown };
    if (type !== 'RequestResponse') refuse(` with InvocationType ${type}`);
    return invokeFunction();
  }
  if (service === 'dynamodb' && putItemOperations.includes(operation) && !sdkOperation) {
    return apiCall(optimised['dynamodb'] as Service, service, operation, javaOneCause);
  }
  if (name === 'events:putEvents') return putEvents();
  const sdkService = service === 'aws-sdk' ? sdk[operation] : undefined;
  if (sdkService && /^[a-z][A-Za-z0-9]+$/.test(sdkOperation)) {
    return apiCall(sdkService, `aws-sdk:${operation}`, sdkOperation, javaTwoCause);
  }
  return refuse('');
}

type Failure = { readonly code: string; readonly message: string; readonly status: number };
type CauseText = (service: Service, failure: Failure) => string;

const javaOneCause: CauseText = ({ title }, { code, message, status }) =>
  `${message} (Service: ${title}; Status Code: ${status}; Error Code: ${code}; Request ID: ${randomUUID()}; Proxy: null)`;
const javaTwoCause: CauseText = ({ title }, { message, status }) =>
  `${message} (Service: ${title}, Status Code: ${status}, Request ID: ${randomUUID()})`;

/** Calls an API; what it refuses becomes a StateError with Step Functions' name for it. */
async function callApi(
  service: Service,
  operation: string,
  input: Record<string, unknown>,
  scope: TaskScope,
  cause: CauseText,
): Promise<JsonAnswer> {
  let answer: JsonAnswer;
  try {
    answer = await scope.call(service.api, operation, input, scope.caller);
  } catch (error) {
    const { name, message, status } = error as AwsError;
    // Only AWS's own errors carry a status; anything else means that no answer came.
    if (typeof status !== 'number') throw new StateError(`${service.prefix}.SdkClientException`, message);
    throw toStateError(service, { code: name, message, status }, cause);
  }
  if (answer.status < 300) return answer;
  const { __type = 'Unknown', code = __type, message, Message = message } = answer.body;
  // The protocol allows `namespace#Name`.
  const name = String(code).replace(/^.*#/, '');
  throw toStateError(service, { code: name, message: String(Message ?? ''), status: answer.status }, cause);
}

function toStateError(service: Service, failure: Failure, cause: CauseText): StateError {
  const known = modelled[service.api]?.includes(failure.code);
  const name = known ? failure.code.replace(/(Exception)?$/, 'Exception') : service.unmodelled;
  return new StateError(`${service.prefix}.${name}`, cause(service, failure));
}

/** What optimised integrations add to a result. */
const responseMetadata = (status: number) => ({
  SdkHttpMetadata: { HttpStatusCode: status },
  SdkResponseMetadata: { RequestId: randomUUID() },
});

function apiCall(service: Service, resourceType: string, resource: string, cause: CauseText): Integration {
  const isSdk = resourceType.startsWith('aws-sdk:');
  return {
    scheduled: { resourceType, resource },
    async run(parameters, scope) {
      const { status, body } = await callApi(
        service,
        pascalCase(resource),
        asObject(parameters),
        scope,
        cause,
      );
      return isSdk ? body : { ...body, ...responseMetadata(status) };
    },
  };
}

/**
 * "lambda:invoke": the function's result comes as `Payload`, a JSON value.
 * https://docs.aws.amazon.com/step-functions/latest/dg/connect-lambda.html
 */
function invokeFunction(): Integration {
  return {
    scheduled: { resourceType: 'lambda', resource: 'invoke' },
    async run(parameters, scope) {
      const { Payload = {}, ...others } = asObject(parameters);
      const { status, payload } = await invoke({ ...others, Payload }, scope);
      return {
        ExecutedVersion: '$LATEST',
        Payload: payload,
        StatusCode: status,
        ...responseMetadata(status),
      };
    },
  };
}

/** A Task whose Resource is a function's ARN: the whole input is the event, the function's result is the task's. */
function plainFunction(arn: string): Integration {
  return {
    scheduled: undefined,
    async run(input, scope) {
      const { payload } = await invoke({ FunctionName: arn, Payload: input }, scope);
      return payload;
    },
  };
}

/**
 * Invokes a function. An error's name is what the payload says in `errorType`: the handler's own, or Lambda's
 * `Runtime.ExitError` for a process that died and `Sandbox.Timedout` for the function's timeout. Without one it is
 * `Lambda.Unknown`. https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
 */
async function invoke(
  input: Record<string, unknown>,
  scope: TaskScope,
): Promise<{ readonly status: number; readonly payload: unknown }> {
  const { status, body } = await callApi(
    optimised['lambda'] as Service,
    'Invoke',
    input,
    scope,
    javaOneCause,
  );
  const { FunctionError, Payload } = body;
  if (!FunctionError) return { status, payload: Payload ?? null };
  const text = JSON.stringify(Payload);
  const { errorType } = (Payload ?? {}) as { errorType?: unknown };
  if (typeof errorType === 'string' && errorType !== '') throw new StateError(errorType, text);
  const unknown =
    'The cause could not be determined because Lambda did not return an error type. Returned payload: ';
  throw new StateError('Lambda.Unknown', `${unknown}${text}`);
}

/**
 * "events:putEvents": Detail may be an object; the ARNs of the state machine and the execution are appended to
 * Resources; one failed entry fails the task.
 * https://docs.aws.amazon.com/step-functions/latest/dg/connect-eventbridge.html
 */
function putEvents(): Integration {
  const service = optimised['events'] as Service;
  return {
    scheduled: { resourceType: 'events', resource: 'putEvents' },
    async run(parameters, scope) {
      const { Entries = [], ...others } = asObject(parameters) as { Entries?: Record<string, unknown>[] };
      const entries = Entries.map(({ Detail, Resources = [], ...entry }) => ({
        ...entry,
        ...(Detail !== undefined && { Detail: typeof Detail === 'string' ? Detail : JSON.stringify(Detail) }),
        Resources: [...(Resources as string[]), scope.stateMachineArn, scope.executionArn],
      }));
      const { body } = await callApi(
        service,
        'PutEvents',
        { ...others, Entries: entries },
        scope,
        javaOneCause,
      );
      if (Number(body['FailedEntryCount'] ?? 0) > 0) {
        throw new StateError('EventBridge.FailedEntry', JSON.stringify(body));
      }
      return body;
    },
  };
}

function asObject(parameters: unknown): Record<string, unknown> {
  if (typeof parameters === 'object' && parameters !== null && !Array.isArray(parameters)) {
    return parameters as Record<string, unknown>;
  }
  throw new StateError('States.Runtime', 'The parameters of an AWS API call must be a JSON object.');
}
