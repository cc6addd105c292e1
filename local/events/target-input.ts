/** What a target receives: the event, a part of it, a constant, or a template filled in from it. */
import type { EventEnvelope } from './envelope.ts';

export interface InputSettings {
  readonly Input?: string;
  readonly InputPath?: string;
  readonly InputTransformer?: {
    readonly InputPathsMap?: Readonly<Record<string, string>>;
    readonly InputTemplate: string;
  };
}

export interface RuleNames {
  readonly ruleArn: string;
  readonly ruleName: string;
}

type TargetInput = (event: EventEnvelope) => unknown;

/** Throws an Error for settings that are not understood. */
export function compileInput(settings: InputSettings, rule: RuleNames): TargetInput {
  const { Input, InputPath, InputTransformer } = settings;
  if ([Input, InputPath, InputTransformer].filter((given) => given !== undefined).length > 1) {
    throw new Error('a target takes one of Input, InputPath and InputTransformer');
  }
  if (Input !== undefined) {
    const constant: unknown = JSON.parse(Input);
    return () => constant;
  }
  if (InputPath !== undefined) return compilePath(InputPath);
  if (InputTransformer === undefined) return (event) => event;
  checkNames(InputTransformer.InputTemplate, Object.keys(InputTransformer.InputPathsMap ?? {}));
  const paths = Object.entries(InputTransformer.InputPathsMap ?? {}).map(
    ([name, path]) => [name, compilePath(path)] as const,
  );
  return (event) => {
    const variables = new Map<string, unknown>(paths.map(([name, read]) => [name, read(event)]));
    // https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html#eb-transform-input-predefined
    variables.set('aws.events.rule-arn', rule.ruleArn);
    variables.set('aws.events.rule-name', rule.ruleName);
    variables.set('aws.events.event.ingestion-time', event.time);
    const { detail: _, ...withoutDetail } = event;
    variables.set('aws.events.event', withoutDetail);
    variables.set('aws.events.event.json', event);
    return fill(InputTransformer.InputTemplate, variables);
  };
}

const predefined = [
  ...['aws.events.rule-arn', 'aws.events.rule-name', 'aws.events.event.ingestion-time', 'aws.events.event'],
  'aws.events.event.json',
];

function checkNames(template: string, names: readonly string[]): void {
  for (const [, name = ''] of template.matchAll(/<([A-Za-z0-9._-]+)>/g)) {
    if (!names.includes(name) && !predefined.includes(name)) {
      throw new Error(`the input template names <${name}>, which InputPathsMap does not have`);
    }
  }
}

/** A path such as `$.detail.parts[0]`: names and indexes only. */
function compilePath(path: string): (event: EventEnvelope) => unknown {
  if (!/^\$(\.[A-Za-z0-9_-]+|\[\d+\]|\['[^']+'\])*$/.test(path)) {
    throw new Error(`the path ${path} is not supported by the local stack`);
  }
  const steps = [...path.matchAll(/\.([A-Za-z0-9_-]+)|\[(\d+)\]|\['([^']+)'\]/g)].map(
    ([, name, index, quoted]) => name ?? index ?? quoted ?? '',
  );
  return (event) =>
    steps.reduce<unknown>(
      (value, step) =>
        typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[step] : undefined,
      event,
    );
}

/** `<name>` inside a string becomes text; outside it becomes JSON. The result is JSON. */
function fill(template: string, variables: ReadonlyMap<string, unknown>): unknown {
  let inString = false;
  const json = template.replaceAll(/\\.|"|<([A-Za-z0-9._-]+)>/g, (match, name: string | undefined) => {
    if (match === '"') inString = !inString;
    if (name === undefined) return match;
    const value = variables.get(name);
    if (!inString) return JSON.stringify(value) ?? '""';
    const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
    return JSON.stringify(text).slice(1, -1);
  });
  try {
    return JSON.parse(json);
  } catch {
    // A template may be plain text: the target then gets it as a JSON string.
    return json;
  }
}
