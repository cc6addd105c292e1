/** State machines of the template: their definitions, read and checked for what the local stack can run. */
import type { LocalTemplate, Resource } from '../types.ts';
import type { Retrier } from './errors.ts';
import { integrationOf } from './integrations.ts';

export type StateType = 'Task' | 'Map' | 'Pass' | 'Wait' | 'Choice' | 'Succeed' | 'Fail';

export interface Catcher {
  readonly ErrorEquals: readonly string[];
  readonly Next: string;
  readonly ResultPath?: string | null;
}

export interface ChoiceRule {
  readonly Next?: string;
  readonly [operator: string]: unknown;
}

/** A state of the States Language (JSONPath), the fields of all types together; which are allowed is checked. */
export interface State {
  readonly Type: StateType;
  readonly Comment?: string;
  readonly Next?: string;
  readonly End?: boolean;
  readonly InputPath?: string | null;
  readonly OutputPath?: string | null;
  readonly ResultPath?: string | null;
  readonly Parameters?: unknown;
  readonly ResultSelector?: unknown;
  readonly Retry?: readonly Retrier[];
  readonly Catch?: readonly Catcher[];
  readonly Resource?: string;
  readonly TimeoutSeconds?: number;
  readonly TimeoutSecondsPath?: string;
  readonly Result?: unknown;
  readonly Seconds?: number;
  readonly SecondsPath?: string;
  readonly Timestamp?: string;
  readonly TimestampPath?: string;
  readonly Choices?: readonly ChoiceRule[];
  readonly Default?: string;
  readonly Error?: string;
  readonly ErrorPath?: string;
  readonly Cause?: string;
  readonly CausePath?: string;
  readonly ItemsPath?: string;
  readonly ItemSelector?: unknown;
  readonly MaxConcurrency?: number;
  readonly MaxConcurrencyPath?: string;
  readonly ItemProcessor?: States;
  readonly Iterator?: States;
}

/** A set of states with a start: the machine itself, or what a Map runs for each item. */
export interface States {
  readonly Comment?: string;
  readonly StartAt: string;
  readonly States: Readonly<Record<string, State>>;
}

export interface Definition extends States {
  /** Seconds that an execution may run. */
  readonly TimeoutSeconds?: number;
}

/** One state machine of the template. */
export interface Machine {
  readonly arn: string;
  readonly name: string;
  readonly roleArn: string;
  readonly roleLogicalId: string;
  /** As deployed: the substitutions are made. */
  readonly definition: Definition;
}

const flow = ['Type', 'Comment', 'Next', 'End', 'InputPath', 'OutputPath'];
const results = ['Parameters', 'ResultSelector', 'ResultPath', 'Retry', 'Catch'];
/** Everything that is run locally. Another field is an error: a machine must not behave otherwise than on AWS. */
const allowedFields: Readonly<Record<StateType, readonly string[]>> = {
  Task: [...flow, ...results, 'Resource', 'TimeoutSeconds', 'TimeoutSecondsPath'],
  Map: [
    ...flow,
    ...results,
    ...['ItemsPath', 'ItemSelector', 'MaxConcurrency', 'MaxConcurrencyPath', 'ItemProcessor', 'Iterator'],
  ],
  Pass: [...flow, 'Parameters', 'ResultPath', 'Result'],
  Wait: [...flow, 'Seconds', 'SecondsPath', 'Timestamp', 'TimestampPath'],
  Choice: ['Type', 'Comment', 'InputPath', 'OutputPath', 'Choices', 'Default'],
  Succeed: ['Type', 'Comment', 'InputPath', 'OutputPath'],
  Fail: ['Type', 'Comment', 'Error', 'ErrorPath', 'Cause', 'CausePath'],
};

const contextFields =
  /^\$\$\.(Execution\.(Id|Name|Input|RoleArn|StartTime|RedriveCount|RedriveTime)|State\.(Name|EnteredTime|RetryCount)|StateMachine\.(Id|Name)|Map\.Item\.(Index|Value))(?![A-Za-z0-9_])/;

/** The template's state machines. Throws, naming the machine and the state, on anything not supported locally. */
export function readMachines(template: LocalTemplate): Machine[] {
  return template.byType('AWS::StepFunctions::StateMachine').map((resource) => {
    try {
      return readMachine(template, resource);
    } catch (cause) {
      throw new Error(`${resource.logicalId}: ${(cause as Error).message}`, { cause });
    }
  });
}

function readMachine(template: LocalTemplate, resource: Resource): Machine {
  const { properties } = resource;
  const type = properties['StateMachineType'] ?? 'STANDARD';
  if (type !== 'STANDARD')
    throw new Error(`state machines of type ${type} are not supported by the local stack`);
  const arn = resource.arn ?? resource.physicalId;
  const roleArn = String(properties['RoleArn']);
  const role = template.byType('AWS::IAM::Role').find((candidate) => candidate.arn === roleArn);
  if (!role) throw new Error(`its role ${roleArn} is not in the template`);
  const definition = parseDefinition(properties);
  checkDefinition(definition);
  return {
    arn,
    name: arn.slice(arn.lastIndexOf(':') + 1),
    roleArn,
    roleLogicalId: role.logicalId,
    definition,
  };
}

function parseDefinition(properties: Record<string, unknown>): Definition {
  const { DefinitionString, Definition: object, DefinitionSubstitutions = {} } = properties;
  const text = typeof DefinitionString === 'string' ? DefinitionString : JSON.stringify(object);
  if (text === undefined)
    throw new Error('only DefinitionString and Definition are supported by the local stack');
  const values = DefinitionSubstitutions as Record<string, unknown>;
  const used = new Set<string>();
  const substituted = text.replaceAll(/\$\{([A-Za-z0-9_]+)\}/g, (_, name: string) => {
    if (!(name in values)) throw new Error(`DefinitionSubstitutions has no ${name}`);
    used.add(name);
    // As CloudFormation does it: plain text, escaped so that it stays inside the JSON string.
    return JSON.stringify(String(values[name])).slice(1, -1);
  });
  const unused = Object.keys(values).filter((name) => !used.has(name));
  if (unused.length > 0) throw new Error(`the definition has no placeholder for ${unused.join(', ')}`);
  return JSON.parse(substituted) as Definition;
}

/**
 * Throws an Error that names the state, for what AWS would not deploy (the mistakes that matter while working on a
 * definition: asl-validator knows them all) and for what the local stack cannot run.
 */
export function checkDefinition(definition: Definition): void {
  checkStates(definition, ['Version', 'TimeoutSeconds'], new Set());
}

function checkStates(states: States, more: readonly string[], names: Set<string>): void {
  const known = ['Comment', 'StartAt', 'States', 'QueryLanguage', ...more];
  for (const field of Object.keys(states)) {
    if (!known.includes(field))
      throw new Error(`${field} of the definition is not supported by the local stack`);
  }
  checkQueryLanguage(states);
  const reached = new Set([states.StartAt, ...Object.values(states.States).flatMap(targetsOf)]);
  for (const name of reached)
    if (!states.States[name]) throw new Error(`there is no state "${name}" to go to`);
  for (const [name, state] of Object.entries(states.States)) {
    if (!reached.has(name)) throw new Error(`nothing leads to the state "${name}"`);
    if (names.has(name)) throw new Error(`two states are named "${name}"`);
    names.add(name);
    try {
      checkState(state, names);
    } catch (cause) {
      throw new Error(`state "${name}": ${(cause as Error).message}`, { cause });
    }
  }
}

/** The states that a state may lead to. */
function targetsOf({ Next, Choices = [], Default, Catch = [] }: State): string[] {
  const targets = [
    Next,
    Default,
    ...Choices.map((rule) => rule.Next),
    ...Catch.map((catcher) => catcher.Next),
  ];
  return targets.filter((target) => target !== undefined);
}

function checkQueryLanguage(holder: object): void {
  const language = (holder as { QueryLanguage?: string }).QueryLanguage ?? 'JSONPath';
  if (language !== 'JSONPath')
    throw new Error(`QueryLanguage ${language} is not supported by the local stack`);
}

function checkState(state: State, names: Set<string>): void {
  const allowed = allowedFields[state.Type];
  if (!allowed) throw new Error(`Type ${state.Type} is not supported by the local stack`);
  checkQueryLanguage(state);
  for (const field of Object.keys(state)) {
    if (!allowed.includes(field) && field !== 'QueryLanguage') {
      throw new Error(`${field} is not supported by the local stack in a ${state.Type} state`);
    }
  }
  const { ItemProcessor, Iterator: iterator, ...own } = state;
  checkPaths(own);
  if (allowed.includes('Next') && (state.Next === undefined) === (state.End !== true)) {
    throw new Error('it needs either Next or "End": true');
  }
  if (state.Type === 'Choice' && !state.Choices?.every(({ Next }) => Next !== undefined)) {
    throw new Error('a Choice needs Choices, each with a Next');
  }
  if (state.Type === 'Task') integrationOf(state.Resource ?? '', state.Parameters);
  if (state.Type === 'Map') {
    const processor = ItemProcessor ?? iterator;
    if (!processor) throw new Error('a Map needs an ItemProcessor');
    const { ProcessorConfig, ...states } = processor as States & { ProcessorConfig?: { Mode?: string } };
    if ((ProcessorConfig?.Mode ?? 'INLINE') !== 'INLINE') {
      throw new Error('only Maps of mode INLINE are supported by the local stack');
    }
    checkStates(states, [], names);
  }
}

/** Is the value under this key a path or an intrinsic function? */
export const isPathKey = (key: string): boolean =>
  key.endsWith('.$') || key.endsWith('Path') || key === 'Variable';

function checkPaths(value: unknown, key = ''): void {
  if (typeof value === 'string' && isPathKey(key)) {
    if (!/^(\$|States\.)/.test(value)) throw new Error(`${key}: "${value}" is not a path`);
    for (const { index } of value.matchAll(/\$\$/g)) {
      const path = value.slice(index);
      if (!contextFields.test(path))
        throw new Error(`${path}: the local stack has no such context object field`);
    }
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, inner] of Object.entries(value)) checkPaths(inner, Array.isArray(value) ? key : name);
  }
}
