/** What the console page shows of executions: made from the definition and the history. */
import type { Definition, State, States, StateType } from './definition.ts';
import type { HistoryEvent } from './history.ts';
import type { ExecutionStatus } from './store.ts';

/** One line of `GET /_local/executions`. Times are milliseconds since the epoch. */
export interface ExecutionSummary {
  readonly executionArn: string;
  readonly stateMachineArn: string;
  readonly name: string;
  readonly status: ExecutionStatus;
  readonly startDate: number;
  readonly stopDate?: number;
  readonly error?: string;
  readonly redriveCount: number;
  /** As AWS bills them: each state entered, each retry, the start, each redrive. */
  readonly transitions: number;
}

/** The body of `GET /_local/executions`, newest first; `next` is the `before` of the next page. */
export interface ExecutionPage {
  readonly executions: readonly ExecutionSummary[];
  readonly next?: number;
}

export type StateStatus = 'waiting' | 'running' | 'succeeded' | 'caught' | 'failed' | 'aborted';

/** A state of the definition and what became of it. States inside a Map stand for all its iterations. */
export interface StateOverview {
  readonly name: string;
  readonly type: StateType;
  /** `caught`: it failed and its Catch led on. */
  readonly status: StateStatus;
  /** The Map that it is in. */
  readonly map?: string;
  /** Milliseconds since the epoch: entered first, left last. */
  readonly entered?: number;
  readonly exited?: number;
  /** How often its work was begun, over all iterations; states without work count their entries. */
  readonly tries: number;
  /** JSON, of the last time. */
  readonly input?: string;
  readonly output?: string;
  /** Of the last try that failed, also where a later one succeeded. */
  readonly error?: string;
  readonly cause?: string;
  /** Of a Map. */
  readonly iterations?: {
    readonly total: number;
    readonly running: number;
    readonly succeeded: number;
    readonly failed: number;
    readonly aborted: number;
  };
}

/** An arrow of the graph. */
export interface GraphTransition {
  readonly from: string;
  readonly to: string;
  /** The errors of a Catch, `default` of a Choice; absent for plain Next. */
  readonly label?: string;
}

/** The body of `GET /_local/executions/{name}`. */
export interface ExecutionDetail extends ExecutionSummary {
  readonly input: string;
  readonly output?: string;
  readonly cause?: string;
  readonly redriveDate?: number;
  readonly redrivable: boolean;
  readonly definition: Definition;
  readonly graph: { readonly startAt: string; readonly transitions: readonly GraphTransition[] };
  /** In the definition's order; those inside a Map after it. */
  readonly states: readonly StateOverview[];
  readonly events: readonly HistoryEvent[];
}

interface Placed {
  readonly name: string;
  readonly state: State;
  readonly map?: string;
}

function placedStates(states: States, map?: string): Placed[] {
  return Object.entries(states.States).flatMap(([name, state]) => {
    const inner = state.ItemProcessor ?? state.Iterator;
    return [{ name, state, ...(map !== undefined && { map }) }, ...(inner ? placedStates(inner, name) : [])];
  });
}

/** The arrows between states, those inside Maps too. */
export function graphOf(definition: Definition): ExecutionDetail['graph'] {
  const transitions = placedStates(definition).flatMap(({ name: from, state }) => [
    ...(state.Next === undefined ? [] : [{ from, to: state.Next }]),
    ...(state.Choices ?? []).map(({ Next }) => ({ from, to: String(Next) })),
    ...(state.Default === undefined ? [] : [{ from, to: state.Default, label: 'default' }]),
    ...(state.Catch ?? []).map(({ Next, ErrorEquals }) => ({
      from,
      to: Next,
      label: ErrorEquals.join(', '),
    })),
  ]);
  return { startAt: definition.StartAt, transitions };
}

type Tally = {
  -readonly [Field in keyof Omit<StateOverview, 'iterations' | 'tries' | 'status'>]: StateOverview[Field];
} & {
  status: StateStatus;
  entries: number;
  begun: number;
  open: number;
  total?: number;
  iterations: Map<number, 'running' | 'succeeded' | 'failed' | 'aborted'>;
};

/** Each state's story, by the history. `status` is the execution's. */
export function stateOverviews(
  definition: Definition,
  events: readonly HistoryEvent[],
  status: ExecutionStatus,
): StateOverview[] {
  const placed = placedStates(definition);
  const tallies = new Map(placed.map((state) => [state.name, emptyTally(state)]));
  // Most events do not name their state: it is the one of the event that they follow.
  const stateOf = new Map<number, string>();
  let topLevel: string | undefined;
  for (const event of events) {
    const details = detailsOf(event);
    const named = typeof details['name'] === 'string' ? details['name'] : undefined;
    const name =
      named ?? (event.type === 'ExecutionRedriven' ? topLevel : stateOf.get(event.previousEventId));
    if (name === undefined) continue;
    stateOf.set(event.id, name);
    const tally = tallies.get(name);
    if (!tally) continue;
    if (event.type.endsWith('StateEntered') && tally.map === undefined) topLevel = name;
    apply(tally, event, details);
  }
  return [...tallies.values()].map((tally) => finish(tally, status));
}

const emptyTally = ({ name, state, map }: Placed): Tally => ({
  name,
  type: state.Type,
  status: 'waiting',
  ...(map !== undefined && { map }),
  entries: 0,
  begun: 0,
  open: 0,
  iterations: new Map(),
});

const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

function detailsOf(event: HistoryEvent): Readonly<Record<string, unknown>> {
  const key = Object.keys(event).find((name) => name.endsWith('EventDetails'));
  return key === undefined
    ? {}
    : ((event as unknown as Record<string, Readonly<Record<string, unknown>>>)[key] ?? {});
}

function apply(
  tally: Tally,
  { type, timestamp }: HistoryEvent,
  details: Readonly<Record<string, unknown>>,
): void {
  const at = Math.round(timestamp * 1000);
  if (type.endsWith('StateEntered')) {
    tally.entered ??= at;
    tally.entries += 1;
    tally.open += 1;
    tally.status = 'running';
    set(tally, 'input', text(details['input']));
    return;
  }
  if (type.endsWith('StateExited')) {
    const caught = tally.status === 'failed';
    tally.open -= 1;
    tally.exited = at;
    tally.status = tally.open > 0 ? 'running' : caught ? 'caught' : 'succeeded';
    set(tally, 'output', text(details['output']));
    return;
  }
  switch (type) {
    case 'TaskScheduled':
    case 'LambdaFunctionScheduled':
      tally.begun += 1;
      tally.status = 'running';
      return;
    case 'MapStateStarted':
      tally.begun += 1;
      tally.status = 'running';
      tally.total = Number(details['length'] ?? 0);
      return;
    case 'MapStateFailed':
    case 'TaskFailed':
    case 'TaskTimedOut':
    case 'LambdaFunctionFailed':
    case 'LambdaFunctionTimedOut':
      tally.status = 'failed';
      set(tally, 'error', text(details['error']));
      set(tally, 'cause', text(details['cause']));
      return;
    case 'TaskSucceeded':
    case 'LambdaFunctionSucceeded':
      tally.status = 'running';
      return;
    case 'TaskStateAborted':
      tally.open -= 1;
      tally.status = 'aborted';
      return;
  }
  const outcome = /^MapIteration(Started|Succeeded|Failed|Aborted)$/.exec(type)?.[1];
  if (outcome) {
    const index = Number(details['index']);
    const now = { Started: 'running', Succeeded: 'succeeded', Failed: 'failed', Aborted: 'aborted' } as const;
    tally.iterations.set(index, now[outcome as keyof typeof now]);
  }
}

function set<Key extends 'input' | 'output' | 'error' | 'cause'>(
  tally: Tally,
  key: Key,
  value: string | undefined,
) {
  if (value === undefined) delete tally[key];
  else tally[key] = value;
}

function finish(tally: Tally, execution: ExecutionStatus): StateOverview {
  const { entries, begun, open, total, iterations, ...overview } = tally;
  let { status } = tally;
  // What was under way when the execution ended did not end well.
  if (open > 0 && status === 'running' && execution !== 'RUNNING') {
    status = execution === 'FAILED' ? 'failed' : 'aborted';
  }
  const count = (wanted: string) => [...iterations.values()].filter((outcome) => outcome === wanted).length;
  return {
    ...overview,
    status,
    tries: begun || entries,
    ...(total !== undefined && {
      iterations: {
        total,
        running: execution === 'RUNNING' ? count('running') : 0,
        succeeded: count('succeeded'),
        failed: count('failed'),
        aborted: count('aborted') + (execution === 'RUNNING' ? 0 : count('running')),
      },
    }),
  };
}
