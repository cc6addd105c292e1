/** Step Functions' JSON API, on the store. https://docs.aws.amazon.com/step-functions/latest/apireference/ */
import { randomUUID } from 'node:crypto';
import { AwsError, type Clock, type JsonEngine } from '../types.ts';
import type { Machine } from './definition.ts';
import { MAX_DATA_BYTES } from './errors.ts';
import { MAX_HISTORY_EVENTS, withoutData } from './history.ts';
import { executionArnOf } from './runner.ts';
import type { Execution, ExecutionStatus, Store } from './store.ts';

export interface ApiOptions {
  readonly machines: readonly Machine[];
  readonly store: Store;
  readonly clock: Clock;
  /** When the machines were deployed: milliseconds since the epoch. */
  readonly createdAt: number;
  /** Makes an execution, in the place of an old one of that name, and runs it. */
  start(
    machine: Machine,
    execution: Pick<Execution, 'name' | 'input' | 'startDate'>,
    replaced?: Execution,
  ): void;
  stop(machine: Machine, execution: Execution, error?: string, cause?: string): Promise<void>;
  redrive(machine: Machine, execution: Execution, token: string | null): void;
}

type Input = Record<string, unknown>;

const DAY_MS = 86_400_000;
/** "StartExecution is idempotent … names can't be used again for 90 days". */
const NAME_BLOCKED_MS = 90 * DAY_MS;
const REDRIVABLE_MS = 14 * DAY_MS;
const statuses: readonly string[] = [
  'RUNNING',
  'SUCCEEDED',
  'FAILED',
  'TIMED_OUT',
  'ABORTED',
  'PENDING_REDRIVE',
];
const unsuccessful: readonly ExecutionStatus[] = ['FAILED', 'TIMED_OUT', 'ABORTED'];

/** White space, brackets, wildcards, special and control characters: what a name must not contain. */
const forbiddenInName = /[\s<>{}[\]?*"#%\\^|~`$&,;:/\p{Cc}]/u;

/** Why an execution cannot be redriven, in AWS's words; undefined if it can. */
export function whyNotRedrivable(execution: Execution, now: number): string | undefined {
  const { status, stopDate, events } = execution;
  if (!unsuccessful.includes(status)) return `Execution is ${status} and cannot be redriven`;
  if (now - (stopDate ?? now) > REDRIVABLE_MS) return 'Execution redrivable period exceeded';
  // One event for the redrive and one for the end must still fit.
  return events >= MAX_HISTORY_EVENTS - 1 ? 'Execution history event limit exceeded' : undefined;
}

export function createApi(options: ApiOptions): JsonEngine {
  const { machines, store, clock, createdAt } = options;

  const machineOf = (arn: unknown): Machine => {
    const text = requireText(arn, 'stateMachineArn');
    if (!text.startsWith('arn:'))
      throw new AwsError('InvalidArn', `Invalid Arn: 'Invalid ARN prefix: ${text}'`);
    const machine = machines.find((candidate) => candidate.arn === text);
    if (!machine) throw new AwsError('StateMachineDoesNotExist', `State Machine Does Not Exist: '${text}'`);
    return machine;
  };

  const executionOf = (arn: unknown): { machine: Machine; execution: Execution } => {
    const text = requireText(arn, 'executionArn');
    if (!text.startsWith('arn:'))
      throw new AwsError('InvalidArn', `Invalid Arn: 'Invalid ARN prefix: ${text}'`);
    const name = text.slice(text.lastIndexOf(':') + 1);
    const machine = machines.find((candidate) => executionArnOf(candidate, name) === text);
    const execution = machine && store.find(machine.arn, name);
    if (!execution) throw new AwsError('ExecutionDoesNotExist', `Execution Does Not Exist: '${text}'`);
    return { machine, execution };
  };

  const startExecution = (input: Input) => {
    const machine = machineOf(input['stateMachineArn']);
    const name = String(input['name'] ?? randomUUID());
    if (name.length < 1 || name.length > 80 || forbiddenInName.test(name)) {
      throw new AwsError('InvalidName', `Invalid Name: '${name}'`);
    }
    const text = String(input['input'] ?? '{}');
    if (Buffer.byteLength(text) > MAX_DATA_BYTES) {
      const rule = `Member must have length less than or equal to ${MAX_DATA_BYTES}`;
      throw new AwsError(
        'ValidationException',
        `1 validation error detected: Value at 'input' failed to satisfy constraint: ${rule}`,
      );
    }
    try {
      JSON.parse(text);
    } catch (error) {
      const reason = (error as Error).message;
      throw new AwsError('InvalidExecutionInput', `Invalid State Machine Execution Input: '${reason}'`);
    }
    const executionArn = executionArnOf(machine, name);
    const known = store.find(machine.arn, name);
    if (known?.status === 'RUNNING' && known.input === text) {
      return { executionArn, startDate: known.startDate / 1000 };
    }
    if (known && (known.stopDate === null || clock.now() - known.stopDate < NAME_BLOCKED_MS)) {
      throw new AwsError('ExecutionAlreadyExists', `Execution Already Exists: '${executionArn}'`);
    }
    const startDate = clock.now();
    options.start(machine, { name, input: text, startDate }, known);
    return { executionArn, startDate: startDate / 1000 };
  };

  const describeExecution = (input: Input) => {
    const { machine, execution } = executionOf(input['executionArn']);
    const { output, error, cause, redriveDate } = execution;
    const reason = whyNotRedrivable(execution, clock.now());
    return {
      ...summary(machine, execution),
      input: execution.input,
      inputDetails: { included: true },
      ...(output !== null && { output, outputDetails: { included: true } }),
      ...(error !== null && { error }),
      ...(cause !== null && { cause }),
      redriveCount: execution.redriveCount,
      ...(redriveDate !== null && { redriveDate: redriveDate / 1000 }),
      redriveStatus: reason === undefined ? 'REDRIVABLE' : 'NOT_REDRIVABLE',
      ...(reason !== undefined && { redriveStatusReason: reason }),
    };
  };

  const listExecutions = (input: Input) => {
    const machine = machineOf(input['stateMachineArn']);
    const status = input['statusFilter'];
    if (status !== undefined && !statuses.includes(String(status))) {
      throw new AwsError(
        'ValidationException',
        `Value '${status}' at 'statusFilter' failed to satisfy constraint`,
      );
    }
    const limit = pageSize(input['maxResults'], 100);
    const found = store.list({
      machine: machine.arn,
      status: status === undefined ? undefined : String(status),
      before: readToken(input['nextToken']),
      limit: limit + 1,
    });
    const executions = found.slice(0, limit);
    return {
      executions: executions.map((execution) => ({
        ...summary(machine, execution),
        redriveCount: execution.redriveCount,
        ...(execution.redriveDate !== null && { redriveDate: execution.redriveDate / 1000 }),
      })),
      ...(found.length > limit && { nextToken: writeToken(executions.at(-1)?.seq ?? 0) }),
    };
  };

  const getExecutionHistory = (input: Input) => {
    const { execution } = executionOf(input['executionArn']);
    const reverse = input['reverseOrder'] === true;
    const limit = pageSize(input['maxResults'], 100);
    const from = readToken(input['nextToken']) ?? (reverse ? execution.events : 1);
    const found = store.events(execution.seq, { from, limit: limit + 1, reverse });
    const events = found.slice(0, limit);
    return {
      events: input['includeExecutionData'] === false ? events.map(withoutData) : events,
      ...(found.length > limit && { nextToken: writeToken(found[limit]?.id ?? 0) }),
    };
  };

  const stopExecution = async (input: Input) => {
    const { machine, execution } = executionOf(input['executionArn']);
    const text = (value: unknown) => (value === undefined ? undefined : String(value));
    if (execution.status === 'RUNNING') {
      await options.stop(machine, execution, text(input['error']), text(input['cause']));
    }
    return { stopDate: (store.get(execution.seq).stopDate ?? clock.now()) / 1000 };
  };

  const redriveExecution = (input: Input) => {
    const { machine, execution } = executionOf(input['executionArn']);
    const token = input['clientToken'] === undefined ? null : String(input['clientToken']);
    if (token !== null && token === execution.redriveToken) {
      return { redriveDate: (execution.redriveDate ?? 0) / 1000 };
    }
    const reason = whyNotRedrivable(execution, clock.now());
    if (reason !== undefined) throw new AwsError('ExecutionNotRedrivable', reason);
    options.redrive(machine, execution, token);
    return { redriveDate: (store.get(execution.seq).redriveDate ?? 0) / 1000 };
  };

  const aboutMachine = (machine: Machine) => ({
    stateMachineArn: machine.arn,
    name: machine.name,
    type: 'STANDARD',
    creationDate: createdAt / 1000,
  });

  const operations: Readonly<Record<string, (input: Input) => Input | Promise<Input>>> = {
    StartExecution: startExecution,
    DescribeExecution: describeExecution,
    ListExecutions: listExecutions,
    GetExecutionHistory: getExecutionHistory,
    StopExecution: stopExecution,
    RedriveExecution: redriveExecution,
    DescribeStateMachine: (input) => {
      const machine = machineOf(input['stateMachineArn']);
      const { roleArn, definition } = machine;
      return { ...aboutMachine(machine), status: 'ACTIVE', roleArn, definition: JSON.stringify(definition) };
    },
    ListStateMachines: () => ({ stateMachines: machines.map(aboutMachine) }),
  };

  return async (operation, input) => {
    const run = operations[operation];
    if (!run) {
      throw new AwsError(
        'UnknownOperationException',
        `The local stack's Step Functions has no ${operation}.`,
      );
    }
    return { status: 200, body: await run(input) };
  };
}

function summary(machine: Machine, execution: Execution) {
  const { name, status, startDate, stopDate } = execution;
  return {
    executionArn: executionArnOf(machine, name),
    stateMachineArn: machine.arn,
    name,
    status,
    startDate: startDate / 1000,
    ...(stopDate !== null && { stopDate: stopDate / 1000 }),
  };
}

function requireText(value: unknown, name: string): string {
  if (typeof value === 'string' && value !== '') return value;
  const rule = 'Member must not be null';
  throw new AwsError(
    'ValidationException',
    `1 validation error detected: Value at '${name}' failed to satisfy constraint: ${rule}`,
  );
}

/** "A value of 0 uses the default"; 1,000 at most. */
function pageSize(value: unknown, byDefault: number): number {
  const size = Number(value ?? 0);
  if (Number.isInteger(size) && size >= 0 && size <= 1000) return size || byDefault;
  throw new AwsError('ValidationException', `Value '${value}' at 'maxResults' must be from 0 to 1000`);
}

const writeToken = (position: number): string => Buffer.from(String(position)).toString('base64url');

function readToken(token: unknown): number | undefined {
  if (token === undefined || token === null) return undefined;
  const text = Buffer.from(String(token), 'base64url').toString();
  if (!/^\d+$/.test(text)) throw new AwsError('InvalidToken', `Invalid Token: '${token}'`);
  return Number(text);
}
