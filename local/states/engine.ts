/** Step Functions on this machine: the template's state machines, their executions kept on disk. */
import type { ServiceEvent } from '../events.ts';
import type { Clock, JsonEngine, LocalTemplate } from '../types.ts';
import { createApi, whyNotRedrivable } from './api.ts';
import { type Machine, readMachines } from './definition.ts';
import { StateError, Stopped } from './errors.ts';
import { historyEvent, MAX_HISTORY_EVENTS } from './history.ts';
import type { CallAws } from './integrations.ts';
import {
  type ExecutionDetail,
  type ExecutionPage,
  type ExecutionSummary,
  graphOf,
  stateOverviews,
} from './overview.ts';
import { executionArnOf, runExecution } from './runner.ts';
import { statusEvent } from './status-event.ts';
import { type Execution, openStore } from './store.ts';
import { waitUntil } from './waiting.ts';

export type { CallAws } from './integrations.ts';
export type * from './overview.ts';

export interface StatesOptions {
  readonly template: LocalTemplate;
  /** Executions are kept in `<dir>/states.sqlite`. */
  readonly dir: string;
  readonly clock: Clock;
  /** What tasks call. `Invoke` takes and gives `Payload` as a JSON value. */
  readonly call: CallAws;
  /** Puts a status-change event on the default bus. It must be kept when this returns. */
  readonly emit: (event: ServiceEvent) => void;
  /** Multiplies the delays of Retry. @default 1 */
  readonly retryTimeScale?: number;
  /** From 0 to 1, for Retry's jitter. @default Math.random */
  readonly random?: () => number;
  /** Told of defects of the local stack itself. @default console.error */
  readonly log?: (line: string) => void;
}

export interface States {
  readonly engine: JsonEngine;
  /** Goes on with the executions that the last process left RUNNING. Call it once the front door answers. */
  resume(): void;
  /** For `GET /_local/executions`. `before` is the last page's `next`. Limit: 50 by default, 1,000 at most. */
  list(page?: { readonly limit?: number; readonly before?: number }): ExecutionPage;
  /** For `GET /_local/executions/{name}`: the newest execution of that name; undefined if there is none. */
  get(name: string): ExecutionDetail | undefined;
  /** Waits until no execution runs. */
  idle(): Promise<void>;
  /** Stops running without ending executions: they go on after the next start. */
  close(): Promise<void>;
}

interface Outcome {
  readonly status: 'SUCCEEDED' | 'FAILED' | 'TIMED_OUT' | 'ABORTED';
  readonly output?: string;
  readonly error?: string | undefined;
  readonly cause?: string | undefined;
}

const endEvents = {
  SUCCEEDED: 'ExecutionSucceeded',
  FAILED: 'ExecutionFailed',
  TIMED_OUT: 'ExecutionTimedOut',
  ABORTED: 'ExecutionAborted',
} as const;

/** Throws an Error that names the machine and the state, for what the local stack cannot run. */
export function createStates(options: StatesOptions): States {
  const {
    template,
    clock,
    call,
    emit,
    retryTimeScale = 1,
    random = Math.random,
    log = console.error,
  } = options;
  const machines = readMachines(template);
  const store = openStore(options.dir);
  const runner = { clock, store, call, retryTimeScale, random };
  const running = new Map<number, { readonly controller: AbortController; readonly ended: Promise<void> }>();
  let closed = false;

  const announce = (machine: Machine, seq: number): void => {
    const execution = store.get(seq);
    const executionArn = executionArnOf(machine, execution.name);
    emit(statusEvent(execution, { executionArn, stateMachineArn: machine.arn }));
    // After a crash in between it is told again: at least once, as EventBridge promises no more.
    store.update(seq, { announced: execution.status });
  };

  const outcomeOf = async (
    machine: Machine,
    execution: Execution,
    signal: AbortSignal,
  ): Promise<Outcome | undefined> => {
    try {
      return { status: 'SUCCEEDED', output: await runExecution(runner, machine, execution, signal) };
    } catch (error) {
      if (error instanceof StateError) return { status: 'FAILED', error: error.error, cause: error.reason };
      if (!(error instanceof Stopped)) throw error;
      return error.status && { status: error.status, error: error.error, cause: error.reason };
    }
  };

  const end = (machine: Machine, { seq }: Execution, outcome: Outcome): void => {
    const now = clock.now();
    const { events } = store.get(seq);
    const { status, output, error, cause } = outcome;
    // A timeout has its error in the event alone; timeouts and aborts follow no event.
    const details =
      status === 'SUCCEEDED'
        ? { output, outputDetails: { truncated: false } }
        : status === 'TIMED_OUT'
          ? { error: 'States.Timeout' }
          : { error, cause };
    const previous = status === 'SUCCEEDED' || status === 'FAILED' ? events : 0;
    store.transaction(() => {
      const id = Math.min(events + 1, MAX_HISTORY_EVENTS);
      store.append(seq, historyEvent(id, previous, now, endEvents[status], details));
      store.update(seq, {
        status,
        stopDate: now,
        output: output ?? null,
        error: error ?? null,
        cause: cause ?? null,
      });
      if (status === 'SUCCEEDED') store.forgetIterations(seq);
    });
    announce(machine, seq);
  };

  const run = (machine: Machine, execution: Execution): void => {
    const controller = new AbortController();
    const { signal } = controller;
    const { TimeoutSeconds } = machine.definition;
    if (TimeoutSeconds !== undefined) {
      const until = (execution.redriveDate ?? execution.startDate) + TimeoutSeconds * 1000;
      waitUntil(clock, until, signal).then(
        () => controller.abort(new Stopped('TIMED_OUT')),
        () => {}, // It ended first.
      );
    }
    const work = async () => {
      try {
        const outcome = await outcomeOf(machine, execution, signal);
        if (outcome) end(machine, execution, outcome);
      } catch (error) {
        // A defect of the local stack, not of the workflow: leave the execution RUNNING, as a crash would.
        if (!closed) log(`execution ${execution.name}: ${(error as Error).stack}`);
      } finally {
        controller.abort(new Stopped());
        running.delete(execution.seq);
      }
    };
    running.set(execution.seq, { controller, ended: work() });
  };

  const machineOf = (execution: Execution): Machine | undefined =>
    machines.find(({ arn }) => arn === execution.machine);

  const createdAt = clock.now();
  const engine = createApi({
    machines,
    store,
    clock,
    createdAt,
    start(machine, { name, input, startDate }, replaced) {
      const { seq } = store.transaction(() => {
        if (replaced) store.remove(replaced.seq);
        const execution = store.insert({ machine: machine.arn, name, input, startDate });
        const details = { input, inputDetails: { truncated: false }, roleArn: machine.roleArn };
        store.append(execution.seq, historyEvent(1, 0, startDate, 'ExecutionStarted', details));
        store.countTransition(execution.seq);
        return execution;
      });
      run(machine, store.get(seq));
      announce(machine, seq);
    },
    async stop(_machine, { seq }, error, cause) {
      const current = running.get(seq);
      current?.controller.abort(new Stopped('ABORTED', error, cause));
      await current?.ended;
    },
    redrive(machine, { seq, events, redriveCount }, token) {
      const now = clock.now();
      store.transaction(() => {
        const details = { redriveCount: redriveCount + 1 };
        store.append(seq, historyEvent(events + 1, events, now, 'ExecutionRedriven', details));
        store.update(seq, {
          status: 'RUNNING',
          ...{ stopDate: null, error: null, cause: null },
          ...{ redriveCount: redriveCount + 1, redriveDate: now, redriveToken: token },
          stateEvent: events + 1,
        });
        store.countTransition(seq);
      });
      run(machine, store.get(seq));
      announce(machine, seq);
    },
  });

  return {
    engine,
    resume() {
      for (const execution of store.list({ limit: Number.MAX_SAFE_INTEGER, unfinished: true })) {
        const machine = machineOf(execution);
        if (!machine) continue;
        if (execution.announced !== execution.status) announce(machine, execution.seq);
        if (execution.status === 'RUNNING' && !running.has(execution.seq)) run(machine, execution);
      }
    },
    list({ limit = 50, before } = {}) {
      const found = store.list({ limit: Math.min(limit, 1000) + 1, before });
      const executions = found.slice(0, Math.min(limit, 1000));
      const next = found.length > executions.length ? executions.at(-1)?.seq : undefined;
      return { executions: executions.map(summaryOf), ...(next !== undefined && { next }) };
    },
    get(name) {
      const execution = machines
        .flatMap(({ arn }) => store.find(arn, name) ?? [])
        .sort((one, other) => other.seq - one.seq)[0];
      const machine = execution && machineOf(execution);
      return execution && machine && detailOf(machine, execution);
    },
    async idle() {
      while (running.size > 0) await Promise.all([...running.values()].map(({ ended }) => ended));
    },
    async close() {
      closed = true;
      const ending = [...running.values()];
      for (const { controller } of ending) controller.abort(new Stopped());
      await Promise.all(ending.map(({ ended }) => ended));
      store.close();
    },
  };

  function detailOf(machine: Machine, execution: Execution): ExecutionDetail {
    const { seq, input, output, cause, redriveDate, status } = execution;
    const events = store.events(seq, { from: 1, limit: MAX_HISTORY_EVENTS, reverse: false });
    return {
      ...summaryOf(execution),
      input,
      ...(output !== null && { output }),
      ...(cause !== null && { cause }),
      ...(redriveDate !== null && { redriveDate }),
      redrivable: whyNotRedrivable(execution, clock.now()) === undefined,
      definition: machine.definition,
      graph: graphOf(machine.definition),
      states: stateOverviews(machine.definition, events, status),
      events,
    };
  }
}

function summaryOf(execution: Execution): ExecutionSummary {
  const { machine, name, status, startDate, stopDate, error, redriveCount, transitions } = execution;
  return {
    executionArn: executionArnOf({ arn: machine }, name),
    stateMachineArn: machine,
    name,
    status,
    startDate,
    ...(stopDate !== null && { stopDate }),
    ...(error !== null && { error }),
    redriveCount,
    transitions,
  };
}
