/** Buses and rules of the template. */
import type { LocalTemplate, Resource } from '../types.ts';
import type { EventEnvelope } from './envelope.ts';
import { compilePattern, type Matcher } from './pattern.ts';
import { compileInput, type InputSettings } from './target-input.ts';

export interface Target {
  readonly id: string;
  readonly arn: string;
  /** Of a state machine: the role that EventBridge starts it as. */
  readonly role?: { readonly arn: string; readonly logicalId: string };
  /** How often Lambda tries an event again when the function fails. */
  readonly functionRetries: number;
  /** How often, and how long, EventBridge tries again when the target's service is out of reach. */
  readonly handOverRetries: number;
  readonly handOverMs: number;
  /** Queues for events that could not be handed over, and for those that the function failed on. */
  readonly deadLetterArn?: string;
  readonly functionDeadLetterArn?: string;
  readonly inputFor: (event: EventEnvelope) => unknown;
}

export interface Rule {
  readonly logicalId: string;
  readonly name: string;
  readonly arn: string;
  readonly bus: string;
  readonly enabled: boolean;
  readonly matches?: Matcher;
  /** Of a schedule: milliseconds between its runs. */
  readonly every?: number;
  readonly targets: readonly Target[];
}

const unitMs: Readonly<Record<string, number>> = { minute: 60_000, hour: 3_600_000, day: 86_400_000 };

/** `rate(5 minutes)` in milliseconds. Throws an Error for anything else. */
export function parseRate(expression: string): number {
  const [, count = '', unit = ''] = /^rate\(([1-9]\d*) (minutes?|hours?|days?)\)$/.exec(expression) ?? [];
  const ms = unitMs[unit.replace(/s$/, '')];
  // AWS is strict about it: "If the value is equal to 1, then the unit must be singular."
  if (ms === undefined || (count === '1') === unit.endsWith('s')) {
    throw new Error(
      `the schedule ${expression} is not supported by the local stack: use rate(5 minutes) and the like`,
    );
  }
  return Number(count) * ms;
}

/** Throws an Error that names the rule and what is not supported locally. */
export function readRules(template: LocalTemplate): Rule[] {
  const buses = new Set([
    'default',
    ...template.byType('AWS::Events::EventBus').map(({ physicalId }) => physicalId),
  ]);
  return template.byType('AWS::Events::Rule').map((resource) => {
    try {
      const rule = readRule(template, resource);
      if (!buses.has(rule.bus)) throw new Error(`its bus ${rule.bus} is not in the template`);
      return rule;
    } catch (cause) {
      throw new Error(`${resource.logicalId}: ${(cause as Error).message}`, { cause });
    }
  });
}

function readRule(template: LocalTemplate, resource: Resource): Rule {
  const {
    EventPattern,
    ScheduleExpression,
    State = 'ENABLED',
    Targets = [],
    EventBusName,
  } = resource.properties;
  const arn = resource.arn ?? '';
  const name = arn.slice(arn.lastIndexOf('/') + 1);
  const bus = String(EventBusName ?? 'default')
    .split('/')
    .at(-1) as string;
  if (EventPattern === undefined && ScheduleExpression === undefined) {
    throw new Error('a rule needs an EventPattern or a ScheduleExpression');
  }
  const targets = (Targets as Record<string, unknown>[]).map((target) => {
    try {
      return readTarget(template, target, { ruleArn: arn, ruleName: name });
    } catch (cause) {
      throw new Error(`target ${String(target['Id'])}: ${(cause as Error).message}`, { cause });
    }
  });
  return {
    logicalId: resource.logicalId,
    ...{ name, arn, bus, targets },
    enabled: State !== 'DISABLED',
    ...(EventPattern !== undefined && { matches: compilePattern(EventPattern) }),
    ...(ScheduleExpression !== undefined && { every: parseRate(String(ScheduleExpression)) }),
  };
}

const targetFields: readonly string[] = [
  ...['Id', 'Arn', 'RoleArn', 'Input', 'InputPath', 'InputTransformer', 'RetryPolicy', 'DeadLetterConfig'],
];
/** What EventBridge does where the target has no RetryPolicy. */
const defaultRetryPolicy = { MaximumRetryAttempts: 185, MaximumEventAgeInSeconds: 86_400 };

function readTarget(
  template: LocalTemplate,
  target: Readonly<Record<string, unknown>>,
  rule: { readonly ruleArn: string; readonly ruleName: string },
): Target {
  const unknown = Object.keys(target).filter((field) => !targetFields.includes(field));
  if (unknown.length > 0) throw new Error(`${unknown.join(', ')} is not supported by the local stack`);
  const arn = String(target['Arn']);
  const policy = { ...defaultRetryPolicy, ...(target['RetryPolicy'] as Partial<typeof defaultRetryPolicy>) };
  const { Arn: deadLetterArn } = (target['DeadLetterConfig'] ?? {}) as { Arn?: string };
  const common = {
    id: String(target['Id']),
    arn,
    inputFor: compileInput(target as InputSettings, rule),
    handOverRetries: policy.MaximumRetryAttempts,
    handOverMs: policy.MaximumEventAgeInSeconds * 1000,
    ...(deadLetterArn !== undefined && { deadLetterArn }),
  };
  const fn = template.byType('AWS::Lambda::Function').find((candidate) => candidate.arn === arn);
  if (fn) {
    const config = template
      .byType('AWS::Lambda::EventInvokeConfig')
      .find(
        ({ properties }) =>
          properties['FunctionName'] === fn.physicalId || properties['FunctionName'] === arn,
      );
    // "Lambda retries function errors twice" unless told otherwise.
    const { TargetArn } = (fn.properties['DeadLetterConfig'] ?? {}) as { TargetArn?: string };
    return {
      ...common,
      functionRetries: Number(config?.properties['MaximumRetryAttempts'] ?? 2),
      ...(TargetArn !== undefined && { functionDeadLetterArn: TargetArn }),
    };
  }
  if (template.byType('AWS::StepFunctions::StateMachine').some((candidate) => candidate.arn === arn)) {
    const roleArn = String(target['RoleArn'] ?? '');
    const role = template.byType('AWS::IAM::Role').find((candidate) => candidate.arn === roleArn);
    if (!role) throw new Error('a state machine as a target needs a RoleArn of the template');
    return { ...common, role: { arn: roleArn, logicalId: role.logicalId }, functionRetries: 0 };
  }
  throw new Error(`${arn} is neither a function nor a state machine of the template`);
}
