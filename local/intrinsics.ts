/** What an intrinsic function is resolved against. */
export interface Scope {
  /** The value of `Ref`: a parameter, a pseudo parameter or a resource. Throws on an unknown name. */
  ref(name: string): unknown;
  /** The value of `Fn::GetAtt`. Throws on an unknown resource or attribute. */
  attribute(logicalId: string, attribute: string): unknown;
  /** Whether a named condition holds. */
  condition(name: string): boolean;
  readonly mappings: Record<string, Record<string, Record<string, unknown>>>;
}

/** What `AWS::NoValue` leaves: the property does not exist. */
const NO_VALUE = Symbol('AWS::NoValue');

/**
 * Resolves CloudFormation's intrinsic functions in a value. An unknown function, or one that another stack or
 * account would have to answer, is an error: a template that is only half understood must not run.
 */
export function resolve(value: unknown, scope: Scope): unknown {
  const resolved = resolveValue(value, scope);
  return resolved === NO_VALUE ? undefined : resolved;
}

function resolveValue(value: unknown, scope: Scope): unknown {
  if (Array.isArray(value)) {
    return value.map((item) => resolveValue(item, scope)).filter((item) => item !== NO_VALUE);
  }
  if (typeof value !== 'object' || value === null) return value;
  const keys = Object.keys(value);
  const only = keys.length === 1 ? keys[0] : undefined;
  if (only === 'Ref' || only?.startsWith('Fn::')) {
    return callFunction(only, (value as Record<string, unknown>)[only], scope);
  }
  const result: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    const resolved = resolveValue(item, scope);
    if (resolved !== NO_VALUE) result[key] = resolved;
  }
  return result;
}

function callFunction(name: string, argument: unknown, scope: Scope): unknown {
  switch (name) {
    case 'Ref':
      return argument === 'AWS::NoValue' ? NO_VALUE : scope.ref(asString(argument, name));
    case 'Fn::GetAtt': {
      const [logicalId, ...path] =
        typeof argument === 'string' ? argument.split('.') : asList(argument, name);
      return scope.attribute(
        asString(logicalId, name),
        path.map((part) => asString(resolveValue(part, scope), name)).join('.'),
      );
    }
    case 'Fn::Join': {
      const [separator, parts] = asList(argument, name);
      return asList(resolveValue(parts, scope), name)
        .map((part) => asText(part, name))
        .join(asString(separator, name));
    }
    case 'Fn::Sub':
      return substitute(argument, scope);
    case 'Fn::Select': {
      const [index, list] = asList(argument, name);
      const items = asList(resolveValue(list, scope), name);
      const at = Number(resolveValue(index, scope));
      if (!(at in items)) throw new Error(`Fn::Select: no item ${at} in a list of ${items.length}`);
      return items[at];
    }
    case 'Fn::Split': {
      const [separator, text] = asList(argument, name);
      return asString(resolveValue(text, scope), name).split(asString(separator, name));
    }
    case 'Fn::If': {
      const [condition, yes, no] = asList(argument, name);
      return resolveValue(scope.condition(asString(condition, name)) ? yes : no, scope);
    }
    case 'Fn::FindInMap': {
      const [map, top, second] = asList(resolveValue(argument, scope), name).map((key) =>
        asString(key, name),
      );
      const found = scope.mappings[map ?? '']?.[top ?? '']?.[second ?? ''];
      if (found === undefined) throw new Error(`Fn::FindInMap: nothing at ${map}.${top}.${second}`);
      return found;
    }
    case 'Fn::Base64':
      return Buffer.from(asString(resolveValue(argument, scope), name)).toString('base64');
    default:
      throw new Error(`${name} is not supported by the local stack`);
  }
}

function substitute(argument: unknown, scope: Scope): string {
  const [text, variables] = typeof argument === 'string' ? [argument, {}] : asList(argument, 'Fn::Sub');
  const values = resolveValue(variables ?? {}, scope) as Record<string, unknown>;
  return asString(text, 'Fn::Sub').replace(/\$\{(!?)([^}]*)\}/g, (_, literal: string, name: string) => {
    if (literal) return `\${${name}}`;
    if (name in values) return asText(values[name], 'Fn::Sub');
    const [logicalId, ...path] = name.split('.');
    const value =
      path.length > 0 ? scope.attribute(logicalId ?? '', path.join('.')) : scope.ref(logicalId ?? '');
    return asText(value, 'Fn::Sub');
  });
}

/** Evaluates a condition of the template's `Conditions` section. */
export function evaluateCondition(expression: unknown, scope: Scope): boolean {
  if (typeof expression !== 'object' || expression === null)
    throw new Error('a condition must be a function');
  const [name, argument] = Object.entries(expression)[0] ?? ['nothing', undefined];
  const each = () => asList(argument, name).map((item) => evaluateCondition(item, scope));
  switch (name) {
    case 'Condition':
      return scope.condition(asString(argument, name));
    case 'Fn::Equals': {
      const [left, right] = asList(resolveValue(argument, scope), name);
      return String(left) === String(right);
    }
    case 'Fn::And':
      return each().every(Boolean);
    case 'Fn::Or':
      return each().some(Boolean);
    case 'Fn::Not':
      return !each()[0];
    default:
      throw new Error(`${name} is not supported in a condition by the local stack`);
  }
}

function asString(value: unknown, where: string): string {
  if (typeof value !== 'string') throw new Error(`${where}: expected a string, got ${JSON.stringify(value)}`);
  return value;
}

function asText(value: unknown, where: string): string {
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : asString(value, where);
}

function asList(value: unknown, where: string): unknown[] {
  if (!Array.isArray(value)) throw new Error(`${where}: expected a list, got ${JSON.stringify(value)}`);
  return value;
}
