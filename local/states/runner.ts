/**
 * Runs one execution of a state machine: the order of states, tries and retries, Maps, and the history of it all.
 *
 * Tasks run at least once: an execution that a crash interrupted goes on at the state that it had entered last, with
 * that state's input, and whatever was under way there is done again. In a Map, so are the iterations that were under
 * way or had failed; those that had finished keep their results, as on AWS. Counts of retries and Waits begin anew.
 */
import type { Caller, Clock } from '../types.ts';
import { type ContextObject, choose, evaluate, fillTemplate, throughState } from './data-flow.ts';
import type { Machine, State, States } from './definition.ts';
import { errorMatches, retryDelay, StateError, toJsonWithinLimit } from './errors.ts';
import { historyEvent, MAX_HISTORY_EVENTS, truncated } from './history.ts';
import type { CallAws } from './integrations.ts';
import { MapFailed, runMap } from './map.ts';
import type { Execution, Store } from './store.ts';
import { runTask } from './task.ts';
import { waitUntil } from './waiting.ts';

export interface RunnerOptions {
  readonly clock: Clock;
  readonly store: Store;
  readonly call: CallAws;
  /** Multiplies the delays before retries. */
  readonly retryTimeScale: number;
  /** A number from 0 to 1, for the jitter. */
  readonly random: () => number;
}

/** A line of states that run one after another: the machine's own, or one iteration's. */
export interface Thread {
  /** '' for the machine's own; `Assemble parts[3]/` in an iteration of that Map. */
  readonly path: string;
  readonly signal: AbortSignal;
  readonly item?: { readonly Index: number; readonly Value: unknown };
  /** The id of the event that the next one follows. */
  previous: number;
  /** The type of the state that it is in. */
  inside?: State['Type'] | undefined;
}

/** What a run of one execution shares. */
export interface Run {
  readonly options: RunnerOptions;
  readonly machine: Machine;
  readonly execution: Execution;
  readonly executionArn: string;
  readonly caller: Caller;
  /** Adds an event after the thread's last one. */
  record(thread: Thread, type: string, details?: Readonly<Record<string, unknown>>): void;
  /** Runs states to the end of the thread; the last one's output. */
  runStates(states: States, startAt: string, input: unknown, thread: Thread): Promise<unknown>;
}

/**
 * Runs an execution, from its start or from where it stands, to the output of its last state.
 *
 * @throws StateError when it failed, Stopped when the signal ended it
 */
export async function runExecution(
  options: RunnerOptions,
  machine: Machine,
  execution: Execution,
  signal: AbortSignal,
): Promise<string> {
  const { store } = options;
  const { seq } = execution;
  const executionArn = executionArnOf(machine, execution.name);
  let lastEvent = execution.events;

  const record: Run['record'] = (thread, type, details) => {
    thread.signal.throwIfAborted();
    if (lastEvent >= MAX_HISTORY_EVENTS - 1) {
      throw new StateError(
        'States.Runtime',
        'The execution reached the maximum number of history events (25000).',
      );
    }
    lastEvent += 1;
    store.append(seq, historyEvent(lastEvent, thread.previous, options.clock.now(), type, details));
    thread.previous = lastEvent;
  };

  const run: Run = {
    options,
    machine,
    execution,
    executionArn,
    caller: { kind: 'role', roleLogicalId: machine.roleLogicalId, roleArn: machine.roleArn, executionArn },
    record,
    runStates: (states, startAt, input, thread) => runStates(run, states, startAt, input, thread),
  };
  const thread: Thread = { path: '', signal, previous: execution.stateEvent };
  const { definition } = machine;
  const resumed = execution.state !== null;
  const startAt = execution.state ?? definition.StartAt;
  const input: unknown = JSON.parse(execution.stateInput ?? execution.input);
  return JSON.stringify(await runStates(run, definition, startAt, input, thread, resumed)) ?? 'null';
}

export const executionArnOf = (machine: Pick<Machine, 'arn'>, name: string): string =>
  `${machine.arn.replace(':stateMachine:', ':execution:')}:${name}`;

async function runStates(
  run: Run,
  states: States,
  startAt: string,
  input: unknown,
  thread: Thread,
  resumed = false,
): Promise<unknown> {
  const { store, clock } = run.options;
  const { seq } = run.execution;
  let entered = resumed;
  let name = startAt;
  let data = input;
  for (;;) {
    const state = states.States[name];
    if (!state) throw new StateError('States.Runtime', `The state machine has no state '${name}'.`);
    thread.inside = state.Type;
    if (!entered) {
      const json = toJsonWithinLimit(name, data, 'input');
      store.transaction(() => {
        run.record(thread, `${state.Type}StateEntered`, { name, input: json, inputDetails: truncated });
        countTransition(run);
        // Where the execution goes on after a crash or a redrive.
        if (thread.path === '')
          store.update(seq, { state: name, stateInput: json, stateEvent: thread.previous });
        if (state.Type === 'Map') store.forgetIterations(seq, `${thread.path}${name}`);
      });
    }
    entered = false;
    const { output, next } = await runState(
      run,
      name,
      state,
      data,
      thread,
      new Date(clock.now()).toISOString(),
    );
    const json = toJsonWithinLimit(name, output, 'result');
    run.record(thread, `${state.Type}StateExited`, { name, output: json, outputDetails: truncated });
    thread.inside = undefined;
    if (next === undefined) return output;
    name = next;
    data = output;
  }
}

/**
 * "Step Functions counts a state transition each time a step of your workflow is executed … including retries"
 * (https://aws.amazon.com/step-functions/pricing/); the start is one too, and "Execution redrives are considered as
 * state transitions" (https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html).
 */
function countTransition({ options: { store }, execution: { seq } }: Run): void {
  store.countTransition(seq);
}

/** Tries a state until it succeeds, a Catch takes the error, or no Retry does. */
async function runState(
  run: Run,
  name: string,
  state: State,
  input: unknown,
  thread: Thread,
  enteredTime: string,
): Promise<{ readonly output: unknown; readonly next: string | undefined }> {
  const { clock, store, retryTimeScale, random } = run.options;
  const retried = (state.Retry ?? []).map(() => 0);
  for (let tries = 0; ; tries += 1) {
    const context = contextOf(run, name, enteredTime, tries, thread);
    try {
      return await tryState(run, name, state, input, thread, context);
    } catch (error) {
      if (!(error instanceof StateError)) throw error;
      thread.signal.throwIfAborted();
      if (error instanceof MapFailed) run.record(thread, 'MapStateFailed');
      const at = (state.Retry ?? []).findIndex(({ ErrorEquals }) =>
        errorMatches(ErrorEquals, error.error, state.Type),
      );
      const retrier = state.Retry?.[at];
      const before = retried[at] ?? 0;
      if (retrier && before < (retrier.MaxAttempts ?? 3)) {
        retried[at] = before + 1;
        const delay = retryDelay(retrier, before, random()) * retryTimeScale;
        await waitUntil(clock, clock.now() + delay, thread.signal);
        countTransition(run);
        if (state.Type === 'Map') store.forgetIterations(run.execution.seq, `${thread.path}${name}`);
        continue;
      }
      const catcher = state.Catch?.find(({ ErrorEquals }) =>
        errorMatches(ErrorEquals, error.error, state.Type),
      );
      if (!catcher) throw error;
      const caught = { Error: error.error ?? '', Cause: error.reason ?? '' };
      const { ResultPath } = catcher;
      const output = await throughState(
        { ...(ResultPath !== undefined && { ResultPath }) },
        input,
        context,
        async () => caught,
      );
      return { output, next: catcher.Next };
    }
  }
}

function contextOf(
  run: Run,
  name: string,
  enteredTime: string,
  tries: number,
  thread: Thread,
): ContextObject {
  const { execution, machine, executionArn } = run;
  const { redriveDate, redriveCount, startDate } = execution;
  return {
    Execution: {
      Id: executionArn,
      Name: execution.name,
      Input: JSON.parse(execution.input),
      RoleArn: machine.roleArn,
      StartTime: new Date(startDate).toISOString(),
      RedriveCount: redriveCount,
      ...(redriveDate !== null && { RedriveTime: new Date(redriveDate).toISOString() }),
    },
    StateMachine: { Id: machine.arn, Name: machine.name },
    State: { Name: name, EnteredTime: enteredTime, RetryCount: tries },
    ...(thread.item && { Map: { Item: thread.item } }),
  };
}

async function tryState(
  run: Run,
  name: string,
  state: State,
  input: unknown,
  thread: Thread,
  context: ContextObject,
): Promise<{ readonly output: unknown; readonly next: string | undefined }> {
  const through = (flow: State, work: (effectiveInput: unknown) => Promise<unknown>) =>
    throughState(flow, input, context, work);
  switch (state.Type) {
    case 'Choice':
      return choose(state, input, context);
    case 'Fail': {
      const text = (path: string | undefined, fixed: string | undefined) =>
        path === undefined ? fixed : evaluate(path, input, context).then(String);
      throw new StateError(
        await text(state.ErrorPath, state.Error),
        await text(state.CausePath, state.Cause),
      );
    }
    case 'Succeed':
      return { output: await through(state, async (data) => data), next: undefined };
    case 'Pass':
      return {
        output: await through(state, async (data) => ('Result' in state ? state.Result : data)),
        next: state.Next,
      };
    case 'Wait':
      return {
        output: await through(state, async (data) => {
          await waitUntil(run.options.clock, await waitEnd(run, state, data, context), thread.signal);
          return data;
        }),
        next: state.Next,
      };
    case 'Task':
      return {
        output: await through(state, (parameters) =>
          runTask(run, name, state, parameters, thread, input, context),
        ),
        next: state.Next,
      };
    case 'Map': {
      // A Map's Parameters are its ItemSelector by an older name.
      const { Parameters, ItemSelector = Parameters, ...flow } = state;
      const selectItem = (mapInput: unknown, item: { Index: number; Value: unknown }) =>
        ItemSelector === undefined
          ? Promise.resolve(item.Value)
          : fillTemplate(ItemSelector, mapInput, { ...context, Map: { Item: item } });
      const output = await through(flow, async (mapInput) => {
        const items =
          state.ItemsPath === undefined ? mapInput : await evaluate(state.ItemsPath, mapInput, context);
        const { MaxConcurrencyPath: path, MaxConcurrency = 0 } = state;
        const concurrency =
          path === undefined ? MaxConcurrency : Number(await evaluate(path, mapInput, context));
        return runMap(run, name, state, items, concurrency, (item) => selectItem(mapInput, item), thread);
      });
      return { output, next: state.Next };
    }
  }
}

/** When a Wait is over, in milliseconds since the epoch. */
async function waitEnd(run: Run, state: State, input: unknown, context: ContextObject): Promise<number> {
  const now = run.options.clock.now();
  const { Seconds, SecondsPath, Timestamp, TimestampPath } = state;
  if (Seconds !== undefined) return now + Seconds * 1000;
  if (SecondsPath !== undefined) return now + Number(await evaluate(SecondsPath, input, context)) * 1000;
  const timestamp = Timestamp ?? String(await evaluate(TimestampPath ?? '$', input, context));
  const until = Date.parse(timestamp);
  if (Number.isNaN(until))
    throw new StateError('States.Runtime', `'${timestamp}' is not a timestamp to wait for.`);
  return until;
}
