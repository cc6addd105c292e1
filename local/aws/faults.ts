/** Which faults strike which calls: rules in order, each with its own count and its own seeded dice. */
import type { AwsCall, FaultRule } from '../types.ts';

/** What fault rules look at. */
export interface Target {
  readonly service: AwsCall['service'];
  readonly operation: string;
  /** A function's short name, `client` or `workflow`; undefined for AWS services themselves. */
  readonly caller: string | undefined;
  /** Whether a function's worker thread makes the call, which a kill rule needs. */
  readonly killable: boolean;
  readonly resource: string;
  /** What is asked, as text; made only where a rule looks at it. */
  readonly input?: (() => string) | undefined;
}

/** All delays of the matching rules together, and the first other action among them. */
export interface Strike {
  readonly delayMs: number;
  readonly action: Exclude<FaultRule['action'], { kind: 'delay' }> | undefined;
  /** For the call log: for example `kill before`. */
  readonly label: string | undefined;
}

export interface RuleState {
  readonly rule: FaultRule;
  /** Matching calls so far. */
  readonly seen: number;
  /** Calls that the rule struck. */
  readonly struck: number;
}

export interface Faults {
  /** Replaces all rules; counts start anew. Throws a RangeError for a rule that can never work. */
  set(rules: readonly FaultRule[]): void;
  list(): readonly RuleState[];
  strike(target: Target): Strike;
}

const none: Strike = { delayMs: 0, action: undefined, label: undefined };

/** mulberry32: small, and the same on every machine. */
const dice = (seed: number): (() => number) => {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
};

/** The operations that an action is for, where it is not for all. */
const strikable = (action: FaultRule['action']): readonly string[] | undefined => {
  if (action.kind === 'late-error') return ['CompleteMultipartUpload'];
  if (action.kind === 'partial') return ['DeleteObjects', 'PutEvents', 'BatchWriteItem'];
  return action.kind === 'cut' && action.when === 'midway'
    ? ['GetObject', 'PutObject', 'UploadPart']
    : undefined;
};

const matches = (rule: FaultRule, target: Target): boolean =>
  (rule.service === undefined || rule.service === target.service) &&
  (rule.operation === undefined || rule.operation === target.operation) &&
  (rule.caller === undefined || rule.caller === target.caller) &&
  (rule.resource === undefined || target.resource.includes(rule.resource)) &&
  (rule.input === undefined || (target.input?.().includes(rule.input) ?? false)) &&
  (rule.action.kind !== 'kill' || target.killable) &&
  (strikable(rule.action)?.includes(target.operation) ?? true);

const labelOf = (action: FaultRule['action']): string => {
  switch (action.kind) {
    case 'kill':
    case 'cut':
      return `${action.kind} ${action.when}`;
    case 'fail':
    case 'late-error':
    case 'partial':
      return `${action.kind} ${action.code}`;
    case 'delay':
      return `delay ${action.ms}`;
  }
};

const fields = [
  'id',
  'service',
  'operation',
  'caller',
  'resource',
  'input',
  'skip',
  'times',
  'probability',
  'seed',
  'action',
];

/** A misspelt rule would match nothing, or everything, and the test that set it could not fail. */
const check = (rule: FaultRule): void => {
  const complain = (what: string): never => {
    throw new RangeError(`fault rule ${rule.id ?? JSON.stringify(rule)}: ${what}`);
  };
  for (const name of Object.keys(rule)) if (!fields.includes(name)) complain(`${name} is not a field`);
  const { action, probability = 1, skip = 0, times = 1 } = rule;
  if (!(probability >= 0 && probability <= 1)) complain('probability is from 0 to 1');
  if (!(skip >= 0) || !(times >= 0)) complain('skip and times are not negative');
  switch (action?.kind) {
    case 'kill':
      if (!['before', 'after'].includes(action.when)) complain('when is before or after');
      return;
    case 'cut':
      if (!['before', 'midway', 'after'].includes(action.when)) complain('when is before, midway or after');
      return;
    case 'fail':
      if (!(action.status >= 400 && action.status < 600) || !action.code)
        complain('fail needs a status and a code');
      return;
    case 'delay':
      if (!(action.ms >= 0)) complain('ms is not negative');
      return;
    case 'late-error':
    case 'partial':
      if (!action.code) complain(`${action.kind} needs a code`);
      return;
    default:
      complain('action.kind is kill, fail, delay, cut, late-error or partial');
  }
};

export const createFaults = (): Faults => {
  let states: { rule: FaultRule; seen: number; struck: number; roll: () => number }[] = [];
  return {
    set(rules) {
      for (const rule of rules) check(rule);
      states = rules.map((rule) => ({ rule, seen: 0, struck: 0, roll: dice(rule.seed ?? 1) }));
    },
    list: () => states.map(({ rule, seen, struck }) => ({ rule, seen, struck })),
    strike(target) {
      if (states.length === 0) return none;
      let delayMs = 0;
      const labels: string[] = [];
      for (const state of states) {
        const { rule } = state;
        if (!matches(rule, target)) continue;
        state.seen += 1;
        if (state.seen <= (rule.skip ?? 0)) continue;
        const times = rule.times ?? 1;
        if (times > 0 && state.struck >= times) continue;
        if (state.roll() >= (rule.probability ?? 1)) continue;
        state.struck += 1;
        labels.push(labelOf(rule.action));
        if (rule.action.kind === 'delay') delayMs += rule.action.ms;
        else return { delayMs, action: rule.action, label: labels.join(', ') };
      }
      return labels.length === 0 ? none : { delayMs, action: undefined, label: labels.join(', ') };
    },
  };
};
