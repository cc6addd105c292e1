/** Brings accepted events to their targets. */
import { randomUUID } from 'node:crypto';
import type { CallAws } from '../states/integrations.ts';
import { interruptible, pause } from '../states/waiting.ts';
import type { Delivery, EventLog, LoggedEvent } from './log.ts';
import type { Rule, Target } from './rules.ts';
import { createShuffle } from './shuffle.ts';

export interface DeliveriesOptions {
  readonly rules: readonly Rule[];
  readonly eventLog: EventLog;
  readonly call: CallAws;
  /** Pauses before the second try, the third …; the last one goes on. */
  readonly retryDelaysMs: readonly number[];
  readonly now: () => number;
  readonly deadLetter: (letter: DeadLetter) => void;
  readonly log: (line: string) => void;
}

/** An event that was given up, where its target or its function has a queue for that. */
export interface DeadLetter {
  readonly queueArn: string;
  /** Who sends it: EventBridge for the rule, or Lambda as the function. */
  readonly from: 'events' | 'lambda';
  readonly ruleArn: string;
  readonly targetArn: string;
  /** What the target was to receive. */
  readonly input: unknown;
  readonly reason: string;
}

export interface Deliveries {
  /** A seed: from now on deliveries are held back for a moment and go out in random order. */
  shuffle(seed: number | undefined): void;
  /** Brings an event to all targets that it is pending for; resolves when that is over. Never rejects. */
  deliver(logged: LoggedEvent): Promise<void>;
  /** Waits until nothing is being delivered. */
  idle(): Promise<void>;
  /** Stops; what is not delivered stays pending. */
  close(): Promise<void>;
}

/** Why a try failed. `refused`: for good. `unreachable`: the target's service. `failed`: the function itself. */
interface Failure {
  readonly kind: 'refused' | 'unreachable' | 'failed';
  readonly reason: string;
}

export function createDeliveries(options: DeliveriesOptions): Deliveries {
  const { rules, eventLog, call, retryDelaysMs, now, deadLetter, log } = options;
  const underway = new Set<Promise<void>>();
  const inFlight = new Set<number>();
  const closing = new AbortController();
  const { signal } = closing;
  let shuffled: ReturnType<typeof createShuffle> | undefined;

  const deliverOne = async (logged: LoggedEvent, delivery: Delivery): Promise<void> => {
    const { id } = delivery;
    const rule = rules.find(({ arn }) => arn === delivery.rule);
    const target = rule?.targets.find((one) => one.id === delivery.target);
    if (!rule || !target) {
      const reason = 'the rule or its target is no longer in the template';
      eventLog.update(id, { status: 'dead', attempts: delivery.attempts, reason });
      return;
    }
    const input = target.inputFor(logged.event);
    for (let attempts = delivery.attempts + 1; ; attempts += 1) {
      await shuffled?.();
      if (signal.aborted) return;
      const failure = await interruptible(handOver(call, rule, target, input, logged.event.id), signal).catch(
        (error: Error): Failure => ({ kind: 'unreachable', reason: error.message }),
      );
      if (signal.aborted) return;
      if (!failure) {
        eventLog.update(id, { status: 'delivered', attempts, reason: null });
        return;
      }
      const { kind, reason } = failure;
      const retries = { refused: 0, unreachable: target.handOverRetries, failed: target.functionRetries }[
        kind
      ];
      const tooOld = kind === 'unreachable' && now() - Date.parse(logged.event.time) > target.handOverMs;
      const over = attempts > retries || tooOld;
      eventLog.update(id, { status: over ? 'dead' : 'pending', attempts, reason });
      if (over) {
        log(`rule ${rule.name}: gave up on event ${logged.event.id}: ${reason}`);
        const from = kind === 'failed' ? 'lambda' : 'events';
        const queueArn = kind === 'failed' ? target.functionDeadLetterArn : target.deadLetterArn;
        if (queueArn) deadLetter({ queueArn, from, ruleArn: rule.arn, targetArn: target.arn, input, reason });
        return;
      }
      await pause(retryDelaysMs[attempts - 1] ?? retryDelaysMs.at(-1) ?? 0, signal);
    }
  };

  const idle = async () => {
    while (underway.size > 0) await Promise.all(underway);
  };

  return {
    shuffle(seed) {
      shuffled = seed === undefined ? undefined : createShuffle(seed, signal);
    },
    deliver(logged) {
      const pending = logged.deliveries.filter(({ id, status }) => status === 'pending' && !inFlight.has(id));
      const one = async (delivery: Delivery) => {
        inFlight.add(delivery.id);
        await deliverOne(logged, delivery).finally(() => inFlight.delete(delivery.id));
      };
      const over = Promise.all(pending.map(one))
        .then(() => {})
        .finally(() => underway.delete(over));
      underway.add(over);
      return over;
    },
    idle,
    async close() {
      closing.abort(new Error('the local stack is stopping'));
      await idle();
    },
  };
}

/** One try; undefined if the target took the event. */
async function handOver(
  call: CallAws,
  rule: Rule,
  target: Target,
  input: unknown,
  eventId: string,
): Promise<Failure | undefined> {
  const { role, arn } = target;
  const { status, body } = role
    ? await call(
        'states',
        'StartExecution',
        // EventBridge makes such names: an event that is delivered twice starts two executions.
        { stateMachineArn: arn, name: `${eventId}_${randomUUID()}`, input: JSON.stringify(input) },
        { kind: 'role', roleLogicalId: role.logicalId, roleArn: role.arn },
      )
    : await call(
        'lambda',
        'Invoke',
        { FunctionName: arn, Payload: input },
        { kind: 'service', service: 'events.amazonaws.com', sourceArn: rule.arn },
      );
  if (status >= 400) {
    const { __type = 'Unknown', message = `status ${status}`, Message = message } = body;
    const passing = status >= 500 || status === 429;
    return { kind: passing ? 'unreachable' : 'refused', reason: `${String(__type)}: ${String(Message)}` };
  }
  return body['FunctionError'] ? { kind: 'failed', reason: JSON.stringify(body['Payload']) } : undefined;
}
