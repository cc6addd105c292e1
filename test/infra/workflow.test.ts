import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe, expect, test } from '@jest/globals';
import { UPLOAD_FUNCTIONS, uploadFunctions } from '../../infra/function-map.ts';
import { DETAIL_TYPES, EVENT_SOURCE } from '../../lambdas/events/upload-event.ts';
import * as workflowErrors from '../../lambdas/workflow/errors.ts';
import { readable, synthesise } from './synthesised.ts';

interface Retrier {
  readonly ErrorEquals: readonly string[];
  readonly MaxAttempts?: number;
  readonly IntervalSeconds?: number;
  readonly BackoffRate?: number;
  readonly MaxDelaySeconds?: number;
  readonly JitterStrategy?: string;
}

interface State {
  readonly Type: string;
  readonly Resource?: string;
  readonly TimeoutSeconds?: number;
  readonly Retry?: readonly Retrier[];
  readonly Catch?: readonly Pick<Retrier, 'ErrorEquals'>[];
  readonly Parameters?: Record<string, unknown>;
  readonly ItemProcessor?: { readonly States: Record<string, State> };
}

const text = readFileSync(new URL('../../statemachine/complete-upload.asl.json', import.meta.url), 'utf8');
const definition = JSON.parse(text) as { readonly States: Record<string, State> };
const stack = synthesise();
const machine = stack.only('AWS::StepFunctions::StateMachine').Properties;

const allStates = (states: Record<string, State>): [string, State][] =>
  Object.entries(states).flatMap(([name, state]) => [
    [name, state] as [string, State],
    ...allStates(state.ItemProcessor?.States ?? {}),
  ]);
const tasks = allStates(definition.States).filter(([, { Type }]) => Type === 'Task');

test('the definition is valid Amazon States Language', () => {
  const validate = createRequire(import.meta.url)('asl-validator') as (
    definition: unknown,
    options: { checkArn: boolean; checkPaths: boolean },
  ) => { isValid: boolean; errorsText(separator: string): string };
  // With ARNs in their places, as Step Functions will read it.
  const filled = text
    .replaceAll(/\$\{\w+FunctionArn\}/g, 'arn:aws:lambda:us-east-1:000000000000:function:f')
    .replaceAll('${Partition}', 'aws');
  const result = validate(JSON.parse(filled), { checkArn: true, checkPaths: true });
  expect(result.errorsText('\n')).toBe('');
  expect(result.isValid).toBe(true);
});

test('deploys the file as it stands, as a Standard workflow, every placeholder filled and none over', () => {
  expect(machine.DefinitionString).toBe(text);
  expect(machine.StateMachineType).toBe('STANDARD');
  const placeholders = [...text.matchAll(/\$\{(\w+)\}/g)].map(([, name = '']) => name);
  expect(Object.keys(machine.DefinitionSubstitutions).sort()).toEqual([...new Set(placeholders)].sort());
});

test('each placeholder stands for the function of its name', () => {
  for (const [name, { trigger }] of uploadFunctions()) {
    if (!('step' in trigger)) continue;
    expect(readable(machine.DefinitionSubstitutions[`${trigger.step}FunctionArn`])).toBe(
      `Functions${trigger.step}`,
    );
    expect(trigger.step.toLowerCase()).toBe(name.replace('-', ''));
  }
});

describe('every task', () => {
  test('exists', () => expect(tasks.length).toBeGreaterThanOrEqual(5));

  test.each(tasks)('%s has a timeout, above that of its function', (_, task) => {
    expect(task.TimeoutSeconds).toBeGreaterThan(0);
    const step = /\$\{(\w+)FunctionArn\}/.exec(String(task.Parameters?.['FunctionName']))?.[1];
    const fn = Object.values(UPLOAD_FUNCTIONS).find(
      ({ trigger }) => 'step' in trigger && trigger.step === step,
    );
    expect(fn === undefined).toBe(step === undefined);
    if (fn) expect(task.TimeoutSeconds).toBeGreaterThan(fn.timeout);
  });

  test.each(tasks)('%s is retried with backoff and full jitter where a retry can help', (_, task) => {
    const retriers = task.Retry ?? [];
    const retrying = retriers.filter(({ MaxAttempts }) => MaxAttempts !== 0);
    expect(retrying.length).toBeGreaterThan(0);
    for (const retrier of retrying) {
      expect(retrier).toMatchObject({ JitterStrategy: 'FULL', MaxDelaySeconds: expect.any(Number) });
      expect(retrier.BackoffRate).toBeGreaterThan(1);
    }
  });

  test.each(tasks)('%s names only errors that exist', (_, { Retry = [], Catch = [] }) => {
    const known = [...Object.keys(workflowErrors), ...SERVICE_ERRORS];
    for (const { ErrorEquals } of [...Retry, ...Catch])
      expect(known).toEqual(expect.arrayContaining([...ErrorEquals]));
  });

  test.each(tasks)(
    '%s does not catch what it cannot mend, so that a redrive goes on from it',
    (_, { Catch = [] }) => {
      expect(Catch.flatMap(({ ErrorEquals }) => ErrorEquals)).not.toContain('States.ALL');
    },
  );
});

/**
 * Errors of services, by their names there.
 * https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
 * https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html#bp-lambda-serviceexception
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
 */
const SERVICE_ERRORS = [
  'DynamoDB.ConditionalCheckFailedException',
  'Lambda.AWSLambdaException',
  'Lambda.SdkClientException',
  'Lambda.ServiceException',
  'Lambda.TooManyRequestsException',
  'Lambda.Unknown',
  'Runtime.ExitError',
  'Runtime.OutOfMemory',
  'Sandbox.Timedout',
  'States.TaskFailed',
  'States.Timeout',
];

test('a function is called again for passing faults, and never for what it says is final', () => {
  const final = Object.keys(workflowErrors).filter(
    (name) => /^[A-Z]\w+$/.test(name) && name !== 'PassingFault',
  );
  expect(final).toContain('UploadSuperseded');
  for (const [, { Retry = [], Parameters }] of tasks.filter(([, { Resource }]) =>
    Resource?.endsWith('lambda:invoke'),
  )) {
    const retried = Retry.filter(({ MaxAttempts }) => MaxAttempts !== 0).flatMap(
      ({ ErrorEquals }) => ErrorEquals,
    );
    expect({ Parameters, retried }).toEqual({
      Parameters,
      retried: expect.arrayContaining(['PassingFault']),
    });
    // The last two stand for every error there is.
    for (const name of [...final, 'States.ALL', 'States.TaskFailed']) expect(retried).not.toContain(name);
  }
});

test('the completion event has the source and detail-type that consumers get by onUploadCompleted', () => {
  const [entry] = tasks.flatMap(
    ([, { Parameters }]) => (Parameters?.['Entries'] as Record<string, string>[]) ?? [],
  );
  expect(entry).toMatchObject({ Source: EVENT_SOURCE, DetailType: DETAIL_TYPES.completed });
});

describe('around the workflow', () => {
  const rules = stack.byType('AWS::Events::Rule').map(({ Properties }) => Properties);

  test('every way of not succeeding reaches record-failure, and a queue where that fails', () => {
    const rule = rules.find(({ EventPattern }) => EventPattern);
    expect(rule.EventBusName).toBeUndefined();
    expect(rule.EventPattern).toEqual({
      source: ['aws.states'],
      'detail-type': ['Step Functions Execution Status Change'],
      detail: {
        status: ['FAILED', 'TIMED_OUT', 'ABORTED'],
        stateMachineArn: [expect.objectContaining({ Ref: expect.stringContaining('StateMachine') })],
      },
    });
    expect(readable(rule.Targets[0].Arn)).toBe('FunctionsRecordFailure');
    expect(readable(rule.Targets[0].DeadLetterConfig.Arn)).toBe('Undelivered');
    expect(readable(stack.fn('record-failure').Properties.DeadLetterConfig.TargetArn)).toBe('Undelivered');
  });

  test('the watchdog looks every five minutes, and is done before the next look', () => {
    const rule = rules.find(({ ScheduleExpression }) => ScheduleExpression);
    expect(rule.ScheduleExpression).toBe('rate(5 minutes)');
    expect(readable(rule.Targets[0].Arn)).toBe('FunctionsWatchdog');
    expect(stack.fn('watchdog').Properties.Timeout).toBeLessThan(300);
  });

  test('the queue of undelivered events is encrypted and speaks TLS only', () => {
    expect(stack.only('AWS::SQS::Queue').Properties.SqsManagedSseEnabled).toBe(true);
    expect(JSON.stringify(stack.only('AWS::SQS::QueuePolicy').Properties)).toContain(
      '"aws:SecureTransport":"false"',
    );
  });
});
