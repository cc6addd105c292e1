import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { ServiceEvent } from '../../../local/events.ts';
import {
  createStates,
  type ExecutionDetail,
  type States,
  type StatesOptions,
} from '../../../local/states/engine.ts';
import { errorMatches, retryDelay } from '../../../local/states/errors.ts';
import type { HistoryEvent } from '../../../local/states/history.ts';
import type { Caller, JsonAnswer, LocalTemplate, Resource } from '../../../local/types.ts';

const machineArn = 'arn:aws:states:us-east-1:000000000000:stateMachine:complete-upload';
const executionArn = (name: string) =>
  `arn:aws:states:us-east-1:000000000000:execution:complete-upload:${name}`;
const roleArn = 'arn:aws:iam::000000000000:role/workflow';

type Call = { service: string; operation: string; input: Record<string, unknown>; caller: Caller };
type Answer = (call: Call, calls: Call[]) => JsonAnswer | Promise<JsonAnswer>;

const ok = (body: Record<string, unknown>): JsonAnswer => ({ status: 200, body });
const payload = (Payload: unknown): JsonAnswer =>
  ok({ StatusCode: 200, ExecutedVersion: '$LATEST', Payload });
const functionError = (errorType: string | undefined, errorMessage: string): JsonAnswer =>
  ok({
    StatusCode: 200,
    FunctionError: 'Unhandled',
    Payload: { errorType, errorMessage, trace: ['at here'] },
  });
const refused = (status: number, __type: string, message: string): JsonAnswer => ({
  status,
  body: { __type, message },
});

function resource(
  logicalId: string,
  type: string,
  properties: Record<string, unknown>,
  arn: string,
): Resource {
  return { logicalId, type, properties, metadata: {}, physicalId: arn, arn };
}

function templateOf(definition: unknown, properties: Record<string, unknown> = {}): LocalTemplate {
  const resources = [
    resource('WorkflowRole', 'AWS::IAM::Role', {}, roleArn),
    resource(
      'Workflow',
      'AWS::StepFunctions::StateMachine',
      {
        RoleArn: roleArn,
        DefinitionString: typeof definition === 'string' ? definition : JSON.stringify(definition),
        ...properties,
      },
      machineArn,
    ),
  ];
  return {
    stackName: 'test',
    account: '000000000000',
    region: 'us-east-1',
    resources: new Map(resources.map((one) => [one.logicalId, one])),
    outputs: new Map(),
    byType: (type) => resources.filter((one) => one.type === type),
    assetPath: () => {
      throw new Error('no assets here');
    },
  };
}

const one = (state: Record<string, unknown>) => ({
  StartAt: 'Only',
  States: { Only: { End: true, ...state } },
});
const invoke = (more: Record<string, unknown> = {}) => ({
  Type: 'Task',
  Resource: 'arn:aws:states:::lambda:invoke',
  Parameters: { FunctionName: 'work', 'Payload.$': '$' },
  ...more,
});

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function freshDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'states-'));
  cleanups.push(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

interface Bench {
  readonly states: States;
  readonly calls: Call[];
  readonly emitted: ServiceEvent[];
  readonly clock: { now(): number; advance(ms: number): void };
  readonly api: (operation: string, input?: Record<string, unknown>) => Promise<Record<string, unknown>>;
  readonly start: (name: string, input?: unknown) => Promise<void>;
  /** Starts an execution and waits for its end. */
  readonly run: (name: string, input?: unknown) => Promise<ExecutionDetail>;
  readonly close: () => Promise<void>;
}

function bench(
  definition: unknown,
  answer: Answer = () => payload(null),
  more: Partial<StatesOptions> = {},
  properties: Record<string, unknown> = {},
): Bench {
  const calls: Call[] = [];
  const emitted: ServiceEvent[] = [];
  let offset = 0;
  const clock = { now: () => Date.now() + offset, advance: (ms: number) => void (offset += ms) };
  const states = createStates({
    template: templateOf(definition, properties),
    dir: more.dir ?? freshDir(),
    clock,
    call: async (service, operation, input, caller) => {
      const call = { service, operation, input, caller };
      calls.push(call);
      return answer(call, calls);
    },
    emit: (event) => void emitted.push(event),
    retryTimeScale: 0.001,
    log: (line) => {
      throw new Error(line);
    },
    ...more,
  });
  let closed = false;
  const close = async () => {
    if (!closed) await states.close();
    closed = true;
  };
  cleanups.push(close);
  const api: Bench['api'] = async (operation, input = {}) =>
    (await states.engine(operation, input, { kind: 'root' })).body;
  const start: Bench['start'] = async (name, input = {}) => {
    await api('StartExecution', { stateMachineArn: machineArn, name, input: JSON.stringify(input) });
  };
  return {
    ...{ states, calls, emitted, clock, api, start, close },
    async run(name, input) {
      await start(name, input);
      await states.idle();
      return states.get(name) as ExecutionDetail;
    },
  };
}

const types = ({ events }: { readonly events: readonly HistoryEvent[] }) => events.map(({ type }) => type);
const ofType = (detail: ExecutionDetail, type: string) =>
  detail.events.filter((event) => event.type === type);
const output = (detail: ExecutionDetail): unknown => JSON.parse(detail.output ?? 'null');
const stateOf = (detail: ExecutionDetail, name: string) => detail.states.find((state) => state.name === name);
const until = async (condition: () => boolean) => {
  for (const deadline = Date.now() + 5000; !condition(); ) {
    if (Date.now() > deadline) throw new Error('it did not come to that within 5 s');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};

/** As the workflow that completes uploads. */
const completeUpload = {
  StartAt: 'Gather parts',
  States: {
    'Gather parts': {
      ...invoke({ Parameters: { FunctionName: 'gather-parts', 'Payload.$': '$' } }),
      ResultSelector: { 'chunks.$': '$.Payload.chunks' },
      ResultPath: '$.plan',
      TimeoutSeconds: 60,
      Next: 'Assemble parts',
    },
    'Assemble parts': {
      Type: 'Map',
      ItemsPath: '$.plan.chunks',
      ItemSelector: {
        'uploadId.$': '$.uploadId',
        'part.$': '$$.Map.Item.Value',
        'index.$': '$$.Map.Item.Index',
      },
      MaxConcurrency: 10,
      ItemProcessor: {
        ProcessorConfig: { Mode: 'INLINE' },
        StartAt: 'Assemble part',
        States: {
          'Assemble part': {
            ...invoke({ Parameters: { FunctionName: 'assemble-part', 'Payload.$': '$' } }),
            ResultPath: null,
            Retry: [{ ErrorEquals: ['Slow'], MaxAttempts: 2, JitterStrategy: 'FULL' }],
            End: true,
          },
        },
      },
      ResultPath: null,
      Next: 'Complete upload',
    },
    'Complete upload': {
      ...invoke({ Parameters: { FunctionName: 'complete-upload', 'Payload.$': '$' } }),
      ResultSelector: { 'etag.$': '$.Payload.etag' },
      ResultPath: '$.completed',
      Retry: [
        {
          ErrorEquals: ['CompletionStillRunning', 'Sandbox.Timedout'],
          IntervalSeconds: 2,
          MaxAttempts: 6,
          MaxDelaySeconds: 60,
          JitterStrategy: 'FULL',
        },
      ],
      Next: 'Mark completed',
    },
    'Mark completed': {
      Type: 'Task',
      Resource: 'arn:aws:states:::dynamodb:updateItem',
      Parameters: {
        TableName: 'uploads',
        Key: { pk: { 'S.$': '$.uploadId' }, sk: { S: 'upload' } },
        UpdateExpression: 'SET etag = :etag',
        ExpressionAttributeValues: { ':etag': { 'S.$': '$.completed.etag' } },
      },
      ResultPath: null,
      Next: 'Announce',
    },
    Announce: {
      Type: 'Task',
      Resource: 'arn:aws:states:::events:putEvents',
      Parameters: {
        Entries: [
          {
            EventBusName: 'uploads',
            Source: 'resumable-uploads',
            DetailType: 'Upload Completed',
            Detail: { 'id.$': "States.Format('{}-done', $$.Execution.Name)", 'etag.$': '$.completed.etag' },
          },
        ],
      },
      ResultPath: null,
      End: true,
    },
  },
};

const workingServices: Answer = ({ service, input }) => {
  if (service === 'dynamodb') return ok({});
  if (service === 'events') return ok({ FailedEntryCount: 0, Entries: [{ EventId: 'e1' }] });
  if (input['FunctionName'] === 'gather-parts') return payload({ chunks: ['a', 'b', 'c'] });
  return payload({ etag: '"abc-3"' });
};

describe('the workflow that completes an upload', () => {
  test('runs every state in order, with the data each one is due', async () => {
    const { run, calls } = bench(completeUpload, workingServices);
    const detail = await run('u1', { uploadId: 'u1' });
    expect(detail.status).toBe('SUCCEEDED');
    expect(output(detail)).toEqual({
      uploadId: 'u1',
      plan: { chunks: ['a', 'b', 'c'] },
      completed: { etag: '"abc-3"' },
    });
    expect(calls.map(({ operation, input }) => [operation, input['FunctionName']])).toEqual([
      ['Invoke', 'gather-parts'],
      ['Invoke', 'assemble-part'],
      ['Invoke', 'assemble-part'],
      ['Invoke', 'assemble-part'],
      ['Invoke', 'complete-upload'],
      ['UpdateItem', undefined],
      ['PutEvents', undefined],
    ]);
    expect(calls.slice(1, 4).map(({ input }) => input['Payload'])).toEqual([
      { uploadId: 'u1', part: 'a', index: 0 },
      { uploadId: 'u1', part: 'b', index: 1 },
      { uploadId: 'u1', part: 'c', index: 2 },
    ]);
    expect(calls[5]?.input).toMatchObject({
      Key: { pk: { S: 'u1' }, sk: { S: 'upload' } },
      ExpressionAttributeValues: { ':etag': { S: '"abc-3"' } },
    });
  });

  test('calls as the state machine’s role, for the execution', async () => {
    const { run, calls } = bench(completeUpload, workingServices);
    await run('u1', { uploadId: 'u1' });
    for (const { caller } of calls) {
      expect(caller).toEqual({
        kind: 'role',
        roleLogicalId: 'WorkflowRole',
        roleArn,
        executionArn: executionArn('u1'),
      });
    }
  });

  test('the event’s detail is text, and its resources are the state machine and the execution', async () => {
    const { run, calls } = bench(completeUpload, workingServices);
    await run('u1', { uploadId: 'u1' });
    expect(calls.at(-1)?.input).toEqual({
      Entries: [
        {
          EventBusName: 'uploads',
          Source: 'resumable-uploads',
          DetailType: 'Upload Completed',
          Detail: '{"id":"u1-done","etag":"\\"abc-3\\""}',
          Resources: [machineArn, executionArn('u1')],
        },
      ],
    });
  });

  test('the history is as AWS writes it', async () => {
    const { run } = bench(completeUpload, workingServices);
    const detail = await run('u1', { uploadId: 'u1' });
    const iterations = Array.from({ length: 3 }, () => 'MapIterationStarted');
    expect(types(detail).slice(0, 11)).toEqual([
      'ExecutionStarted',
      'TaskStateEntered',
      'TaskScheduled',
      'TaskStarted',
      'TaskSucceeded',
      'TaskStateExited',
      'MapStateEntered',
      'MapStateStarted',
      ...iterations,
    ]);
    expect(types(detail).slice(-7)).toEqual([
      ...['TaskStateExited', 'TaskStateEntered', 'TaskScheduled', 'TaskStarted', 'TaskSucceeded'],
      ...['TaskStateExited', 'ExecutionSucceeded'],
    ]);
    expect(detail.events.map(({ id }) => id)).toEqual(detail.events.map((_, index) => index + 1));
    expect(detail.events.slice(0, 3)).toEqual([
      {
        id: 1,
        previousEventId: 0,
        timestamp: expect.any(Number),
        type: 'ExecutionStarted',
        executionStartedEventDetails: {
          input: '{"uploadId":"u1"}',
          inputDetails: { truncated: false },
          roleArn,
        },
      },
      {
        id: 2,
        previousEventId: 0,
        timestamp: expect.any(Number),
        type: 'TaskStateEntered',
        stateEnteredEventDetails: {
          name: 'Gather parts',
          input: '{"uploadId":"u1"}',
          inputDetails: { truncated: false },
        },
      },
      {
        id: 3,
        previousEventId: 2,
        timestamp: expect.any(Number),
        type: 'TaskScheduled',
        taskScheduledEventDetails: {
          resourceType: 'lambda',
          resource: 'invoke',
          region: 'us-east-1',
          parameters: '{"FunctionName":"gather-parts","Payload":{"uploadId":"u1"}}',
          timeoutInSeconds: 60,
        },
      },
    ]);
    const mapStarted = ofType(detail, 'MapStateStarted')[0];
    expect(mapStarted).toMatchObject({ mapStateStartedEventDetails: { length: 3 } });
    for (const [index, started] of ofType(detail, 'MapIterationStarted').entries()) {
      expect(started).toMatchObject({
        previousEventId: mapStarted?.id,
        mapIterationStartedEventDetails: { name: 'Assemble parts', index },
      });
    }
  });

  test('counts a transition for the start and for each state entered', async () => {
    const { run } = bench(completeUpload, workingServices);
    // The start, five states, three iterations of one state.
    expect((await run('u1', { uploadId: 'u1' })).transitions).toBe(9);
  });

  test('tells the console about each state', async () => {
    const { run } = bench(completeUpload, workingServices);
    const detail = await run('u1', { uploadId: 'u1' });
    expect(detail.states.map(({ name, status, tries, map }) => ({ name, status, tries, map }))).toEqual([
      { name: 'Gather parts', status: 'succeeded', tries: 1 },
      { name: 'Assemble parts', status: 'succeeded', tries: 1 },
      { name: 'Assemble part', status: 'succeeded', tries: 3, map: 'Assemble parts' },
      { name: 'Complete upload', status: 'succeeded', tries: 1 },
      { name: 'Mark completed', status: 'succeeded', tries: 1 },
      { name: 'Announce', status: 'succeeded', tries: 1 },
    ]);
    expect(stateOf(detail, 'Assemble parts')?.iterations).toEqual({
      ...{ total: 3, running: 0, succeeded: 3, failed: 0, aborted: 0 },
    });
    expect(detail.graph).toEqual({
      startAt: 'Gather parts',
      transitions: [
        { from: 'Gather parts', to: 'Assemble parts' },
        { from: 'Assemble parts', to: 'Complete upload' },
        { from: 'Complete upload', to: 'Mark completed' },
        { from: 'Mark completed', to: 'Announce' },
      ],
    });
  });

  test('tells the default bus when it starts and when it is over', async () => {
    const { run, emitted } = bench(completeUpload, workingServices);
    const { startDate, stopDate } = await run('u1', { uploadId: 'u1' });
    expect(emitted.map(({ detail }) => detail['status'])).toEqual(['RUNNING', 'SUCCEEDED']);
    expect(emitted[1]).toMatchObject({
      source: 'aws.states',
      detailType: 'Step Functions Execution Status Change',
      resources: [executionArn('u1')],
      detail: {
        ...{ executionArn: executionArn('u1'), stateMachineArn: machineArn, name: 'u1', startDate, stopDate },
        input: '{"uploadId":"u1"}',
        inputDetails: { included: true },
        outputDetails: { included: true },
        error: null,
        cause: null,
        redriveStatus: 'NOT_REDRIVABLE',
      },
    });
  });
});

describe('errors of tasks', () => {
  const failing = (answer: JsonAnswer | Answer) => {
    const { run } = bench(one(invoke()), typeof answer === 'function' ? answer : () => answer);
    return run('x');
  };

  test('a handler’s error goes by its class, its payload is the cause', async () => {
    const detail = await failing(functionError('PartsMissing', 'two are missing'));
    expect(detail).toMatchObject({ status: 'FAILED', error: 'PartsMissing' });
    expect(JSON.parse(detail.cause ?? '')).toEqual({
      errorType: 'PartsMissing',
      errorMessage: 'two are missing',
      trace: ['at here'],
    });
    expect(types(detail)).toEqual([
      ...[
        'ExecutionStarted',
        'TaskStateEntered',
        'TaskScheduled',
        'TaskStarted',
        'TaskFailed',
        'ExecutionFailed',
      ],
    ]);
    expect(detail.events.at(-1)).toMatchObject({
      previousEventId: 5,
      executionFailedEventDetails: { error: 'PartsMissing', cause: detail.cause },
    });
  });

  test.each(['Runtime.ExitError', 'Sandbox.Timedout'])(
    'a function that dies fails with Lambda’s %s',
    async (name) => {
      expect((await failing(functionError(name, 'died'))).error).toBe(name);
    },
  );

  test('a function error without a type is Lambda.Unknown', async () => {
    const detail = await failing(functionError(undefined, 'who knows'));
    expect(detail.error).toBe('Lambda.Unknown');
    expect(detail.cause).toContain('did not return an error type');
  });

  test.each([
    [refused(404, 'ResourceNotFoundException', 'no such function'), 'Lambda.ResourceNotFoundException'],
    [refused(429, 'TooManyRequestsException', 'Rate exceeded'), 'Lambda.TooManyRequestsException'],
    [refused(403, 'AccessDeniedException', 'not authorized'), 'Lambda.AWSLambdaException'],
    [refused(500, 'com.amazonaws.lambda#ServiceException', 'oops'), 'Lambda.ServiceException'],
  ])('an answer of Lambda’s own becomes its exception: %#', async (answer, error) => {
    expect((await failing(answer)).error).toBe(error);
  });

  test('no answer at all is an SdkClientException', async () => {
    const detail = await failing(() => Promise.reject(new Error('socket hang up')));
    expect(detail).toMatchObject({ error: 'Lambda.SdkClientException', cause: 'socket hang up' });
  });

  const condition = refused(400, 'ConditionalCheckFailedException', 'The conditional request failed');
  test.each([
    ['dynamodb:updateItem', condition, 'DynamoDB.ConditionalCheckFailedException'],
    ['dynamodb:putItem', refused(400, 'ValidationException', 'bad'), 'DynamoDB.AmazonDynamoDBException'],
    [
      'dynamodb:getItem',
      refused(400, 'RequestLimitExceeded', 'slow'),
      'DynamoDB.RequestLimitExceededException',
    ],
    ['aws-sdk:dynamodb:updateItem', condition, 'DynamoDb.ConditionalCheckFailedException'],
    ['aws-sdk:dynamodb:query', refused(400, 'ValidationException', 'bad'), 'DynamoDb.DynamoDbException'],
    ['aws-sdk:s3:headObject', refused(404, 'NoSuchUpload', 'gone'), 'S3.NoSuchUploadException'],
    ['aws-sdk:s3:headObject', refused(400, 'EntityTooSmall', 'small'), 'S3.S3Exception'],
    [
      'events:putEvents',
      refused(400, 'ValidationException', 'bad'),
      'EventBridge.AmazonEventBridgeException',
    ],
  ])('%s names errors as Step Functions does: %#', async (resourceName, answer, error) => {
    const task = { Type: 'Task', Resource: `arn:aws:states:::${resourceName}`, Parameters: {} };
    const { run } = bench(one(task), () => answer);
    expect((await run('x')).error).toBe(error);
  });

  test('one failed entry fails putEvents', async () => {
    const body = {
      FailedEntryCount: 1,
      Entries: [{ ErrorCode: 'MalformedDetail', ErrorMessage: 'Detail is malformed.' }],
    };
    const task = { Type: 'Task', Resource: 'arn:aws:states:::events:putEvents', Parameters: { Entries: [] } };
    const detail = await bench(one(task), () => ok(body)).run('x');
    expect(detail.error).toBe('EventBridge.FailedEntry');
    expect(JSON.parse(detail.cause ?? '')).toEqual(body);
  });

  test('a task over its TimeoutSeconds fails with States.Timeout and no cause', async () => {
    const { run } = bench(one(invoke({ TimeoutSeconds: 1 })), () => new Promise(() => {}));
    const detail = await run('x');
    expect(detail).toMatchObject({ status: 'FAILED', error: 'States.Timeout' });
    expect(detail.cause).toBeUndefined();
    expect(ofType(detail, 'TaskTimedOut')).toMatchObject([
      { taskTimedOutEventDetails: { resourceType: 'lambda', resource: 'invoke', error: 'States.Timeout' } },
    ]);
  });

  test('a path that leads nowhere is States.Runtime', async () => {
    const detail = await bench(one(invoke({ InputPath: '$.nowhere' }))).run('x');
    expect(detail).toMatchObject({ status: 'FAILED', error: 'States.Runtime' });
  });
});

describe('Retry', () => {
  const failTimes = (times: number, error: string): Answer => {
    return (_, calls) => (calls.length <= times ? functionError(error, 'again') : payload('done'));
  };
  const retry = (...retriers: object[]) => one(invoke({ Retry: retriers, OutputPath: '$.Payload' }));

  test('tries again after an error that it names, and each retry is a transition', async () => {
    const detail = await bench(retry({ ErrorEquals: ['Slow'] }), failTimes(2, 'Slow')).run('x');
    expect(output(detail)).toBe('done');
    expect(detail.transitions).toBe(4);
    expect(types(detail)).toEqual([
      ...['ExecutionStarted', 'TaskStateEntered'],
      ...['TaskScheduled', 'TaskStarted', 'TaskFailed', 'TaskScheduled', 'TaskStarted', 'TaskFailed'],
      ...['TaskScheduled', 'TaskStarted', 'TaskSucceeded', 'TaskStateExited', 'ExecutionSucceeded'],
    ]);
    expect(stateOf(detail, 'Only')).toMatchObject({ status: 'succeeded', tries: 3, error: 'Slow' });
  });

  test('three retries are the default', async () => {
    const machine = bench(retry({ ErrorEquals: ['Slow'] }), failTimes(4, 'Slow'));
    expect((await machine.run('x')).status).toBe('FAILED');
    expect(machine.calls).toHaveLength(4);
  });

  test('does not try again after another error', async () => {
    const machine = bench(retry({ ErrorEquals: ['Slow'] }), failTimes(1, 'Broken'));
    expect((await machine.run('x')).error).toBe('Broken');
    expect(machine.calls).toHaveLength(1);
  });

  test('each retrier counts for itself', async () => {
    const errors = ['Slow', 'Busy', 'Slow', 'Busy'];
    const machine = bench(
      retry({ ErrorEquals: ['Slow'], MaxAttempts: 1 }, { ErrorEquals: ['Busy'], MaxAttempts: 5 }),
      (_, calls) => functionError(errors[calls.length - 1] ?? 'Busy', 'again'),
    );
    expect((await machine.run('x')).error).toBe('Slow');
    expect(machine.calls).toHaveLength(3);
  });

  test('a retried task knows how often it was retried', async () => {
    const task = invoke({
      Parameters: { FunctionName: 'work', Payload: { 'retries.$': '$$.State.RetryCount' } },
    });
    const { run, calls } = bench(one({ ...task, Retry: [{ ErrorEquals: ['Slow'] }] }), failTimes(2, 'Slow'));
    await run('x');
    expect(calls.map(({ input }) => input['Payload'])).toEqual([
      { retries: 0 },
      { retries: 1 },
      { retries: 2 },
    ]);
  });

  test('a retry waits by the stack’s clock', async () => {
    const hour = { ErrorEquals: ['Slow'], IntervalSeconds: 3600 };
    const machine = bench(retry(hour), failTimes(1, 'Slow'), { retryTimeScale: 1 });
    await machine.start('x');
    await until(() => stateOf(machine.states.get('x') as ExecutionDetail, 'Only')?.status === 'failed');
    machine.clock.advance(3_601_000);
    await machine.states.idle();
    expect(machine.states.get('x')?.status).toBe('SUCCEEDED');
  });

  test('delays grow by the rate up to the limit, and jitter takes a part of them', () => {
    const retrier = { ErrorEquals: ['Slow'], IntervalSeconds: 2, BackoffRate: 3, MaxDelaySeconds: 10 };
    expect([0, 1, 2].map((retried) => retryDelay(retrier, retried, 0.5))).toEqual([2000, 6000, 10_000]);
    expect(retryDelay({ ...retrier, JitterStrategy: 'FULL' }, 1, 0.5)).toBe(3000);
    expect(retryDelay({ ErrorEquals: ['Slow'] }, 2, 0.5)).toBe(4000);
  });

  test.each([
    [['States.ALL'], 'Anything', true],
    [['States.ALL'], 'States.DataLimitExceeded', false],
    [['States.DataLimitExceeded'], 'States.DataLimitExceeded', true],
    [['States.ALL', 'States.Runtime'], 'States.Runtime', false],
    [['States.TaskFailed'], 'Anything', true],
    [['States.TaskFailed'], 'States.Timeout', false],
    [['Some', 'Other'], 'Other', true],
  ])('%j matches %s: %s', (errorEquals, error, matches) => {
    expect(errorMatches(errorEquals, error, 'Task')).toBe(matches);
  });
});

describe('data between states', () => {
  test('a result over 256 KiB is States.DataLimitExceeded, which States.ALL does not catch', async () => {
    const definition = one(invoke({ Retry: [{ ErrorEquals: ['States.ALL'] }] }));
    const machine = bench(definition, () => payload('x'.repeat(262_144)));
    const detail = await machine.run('x');
    expect(detail.error).toBe('States.DataLimitExceeded');
    expect(detail.cause).toBe(
      "The state/task 'Only' returned a result with a size exceeding the maximum number of bytes service limit.",
    );
    expect(machine.calls).toHaveLength(1);
  });

  test('a state’s output counts as a whole', async () => {
    const state = { ...invoke(), ResultSelector: { 'text.$': '$.Payload' }, ResultPath: '$.more' };
    const { run } = bench(one(state), () => payload('y'.repeat(150_000)));
    expect((await run('small', { text: 'x'.repeat(100_000) })).status).toBe('SUCCEEDED');
    expect((await run('large', { text: 'x'.repeat(130_000) })).error).toBe('States.DataLimitExceeded');
  });

  test('false, 0, null and "" pass as they are', async () => {
    const values = { no: false, zero: 0, nothing: null, empty: '' };
    const pass = {
      Type: 'Pass',
      Parameters: { 'no.$': '$.no', 'zero.$': '$.zero', 'nothing.$': '$.nothing', 'empty.$': '$.empty' },
    };
    expect(output(await bench(one(pass)).run('x', values))).toEqual(values);
    expect(output(await bench(one({ Type: 'Pass', Result: false })).run('x'))).toBe(false);
  });

  test('"$" as InputPath, ResultPath and OutputPath is the whole', async () => {
    const whole = { Type: 'Pass', InputPath: '$', Result: { a: 1 }, ResultPath: '$', OutputPath: '$' };
    expect(output(await bench(one(whole)).run('x', { b: 2 }))).toEqual({ a: 1 });
  });

  test('null as ResultPath gives the input on', async () => {
    const machine = bench(one(invoke({ ResultPath: null })), () => payload('ignored'));
    expect(output(await machine.run('x', { kept: true }))).toEqual({ kept: true });
  });

  test('the context object tells about the execution, the state and the machine', async () => {
    const fields = {
      'id.$': '$$.Execution.Id',
      'name.$': '$$.Execution.Name',
      'input.$': '$$.Execution.Input',
      'started.$': '$$.Execution.StartTime',
      'role.$': '$$.Execution.RoleArn',
      'redrives.$': '$$.Execution.RedriveCount',
      'state.$': '$$.State.Name',
      'entered.$': '$$.State.EnteredTime',
      'machine.$': '$$.StateMachine.Id',
      'text.$': "States.Format('{}/{}', $$.StateMachine.Name, $$.Execution.Input.first)",
    };
    const definition = {
      StartAt: 'First',
      States: {
        First: { Type: 'Pass', Result: { second: true }, Next: 'Second' },
        Second: { Type: 'Pass', Parameters: fields, End: true },
      },
    };
    const detail = await bench(definition).run('x', { first: 1 });
    expect(output(detail)).toEqual({
      id: executionArn('x'),
      name: 'x',
      input: { first: 1 },
      started: new Date(detail.startDate).toISOString(),
      role: roleArn,
      redrives: 0,
      state: 'Second',
      entered: expect.stringMatching(/^\d{4}-.*Z$/),
      machine: machineArn,
      text: 'complete-upload/1',
    });
  });

  test('a plain function ARN gets the whole input and gives the whole result', async () => {
    const Resource = 'arn:aws:lambda:us-east-1:000000000000:function:work';
    const machine = bench(one({ Type: 'Task', Resource }), () => payload({ result: 1 }));
    const detail = await machine.run('x', { a: 1 });
    expect(machine.calls[0]?.input).toEqual({ FunctionName: Resource, Payload: { a: 1 } });
    expect(output(detail)).toEqual({ result: 1 });
    expect(types(detail).slice(2, 5)).toEqual([
      ...['LambdaFunctionScheduled', 'LambdaFunctionStarted', 'LambdaFunctionSucceeded'],
    ]);
  });
});

describe('other states', () => {
  const choice = {
    StartAt: 'How big',
    States: {
      'How big': {
        Type: 'Choice',
        Choices: [
          { Variable: '$.size', NumericGreaterThan: 10, Next: 'Big' },
          {
            And: [
              { Variable: '$.size', NumericEquals: 10 },
              { Variable: '$.odd', IsPresent: true },
            ],
            Next: 'Odd',
          },
        ],
        Default: 'Small',
      },
      Big: { Type: 'Pass', Result: 'big', End: true },
      Odd: { Type: 'Fail', Error: 'Odd', Cause: 'ten is odd' },
      Small: { Type: 'Succeed' },
    },
  };

  test('Choice leads on by its rules, with the data unchanged', async () => {
    const { run } = bench(choice);
    expect(output(await run('a', { size: 11 }))).toBe('big');
    const small = await run('b', { size: 1 });
    expect(output(small)).toEqual({ size: 1 });
    expect(types(small)).toEqual([
      ...['ExecutionStarted', 'ChoiceStateEntered', 'ChoiceStateExited'],
      ...['SucceedStateEntered', 'SucceedStateExited', 'ExecutionSucceeded'],
    ]);
  });

  test('Fail ends the execution with its error and cause', async () => {
    const detail = await bench(choice).run('x', { size: 10, odd: true });
    expect(detail).toMatchObject({ status: 'FAILED', error: 'Odd', cause: 'ten is odd' });
    expect(stateOf(detail, 'Odd')?.status).toBe('failed');
    expect(stateOf(detail, 'Big')?.status).toBe('waiting');
  });

  test('a Choice without a rule that holds fails', async () => {
    const { Default: _, ...how } = choice.States['How big'];
    const definition = {
      StartAt: 'How big',
      States: { 'How big': how, Big: choice.States.Big, Odd: choice.States.Odd },
    };
    expect((await bench(definition).run('x', { size: 1 })).error).toBe('States.NoChoiceMatched');
  });

  test('Wait ends when the stack’s clock says so', async () => {
    const { start, states, clock } = bench(one({ Type: 'Wait', Seconds: 3600 }));
    await start('x', { a: 1 });
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(states.get('x')?.status).toBe('RUNNING');
    clock.advance(3_600_000);
    await states.idle();
    expect(states.get('x')).toMatchObject({ status: 'SUCCEEDED', output: '{"a":1}' });
  });

  test('Catch leads on with the error beside the input', async () => {
    const definition = {
      StartAt: 'Try',
      States: {
        Try: invoke({ Catch: [{ ErrorEquals: ['Bad'], ResultPath: '$.failure', Next: 'Told' }], End: true }),
        Told: { Type: 'Pass', End: true },
      },
    };
    const detail = await bench(definition, () => functionError('Bad', 'no')).run('x', { a: 1 });
    expect(detail.status).toBe('SUCCEEDED');
    expect(output(detail)).toMatchObject({
      a: 1,
      failure: { Error: 'Bad', Cause: expect.stringContaining('"no"') },
    });
    expect(stateOf(detail, 'Try')?.status).toBe('caught');
    expect(detail.graph.transitions).toEqual([{ from: 'Try', to: 'Told', label: 'Bad' }]);
  });

  test('an execution over the machine’s TimeoutSeconds is TIMED_OUT', async () => {
    const { start, states, clock, emitted } = bench(
      { ...one({ Type: 'Wait', Seconds: 7200 }), TimeoutSeconds: 3600 },
      undefined,
    );
    await start('x');
    clock.advance(3_600_000);
    await states.idle();
    const detail = states.get('x') as ExecutionDetail;
    expect(detail.status).toBe('TIMED_OUT');
    expect(detail.events.at(-1)).toMatchObject({
      type: 'ExecutionTimedOut',
      previousEventId: 0,
      executionTimedOutEventDetails: { error: 'States.Timeout' },
    });
    expect(emitted.at(-1)?.detail['status']).toBe('TIMED_OUT');
  });

  test('event 25,000 is the execution’s failure', async () => {
    const spin = {
      StartAt: 'Spin',
      States: {
        Spin: {
          Type: 'Choice',
          Choices: [{ Variable: '$.stop', IsPresent: true, Next: 'Out' }],
          Default: 'Spin',
        },
        Out: { Type: 'Succeed' },
      },
    };
    const detail = await bench(spin).run('x');
    expect(detail.events).toHaveLength(25_000);
    expect(detail.events.at(-1)).toMatchObject({
      id: 25_000,
      previousEventId: 24_999,
      type: 'ExecutionFailed',
      executionFailedEventDetails: {
        error: 'States.Runtime',
        cause: 'The execution reached the maximum number of history events (25000).',
      },
    });
    expect(detail.redrivable).toBe(false);
  }, 30_000);
});

describe('Map', () => {
  const map = (more: Record<string, unknown> = {}, task: Record<string, unknown> = {}) =>
    one({
      Type: 'Map',
      ItemProcessor: {
        StartAt: 'Each',
        States: { Each: { ...invoke(task), OutputPath: '$.Payload', End: true } },
      },
      ...more,
    });

  test('gives the outputs in the items’ order, however long each takes', async () => {
    const { run } = bench(map({ MaxConcurrency: 3 }), async ({ input }) => {
      await new Promise((resolve) => setTimeout(resolve, 10 - Number(input['Payload'])));
      return payload(Number(input['Payload']) * 2);
    });
    expect(output(await run('x', [1, 5, 9, 2]))).toEqual([2, 10, 18, 4]);
  });

  test.each([
    [2, 2],
    [0, 40],
  ])('MaxConcurrency %d runs %d at once', async (MaxConcurrency, expected) => {
    let now = 0;
    let most = 0;
    const { run } = bench(map({ MaxConcurrency }), async () => {
      most = Math.max(most, ++now);
      await new Promise((resolve) => setTimeout(resolve, 2));
      now -= 1;
      return payload(null);
    });
    await run(
      'x',
      Array.from({ length: 60 }, (_, index) => index),
    );
    expect(most).toBe(expected);
  });

  test('no items are no iterations', async () => {
    const detail = await bench(map()).run('x', []);
    expect(output(detail)).toEqual([]);
    expect(types(detail)).toEqual([
      ...['ExecutionStarted', 'MapStateEntered', 'MapStateStarted', 'MapStateSucceeded', 'MapStateExited'],
      'ExecutionSucceeded',
    ]);
  });

  test('items that are no array are States.Runtime', async () => {
    expect((await bench(map({ ItemsPath: '$.items' })).run('x', { items: 'abc' })).error).toBe(
      'States.Runtime',
    );
  });

  test('states inside know their item', async () => {
    const Parameters = {
      FunctionName: 'work',
      Payload: { 'index.$': '$$.Map.Item.Index', 'item.$': '$$.Map.Item.Value' },
    };
    const { run, calls } = bench(map({}, { Parameters }));
    await run('x', ['a', 'b']);
    expect(calls.map(({ input }) => input['Payload'])).toEqual([
      { index: 0, item: 'a' },
      { index: 1, item: 'b' },
    ]);
  });

  test('one failed iteration fails the Map, ends the others and starts no more', async () => {
    const machine = bench(map({ MaxConcurrency: 2 }), ({ input }) =>
      input['Payload'] === 1 ? functionError('Bad', 'part 1') : new Promise(() => {}),
    );
    const detail = await machine.run('x', [0, 1, 2, 3]);
    expect(detail).toMatchObject({ status: 'FAILED', error: 'Bad' });
    expect(machine.calls).toHaveLength(2);
    expect(types(detail).slice(-5).toSorted()).toEqual([
      ...[
        'ExecutionFailed',
        'MapIterationAborted',
        'MapIterationFailed',
        'MapStateFailed',
        'TaskStateAborted',
      ],
    ]);
    expect(stateOf(detail, 'Only')).toMatchObject({
      status: 'failed',
      iterations: { total: 4, running: 0, succeeded: 0, failed: 1, aborted: 1 },
    });
  });

  test('a Map that is retried runs all its iterations again', async () => {
    let failures = 1;
    const machine = bench(map({ MaxConcurrency: 1, Retry: [{ ErrorEquals: ['Bad'] }] }), ({ input }) =>
      input['Payload'] === 1 && failures-- > 0 ? functionError('Bad', 'once') : payload(input['Payload']),
    );
    expect(output(await machine.run('x', [0, 1]))).toEqual([0, 1]);
    expect(machine.calls.map(({ input }) => input['Payload'])).toEqual([0, 1, 0, 1]);
  });

  test('an iteration retries by its own states’ Retry', async () => {
    let failures = 2;
    const machine = bench(map({}, { Retry: [{ ErrorEquals: ['Bad'] }] }), () =>
      failures-- > 0 ? functionError('Bad', 'twice') : payload('ok'),
    );
    const detail = await machine.run('x', [0, 1]);
    expect(output(detail)).toEqual(['ok', 'ok']);
    expect(stateOf(detail, 'Each')?.tries).toBe(4);
  });
});

describe('StartExecution', () => {
  const waiting = one({ Type: 'Wait', Seconds: 3600 });
  const start = (name: string, input = '{}') => ({ stateMachineArn: machineArn, name, input });

  test('answers the ARN and the date in seconds', async () => {
    const { api } = bench(waiting);
    const answer = await api('StartExecution', start('x'));
    expect(answer).toEqual({ executionArn: executionArn('x'), startDate: expect.any(Number) });
    expect(Math.abs(Number(answer['startDate']) - Date.now() / 1000)).toBeLessThan(5);
  });

  test('the same name and input again, while it runs, is the same execution', async () => {
    const { api, emitted } = bench(waiting);
    const first = await api('StartExecution', start('x', '{"a":1}'));
    expect(await api('StartExecution', start('x', '{"a":1}'))).toEqual(first);
    expect(emitted).toHaveLength(1);
  });

  test('the same name with another input, if only by a space, is refused', async () => {
    const { api } = bench(waiting);
    await api('StartExecution', start('x', '{"a":1}'));
    await expect(api('StartExecution', start('x', '{"a": 1}'))).rejects.toMatchObject({
      name: 'ExecutionAlreadyExists',
      message: `Execution Already Exists: '${executionArn('x')}'`,
    });
  });

  test('a name is blocked for 90 days after its execution closed', async () => {
    const { run, api, clock, states } = bench(one({ Type: 'Pass' }));
    await run('x');
    clock.advance(89 * 86_400_000);
    await expect(api('StartExecution', start('x'))).rejects.toMatchObject({ name: 'ExecutionAlreadyExists' });
    clock.advance(2 * 86_400_000);
    await api('StartExecution', start('x'));
    await states.idle();
    expect(states.list().executions).toHaveLength(1);
    expect(states.get('x')?.events).toHaveLength(4);
  });

  test.each(['', 'a b', 'a/b', 'a:b', 'a#b', 'a{b', 'ü\u0085', 'x'.repeat(81)])(
    'refuses the name %j',
    async (name) => {
      await expect(bench(waiting).api('StartExecution', start(name))).rejects.toMatchObject({
        name: 'InvalidName',
      });
    },
  );

  test.each(['x'.repeat(80), 'A-z_0.9!', '0f3a-01k3abcdefghij-1'])('takes the name %j', async (name) => {
    await expect(bench(waiting).api('StartExecution', start(name))).resolves.toHaveProperty('executionArn');
  });

  test('refuses input that is not JSON, or over 256 KiB', async () => {
    const { api } = bench(waiting);
    await expect(api('StartExecution', start('x', '{a'))).rejects.toMatchObject({
      name: 'InvalidExecutionInput',
    });
    const large = JSON.stringify('x'.repeat(262_143));
    await expect(api('StartExecution', start('x', large))).rejects.toMatchObject({
      name: 'ValidationException',
    });
  });

  test('refuses a machine that is not there', async () => {
    const { api } = bench(waiting);
    const other = `${machineArn}-2`;
    await expect(api('StartExecution', { stateMachineArn: other })).rejects.toMatchObject({
      name: 'StateMachineDoesNotExist',
    });
    await expect(api('StartExecution', { stateMachineArn: 'x' })).rejects.toMatchObject({
      name: 'InvalidArn',
    });
  });
});

describe('the API about executions', () => {
  test('DescribeExecution tells all, dates in seconds', async () => {
    const { run, api } = bench(one(invoke()), () => functionError('Bad', 'no'));
    const { startDate, stopDate, cause } = await run('x', { a: 1 });
    expect(await api('DescribeExecution', { executionArn: executionArn('x') })).toEqual({
      executionArn: executionArn('x'),
      stateMachineArn: machineArn,
      name: 'x',
      status: 'FAILED',
      startDate: startDate / 1000,
      stopDate: (stopDate ?? 0) / 1000,
      input: '{"a":1}',
      inputDetails: { included: true },
      error: 'Bad',
      cause,
      redriveCount: 0,
      redriveStatus: 'REDRIVABLE',
    });
    await expect(api('DescribeExecution', { executionArn: executionArn('y') })).rejects.toMatchObject({
      name: 'ExecutionDoesNotExist',
    });
  });

  test('ListExecutions gives the newest first, by status, in pages', async () => {
    const { run, api } = bench(one(invoke()), ({ input }) =>
      input['Payload'] === 'bad' ? functionError('Bad', 'no') : payload(null),
    );
    for (const name of ['a', 'b', 'c']) await run(name, name === 'b' ? 'bad' : 'good');
    const names = (answer: Record<string, unknown>) =>
      (answer['executions'] as { name: string }[]).map(({ name }) => name);
    const list = (more: object) => api('ListExecutions', { stateMachineArn: machineArn, ...more });
    expect(names(await list({}))).toEqual(['c', 'b', 'a']);
    expect(names(await list({ statusFilter: 'FAILED' }))).toEqual(['b']);
    const page = await list({ maxResults: 2 });
    expect(names(page)).toEqual(['c', 'b']);
    const rest = await list({ maxResults: 2, nextToken: page['nextToken'] });
    expect(names(rest)).toEqual(['a']);
    expect(rest).not.toHaveProperty('nextToken');
    await expect(list({ nextToken: '%' })).rejects.toMatchObject({ name: 'InvalidToken' });
  });

  test('GetExecutionHistory goes forward, backward, in pages and without data', async () => {
    const { run, api } = bench(one({ Type: 'Pass' }));
    await run('x', { a: 1 });
    const history = (more: object) =>
      api('GetExecutionHistory', { executionArn: executionArn('x'), ...more });
    const ids = (answer: Record<string, unknown>) => (answer['events'] as HistoryEvent[]).map(({ id }) => id);
    expect(ids(await history({}))).toEqual([1, 2, 3, 4]);
    expect(ids(await history({ reverseOrder: true }))).toEqual([4, 3, 2, 1]);
    const page = await history({ maxResults: 3 });
    expect(ids(await history({ maxResults: 3, nextToken: page['nextToken'] }))).toEqual([4]);
    const backward = await history({ maxResults: 3, reverseOrder: true });
    expect(ids(await history({ reverseOrder: true, nextToken: backward['nextToken'] }))).toEqual([1]);
    const [first] = (await history({ includeExecutionData: false }))['events'] as HistoryEvent[];
    expect(first).toMatchObject({ executionStartedEventDetails: { roleArn } });
    expect(JSON.stringify(first)).not.toContain('"input"');
  });

  test('StopExecution aborts what runs, with error and cause', async () => {
    const { start, api, states, emitted } = bench(one(invoke()), () => new Promise(() => {}));
    await start('x');
    const answer = await api('StopExecution', {
      executionArn: executionArn('x'),
      error: 'Enough',
      cause: 'by hand',
    });
    const detail = states.get('x') as ExecutionDetail;
    expect(detail).toMatchObject({ status: 'ABORTED', error: 'Enough', cause: 'by hand' });
    expect(answer).toEqual({ stopDate: (detail.stopDate ?? 0) / 1000 });
    expect(detail.events.at(-1)).toMatchObject({
      type: 'ExecutionAborted',
      executionAbortedEventDetails: { error: 'Enough', cause: 'by hand' },
    });
    expect(stateOf(detail, 'Only')?.status).toBe('aborted');
    expect(emitted.at(-1)?.detail['status']).toBe('ABORTED');
    expect(await api('StopExecution', { executionArn: executionArn('x') })).toEqual(answer);
  });

  test('DescribeStateMachine and ListStateMachines tell what is deployed', async () => {
    const { api } = bench(one({ Type: 'Pass' }));
    const described = await api('DescribeStateMachine', { stateMachineArn: machineArn });
    expect(described).toMatchObject({ name: 'complete-upload', status: 'ACTIVE', type: 'STANDARD', roleArn });
    expect(JSON.parse(String(described['definition']))).toEqual(one({ Type: 'Pass' }));
    expect(await api('ListStateMachines')).toMatchObject({
      stateMachines: [{ stateMachineArn: machineArn }],
    });
  });

  test('another operation is unknown', async () => {
    await expect(bench(one({ Type: 'Pass' })).api('CreateActivity')).rejects.toMatchObject({
      name: 'UnknownOperationException',
    });
  });

  test('list pages by number', async () => {
    const { run, states } = bench(one({ Type: 'Pass' }));
    for (const name of ['a', 'b', 'c']) await run(name);
    const { executions, next } = states.list({ limit: 2 });
    expect(executions.map(({ name }) => name)).toEqual(['c', 'b']);
    expect(
      states.list({ ...(next !== undefined && { before: next }) }).executions.map(({ name }) => name),
    ).toEqual(['a']);
    expect(states.get('nobody')).toBeUndefined();
  });
});

describe('RedriveExecution', () => {
  const redrive = (more: object = {}) => ({ executionArn: executionArn('x'), ...more });
  const twoTasks = {
    StartAt: 'First',
    States: {
      First: invoke({ ResultPath: '$.first', ResultSelector: { 'value.$': '$.Payload' }, Next: 'Second' }),
      Second: invoke({
        Parameters: { FunctionName: 'second', 'Payload.$': '$' },
        OutputPath: '$.Payload',
        End: true,
      }),
    },
  };

  test('goes on at the state that failed, with its input, under the same name', async () => {
    let broken = true;
    const { run, api, states, calls, emitted } = bench(twoTasks, ({ input }) => {
      if (input['FunctionName'] === 'work') return payload(1);
      return broken ? functionError('Bad', 'no') : payload('done');
    });
    const failed = await run('x', { a: 1 });
    expect(failed).toMatchObject({ status: 'FAILED', redrivable: true });
    broken = false;
    const answer = await api('RedriveExecution', redrive());
    expect(answer).toEqual({ redriveDate: expect.any(Number) });
    await states.idle();
    const detail = states.get('x') as ExecutionDetail;
    expect(detail).toMatchObject({ status: 'SUCCEEDED', redriveCount: 1, output: '"done"' });
    expect(detail).not.toHaveProperty('error');
    expect(calls.map(({ input }) => input)).toEqual([
      { FunctionName: 'work', Payload: { a: 1 } },
      { FunctionName: 'second', Payload: { a: 1, first: { value: 1 } } },
      { FunctionName: 'second', Payload: { a: 1, first: { value: 1 } } },
    ]);
    expect(types(detail).slice(failed.events.length)).toEqual([
      ...[
        'ExecutionRedriven',
        'TaskScheduled',
        'TaskStarted',
        'TaskSucceeded',
        'TaskStateExited',
        'ExecutionSucceeded',
      ],
    ]);
    expect(ofType(detail, 'ExecutionRedriven')).toMatchObject([
      { executionRedrivenEventDetails: { redriveCount: 1 } },
    ]);
    expect(stateOf(detail, 'Second')).toMatchObject({ status: 'succeeded', tries: 2 });
    // The start, two states, the redrive.
    expect(detail.transitions).toBe(4);
    expect(emitted.map(({ detail: { status } }) => status)).toEqual([
      'RUNNING',
      'FAILED',
      'RUNNING',
      'SUCCEEDED',
    ]);
  });

  test('runs only those iterations of a Map again that had not succeeded', async () => {
    let broken = true;
    const map = one({
      Type: 'Map',
      MaxConcurrency: 1,
      ItemProcessor: {
        StartAt: 'Each',
        States: { Each: { ...invoke(), OutputPath: '$.Payload', End: true } },
      },
    });
    const { run, api, states, calls } = bench(map, ({ input }) =>
      broken && input['Payload'] === 2 ? functionError('Bad', 'no') : payload(`did ${input['Payload']}`),
    );
    await run('x', [1, 2, 3]);
    broken = false;
    await api('RedriveExecution', redrive());
    await states.idle();
    expect(states.get('x')).toMatchObject({ status: 'SUCCEEDED', output: '["did 1","did 2","did 3"]' });
    expect(calls.map(({ input }) => input['Payload'])).toEqual([1, 2, 2, 3]);
  });

  test('is refused while running, after success, and after 14 days', async () => {
    const { start, run, api, states, clock } = bench(one(invoke()), ({ input }) =>
      input['Payload'] === 'hang'
        ? new Promise(() => {})
        : input['Payload'] === 'bad'
          ? functionError('Bad', '')
          : payload(1),
    );
    await start('running', 'hang');
    const refusal = (name: string) => api('RedriveExecution', { executionArn: executionArn(name) });
    await expect(refusal('running')).rejects.toMatchObject({
      name: 'ExecutionNotRedrivable',
      message: 'Execution is RUNNING and cannot be redriven',
    });
    await api('StopExecution', { executionArn: executionArn('running') });
    await run('good', 'good');
    await expect(refusal('good')).rejects.toMatchObject({
      message: 'Execution is SUCCEEDED and cannot be redriven',
    });
    await run('x', 'bad');
    clock.advance(15 * 86_400_000);
    await expect(refusal('x')).rejects.toMatchObject({ message: 'Execution redrivable period exceeded' });
    expect(states.get('x')?.redrivable).toBe(false);
  });

  test('the same client token again redrives once', async () => {
    const { run, api, states } = bench(one(invoke()), () => functionError('Bad', 'no'));
    await run('x');
    const first = await api('RedriveExecution', redrive({ clientToken: 't1' }));
    await states.idle();
    expect(await api('RedriveExecution', redrive({ clientToken: 't1' }))).toEqual(first);
    expect(states.get('x')).toMatchObject({ redriveCount: 1, status: 'FAILED' });
  });
});

describe('what survives the process', () => {
  test('an execution goes on at the state that it had entered, with its input', async () => {
    const dir = freshDir();
    const before = bench(
      completeUpload,
      (call, calls) =>
        call.input['FunctionName'] === 'complete-upload'
          ? new Promise(() => {})
          : workingServices(call, calls),
      { dir },
    );
    await before.start('u1', { uploadId: 'u1' });
    await until(() => before.calls.length === 5);
    await before.close();

    const after = bench(completeUpload, workingServices, { dir });
    expect(after.states.get('u1')?.status).toBe('RUNNING');
    after.states.resume();
    await after.states.idle();
    expect(after.states.get('u1')?.status).toBe('SUCCEEDED');
    expect(after.calls.map(({ operation }) => operation)).toEqual(['Invoke', 'UpdateItem', 'PutEvents']);
    expect(after.calls[0]?.input['Payload']).toEqual({ uploadId: 'u1', plan: { chunks: ['a', 'b', 'c'] } });
    expect(after.emitted.map(({ detail }) => detail['status'])).toEqual(['SUCCEEDED']);
  });

  test('a Map goes on with the iterations that had not finished', async () => {
    const dir = freshDir();
    const map = one({
      Type: 'Map',
      MaxConcurrency: 2,
      ItemProcessor: {
        StartAt: 'Each',
        States: { Each: { ...invoke(), OutputPath: '$.Payload', End: true } },
      },
    });
    const before = bench(
      map,
      ({ input }) => (Number(input['Payload']) > 1 ? new Promise(() => {}) : payload('old')),
      { dir },
    );
    await before.start('x', [0, 1, 2, 3]);
    await until(() => before.calls.length === 4);
    await before.close();
    const after = bench(map, () => payload('new'), { dir });
    after.states.resume();
    await after.states.idle();
    expect(after.states.get('x')?.output).toBe('["old","old","new","new"]');
  });

  test('an end that was not told yet is told after the restart', async () => {
    const dir = freshDir();
    const lines: string[] = [];
    const before = bench(one({ Type: 'Pass' }), undefined, {
      dir,
      emit: ({ detail }) => {
        if (detail['status'] !== 'RUNNING') throw new Error('the disk is full');
      },
      log: (line) => void lines.push(line),
    });
    await before.run('x');
    expect(lines.join()).toContain('the disk is full');
    await before.close();
    const after = bench(one({ Type: 'Pass' }), undefined, { dir });
    after.states.resume();
    expect(after.emitted.map(({ detail }) => detail['status'])).toEqual(['SUCCEEDED']);
  });

  test('nothing is lost when the process is killed', async () => {
    const dir = freshDir();
    const engine = JSON.stringify(join(import.meta.dirname, '../../../local/states/engine.ts'));
    const script = `
      import { createStates } from ${engine};
      const template = JSON.parse(process.argv[1]);
      template.byType = (type) => template.all.filter((one) => one.type === type);
      const states = createStates({
        template, dir: process.argv[2], clock: { now: Date.now }, emit: () => {},
        call: async (service, operation, input) => {
          if (input.FunctionName === 'second') { console.log('in the second'); await new Promise(() => {}); }
          return { status: 200, body: { StatusCode: 200, Payload: 1 } };
        },
      });
      setInterval(() => {}, 1000);
      await states.engine('StartExecution', { stateMachineArn: ${JSON.stringify(machineArn)}, name: 'x', input: '{}' });
    `;
    const definition = {
      StartAt: 'First',
      States: {
        First: invoke({ ResultPath: '$.first', Next: 'Second' }),
        Second: invoke({
          Parameters: { FunctionName: 'second', Payload: 2 },
          OutputPath: '$.Payload',
          End: true,
        }),
      },
    };
    const template = templateOf(definition);
    const all = [...template.resources.values()];
    const child = spawn(
      process.execPath,
      [
        '--disable-warning=ExperimentalWarning',
        '--input-type=module-typescript',
        '-e',
        script,
        JSON.stringify({ ...template, all }),
        dir,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    await once(child.stdout, 'data');
    child.kill('SIGKILL');
    await once(child, 'exit');

    const { states, calls } = bench(definition, () => payload('done'), { dir });
    states.resume();
    await states.idle();
    expect(states.get('x')).toMatchObject({ status: 'SUCCEEDED', output: '"done"' });
    expect(calls.map(({ input }) => input['FunctionName'])).toEqual(['second']);
  }, 20_000);

  test('a thousand executions at once all succeed', async () => {
    const { start, states } = bench(completeUpload, workingServices);
    await Promise.all(
      Array.from({ length: 1000 }, (_, index) => start(`u${index}`, { uploadId: `u${index}` })),
    );
    await states.idle();
    expect(
      states.list({ limit: 1000 }).executions.filter(({ status }) => status === 'SUCCEEDED'),
    ).toHaveLength(1000);
  }, 120_000);
});

describe('the deployed workflow', () => {
  test('runs as it is written', async () => {
    const text = readFileSync(
      join(import.meta.dirname, '../../../statemachine/complete-upload.asl.json'),
      'utf8',
    );
    const placeholders = new Set([...text.matchAll(/\$\{(\w+)\}/g)].map(([, name = '']) => name));
    const DefinitionSubstitutions = Object.fromEntries(
      [...placeholders].map((name) => [name, `the-${name}`]),
    );
    const done = {
      pk: 'ann#u1',
      attempt: 'a1',
      etag: '"e"',
      completedAt: '1',
      ttl: '2',
      event: { uploadId: 'u1' },
    };
    const answers: Record<string, unknown> = {
      'the-GatherPartsFunctionArn': { upload: { uploadId: 'u1' }, parts: [1, 2, 3] },
      'the-AssemblePartFunctionArn': { partNumber: 1 },
      'the-CompleteUploadFunctionArn': done,
    };
    const { run, calls } = bench(
      text,
      ({ service, input }) =>
        service === 'lambda' ? payload(answers[String(input['FunctionName'])]) : ok({ FailedEntryCount: 0 }),
      {},
      { DefinitionSubstitutions },
    );
    const detail = await run('u1-a1-1', { uploadId: 'u1' });
    expect(detail.status).toBe('SUCCEEDED');
    expect(detail.states.every(({ status }) => status === 'succeeded')).toBe(true);
    expect(calls.map(({ operation }) => operation)).toEqual([
      ...['Invoke', 'Invoke', 'Invoke', 'Invoke', 'Invoke', 'UpdateItem', 'PutEvents'],
    ]);
    expect(calls.at(-1)?.input).toMatchObject({ Entries: [{ Detail: '{"uploadId":"u1"}' }] });
  });
});

describe('definitions', () => {
  const load = (definition: unknown, properties: Record<string, unknown> = {}) => {
    const states = createStates({
      template: templateOf(definition, properties),
      dir: freshDir(),
      clock: { now: Date.now, advance: () => {} },
      call: async () => ok({}),
      emit: () => {},
    });
    cleanups.push(() => states.close());
    return states;
  };

  test('substitutions are made, as text inside JSON strings', async () => {
    const text = JSON.stringify(one(invoke({ Parameters: { FunctionName: '${Name}', 'Payload.$': '$' } })));
    const states = load(text, { DefinitionSubstitutions: { Name: 'a "quoted" name' } });
    const { body } = await states.engine(
      'DescribeStateMachine',
      { stateMachineArn: machineArn },
      { kind: 'root' },
    );
    expect(JSON.parse(String(body['definition'])).States.Only.Parameters.FunctionName).toBe(
      'a "quoted" name',
    );
  });

  test.each([
    ['a placeholder without a value', one({ Type: 'Pass', Result: '${Missing}' }), {}, 'no Missing'],
    [
      'a value without a placeholder',
      one({ Type: 'Pass' }),
      { DefinitionSubstitutions: { Extra: 'x' } },
      'Extra',
    ],
    ['express workflows', one({ Type: 'Pass' }), { StateMachineType: 'EXPRESS' }, 'EXPRESS'],
    ['a role from elsewhere', one({ Type: 'Pass' }), { RoleArn: 'arn:aws:iam::1:role/x' }, 'role'],
  ])('refuses %s', (_, definition, properties, message) => {
    expect(() => load(definition, properties)).toThrow(message);
    expect(() => load(definition, properties)).toThrow(/^Workflow: /);
  });

  const task = (resourceName: string) => one({ Type: 'Task', Resource: resourceName });
  test.each([
    ['an unknown integration', task('arn:aws:states:::sqs:sendMessage')],
    ['a job', task('arn:aws:states:::states:startExecution.sync:2')],
    ['a callback', task('arn:aws:states:::lambda:invoke.waitForTaskToken')],
    ['an unknown SDK service', task('arn:aws:states:::aws-sdk:ec2:runInstances')],
    ['an activity', task('arn:aws:states:us-east-1:000000000000:activity:paint')],
    [
      'an asynchronous invocation',
      one(invoke({ Parameters: { FunctionName: 'work', InvocationType: 'Event' } })),
    ],
    ['heartbeats', one(invoke({ HeartbeatSeconds: 5 }))],
    ['JSONata', { ...one({ Type: 'Pass' }), QueryLanguage: 'JSONata' }],
    ['variables', one({ Type: 'Pass', Assign: { a: 1 } })],
    ['Parallel', one({ Type: 'Parallel', Branches: [one({ Type: 'Pass' })] })],
    [
      'a distributed Map',
      one({
        Type: 'Map',
        ItemProcessor: {
          ...one({ Type: 'Pass' }),
          ProcessorConfig: { Mode: 'DISTRIBUTED', ExecutionType: 'STANDARD' },
        },
      }),
    ],
    ['unknown context fields', one({ Type: 'Pass', Parameters: { 'token.$': '$$.Task.Token' } })],
    ['a state that nothing leads to', { ...one({ Type: 'Pass' }), StartAt: 'Nowhere' }],
    ['a path that is none', one({ Type: 'Pass', InputPath: 'nowhere' })],
  ])('refuses %s', (_, definition) => {
    expect(() => load(definition)).toThrow();
  });
});
