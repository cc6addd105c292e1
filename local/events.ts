/**
 * EventBridge on this machine: the template's buses and rules, with patterns, schedules and targets.
 *
 * An event that was accepted is delivered to every target at least once, in no order, also after a SIGKILL: it is on
 * disk before PutEvents answers, and a delivery counts as done when the target has taken it. For a function that
 * means that it ran: Lambda's queue of asynchronous events, with its retries, is part of the delivery here, because
 * the one in the function pool does not outlive the process.
 */
import { createDeliveries, type DeadLetter } from './events/deliveries.ts';
import { type EventEnvelope, envelopeOf, type ServiceEvent } from './events/envelope.ts';
import { type DeliveryStatus, type LoggedEvent, openEventLog } from './events/log.ts';
import { readEntries } from './events/put-events.ts';
import { type Rule, readRules } from './events/rules.ts';
import type { CallAws } from './states/integrations.ts';
import { AwsError, type Clock, type JsonEngine, type LocalTemplate } from './types.ts';

export type { DeadLetter } from './events/deliveries.ts';
export type { EventEnvelope, ServiceEvent } from './events/envelope.ts';
export type { DeliveryStatus } from './events/log.ts';

export interface EventsOptions {
  readonly template: LocalTemplate;
  /** Events are kept in `<dir>/events.sqlite`. */
  readonly dir: string;
  readonly clock: Clock;
  /** Invokes functions (as `events.amazonaws.com`, for the rule) and starts executions (as the target's role). */
  readonly call: CallAws;
  /** Pauses before an event is tried again, in ms; Lambda waits a minute, then two. @default [1000, 2000] */
  readonly retryDelaysMs?: readonly number[];
  /** Takes events that were given up, where a DeadLetterConfig names a queue. @default they are only in `dead()` */
  readonly deadLetter?: (letter: DeadLetter) => void;
  /** How often schedules look at the stack's clock, in ms of real time; 0 for never. @default 1000 */
  readonly lookEveryMs?: number;
  /** Told of deliveries that were given up, one line. @default console.error */
  readonly log?: (line: string) => void;
}

/** One delivery of `GET /_local/events`. */
export interface DeliveryView {
  /** The rule's name. */
  readonly rule: string;
  /** The target's ARN. */
  readonly target: string;
  readonly status: DeliveryStatus;
  readonly attempts: number;
  /** Why it was given up, or what the last try failed with. */
  readonly reason?: string;
}

/** One event of `GET /_local/events`. */
export interface EventView {
  readonly seq: number;
  readonly bus: string;
  readonly event: EventEnvelope;
  /** Names of the rules. */
  readonly matchedRules: readonly string[];
  readonly deliveries: readonly DeliveryView[];
}

/** What EventBridge may do at any time, to be provoked. */
export interface Disorder {
  /** Every event is delivered twice. @default false */
  readonly duplicate?: boolean;
  /** A seed: deliveries are held back for a moment and go out in random order. @default in order */
  readonly shuffle?: number;
}

export interface Events {
  readonly engine: JsonEngine;
  /** Puts an AWS service's own event on the default bus. It is on disk when this returns. */
  emit(event: ServiceEvent): void;
  /** Delivers what the last process left undelivered. Call it once, when the front door answers. */
  resume(): void;
  /**
   * Runs a schedule now, by its rule's logical id or name; its deliveries, when they are over.
   *
   * @throws AwsError ResourceNotFoundException (404)
   */
  runSchedule(name: string): Promise<readonly DeliveryView[]>;
  /** From now on; replaces what was set before. */
  disturb(disorder: Disorder): void;
  /** Starts the schedules that are due, each once; their names. Also done every `lookEveryMs`. */
  runDueSchedules(): readonly string[];
  /** For `GET /_local/events?after=`: oldest first, 1,000 at most. */
  list(page?: { readonly after?: number; readonly limit?: number }): {
    readonly events: readonly EventView[];
  };
  /** Events with a delivery that was given up, where EventBridge would use a dead-letter queue. */
  dead(): readonly EventView[];
  /** Waits until nothing is being delivered. */
  idle(): Promise<void>;
  /** Stops delivering; what is undelivered waits for the next start. */
  close(): Promise<void>;
}

/** Throws an Error that names the rule and what the local stack does not support. */
export function createEvents(options: EventsOptions): Events {
  const {
    template,
    clock,
    call,
    retryDelaysMs = [1000, 2000],
    lookEveryMs = 1000,
    log = console.error,
  } = options;
  const rules = readRules(template);
  const eventLog = openEventLog(options.dir);
  const { deadLetter = () => {} } = options;
  const now = () => clock.now();
  const deliveries = createDeliveries({ rules, eventLog, call, retryDelaysMs, now, deadLetter, log });
  let duplicate = false;

  /** Keeps an event and starts to deliver it. */
  const accept = (bus: string, event: EventEnvelope, matching: readonly Rule[]) => {
    const targets = matching.flatMap(({ arn, targets }) =>
      targets.map(({ id }) => ({ rule: arn, target: id })),
    );
    const logged = eventLog.add(bus, event, duplicate ? [...targets, ...targets] : targets);
    return { logged, over: deliveries.deliver(logged) };
  };

  const put = (bus: string, event: ServiceEvent, at = clock.now()): string => {
    const envelope = envelopeOf(event, template, at);
    const matching = rules.filter((rule) => rule.enabled && rule.bus === bus && rule.matches?.(envelope));
    void accept(bus, envelope, matching).over;
    return envelope.id;
  };

  const startSchedule = (rule: Rule) => {
    const event = { source: 'aws.events', detailType: 'Scheduled Event', resources: [rule.arn], detail: {} };
    return accept('default', envelopeOf(event, template, clock.now()), [rule]);
  };

  const nextRun = new Map(
    rules.map(({ arn, every = Number.POSITIVE_INFINITY }) => [arn, clock.now() + every]),
  );
  const runDueSchedules = (): string[] => {
    const now = clock.now();
    const due = rules.filter(
      ({ arn, enabled }) => enabled && (nextRun.get(arn) ?? Number.POSITIVE_INFINITY) <= now,
    );
    for (const rule of due) {
      // From now on, not from when it was due: a clock that was advanced by days makes up for nothing.
      nextRun.set(rule.arn, now + (rule.every ?? Number.POSITIVE_INFINITY));
      void startSchedule(rule).over;
    }
    return due.map(({ name }) => name);
  };
  const timer = lookEveryMs > 0 ? setInterval(runDueSchedules, lookEveryMs) : undefined;
  timer?.unref();

  const view = ({ seq, bus, event, deliveries: all }: LoggedEvent): EventView => ({
    ...{ seq, bus, event },
    matchedRules: [...new Set(all.map(({ rule }) => nameOf(rule)))],
    deliveries: all.map(({ rule, target, status, attempts, reason }) => ({
      rule: nameOf(rule),
      target: rules.find(({ arn }) => arn === rule)?.targets.find(({ id }) => id === target)?.arn ?? target,
      ...{ status, attempts },
      ...(reason !== null && { reason }),
    })),
  });

  return {
    async engine(operation, input) {
      if (operation !== 'PutEvents') {
        throw new AwsError('UnknownOperationException', `The local stack's EventBridge has no ${operation}.`);
      }
      // An event for a bus that is not there gets its id and goes nowhere, as on AWS.
      const Entries = readEntries(input).map((entry) =>
        'ErrorCode' in entry ? entry : { EventId: put(entry.bus, entry.event, entry.at) },
      );
      const FailedEntryCount = Entries.filter((entry) => 'ErrorCode' in entry).length;
      return { status: 200, body: { FailedEntryCount, Entries } };
    },
    emit: (event) => void put('default', event),
    resume() {
      for (const logged of eventLog.pending()) void deliveries.deliver(logged);
    },
    async runSchedule(name) {
      const rule = rules.find(
        (one) => one.every !== undefined && (one.logicalId === name || one.name === name),
      );
      if (!rule) throw new AwsError('ResourceNotFoundException', `There is no schedule ${name}.`, 404);
      const { logged, over } = startSchedule(rule);
      await over;
      return eventLog.list(logged.seq - 1, 1).flatMap((done) => view(done).deliveries);
    },
    disturb(disorder) {
      duplicate = disorder.duplicate ?? false;
      deliveries.shuffle(disorder.shuffle);
    },
    runDueSchedules,
    list: ({ after = 0, limit = 1000 } = {}) => ({
      events: eventLog.list(after, Math.min(limit, 1000)).map(view),
    }),
    dead: () => eventLog.dead().map(view),
    idle: () => deliveries.idle(),
    async close() {
      clearInterval(timer);
      await deliveries.close();
      eventLog.close();
    },
  };
}

const nameOf = (ruleArn: string): string => ruleArn.slice(ruleArn.lastIndexOf('/') + 1);
