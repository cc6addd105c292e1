/**
 * Event patterns. https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
 * An operator that is not listed there, or not here, is an Error when the rule is read.
 */

/** Does a pattern match a JSON object (an event's envelope)? */
export type Matcher = (event: unknown) => boolean;

/** Does one filter match a field? `values` are its values (an array's elements), empty where it is absent. */
type Filter = (values: readonly unknown[]) => boolean;

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Throws an Error that says what in the pattern is not understood. */
export function compilePattern(pattern: unknown): Matcher {
  if (!isObject(pattern) || Object.keys(pattern).length === 0) {
    throw new Error('an event pattern must be a JSON object with at least one field');
  }
  return compileObject(pattern, '');
}

function compileObject(pattern: Record<string, unknown>, path: string): Matcher {
  const parts = Object.entries(pattern).map(([key, value]): Matcher => {
    if (key === '$or') return compileOr(value, path);
    const where = path === '' ? key : `${path}.${key}`;
    if (isObject(value)) {
      const inner = compileObject(value, where);
      return (event) => {
        const next = field(event, key);
        // An array of objects matches where one of its elements does; {exists: false} may look into nothing.
        return Array.isArray(next) ? next.some(inner) : inner(next);
      };
    }
    if (!Array.isArray(value) || value.length === 0)
      throw new Error(`${where}: must be an array or an object`);
    const filters = value.map((filter) => compileFilter(filter, where));
    return (event) => {
      const found = field(event, key);
      const values =
        found === undefined ? [] : Array.isArray(found) ? found.flat(Number.POSITIVE_INFINITY) : [found];
      return filters.some((filter) => filter(values));
    };
  });
  return (event) => parts.every((matches) => matches(event));
}

function compileOr(alternatives: unknown, path: string): Matcher {
  if (!Array.isArray(alternatives) || alternatives.length < 2 || !alternatives.every(isObject)) {
    throw new Error(`${path || 'pattern'}: $or must be an array of two objects or more`);
  }
  const matchers = alternatives.map((alternative) => compileObject(alternative, path));
  return (event) => matchers.some((matches) => matches(event));
}

function compileFilter(filter: unknown, where: string): Filter {
  if (!isObject(filter)) {
    if (Array.isArray(filter)) throw new Error(`${where}: an array inside an array is not a filter`);
    return any((value) => value === filter);
  }
  const [operator, ...others] = Object.keys(filter);
  if (operator === undefined || others.length > 0)
    throw new Error(`${where}: a filter has exactly one operator`);
  const operand = filter[operator] as Json;
  if (operator === 'exists') {
    if (typeof operand !== 'boolean') throw new Error(`${where}: exists must be true or false`);
    // "Exists matching only works on leaf nodes."
    return (values) => values.some((value) => !isObject(value)) === operand;
  }
  if (operator === 'anything-but') return any(compileAnythingBut(operand, where));
  if (operator === 'numeric') return any(compileNumeric(operand, where));
  return any(compileText(operator, operand, where));
}

const any =
  (test: (value: unknown) => boolean): Filter =>
  (values) =>
    values.some(test);

function compileText(
  operator: string,
  operand: Json | undefined,
  where: string,
): (value: unknown) => boolean {
  const onText = (test: (text: string) => boolean) => (value: unknown) =>
    typeof value === 'string' && test(value);
  const ignoreCase = isObject(operand) ? operand['equals-ignore-case'] : undefined;
  const text = typeof operand === 'string' ? operand : undefined;
  if (operator === 'prefix' || operator === 'suffix') {
    const affix = text ?? (typeof ignoreCase === 'string' ? ignoreCase : undefined);
    if (affix === undefined) throw new Error(`${where}: ${operator} must be a string`);
    const fold = (value: string) => (text === undefined ? value.toLowerCase() : value);
    return onText((value) =>
      operator === 'prefix' ? fold(value).startsWith(fold(affix)) : fold(value).endsWith(fold(affix)),
    );
  }
  if (operator !== 'equals-ignore-case' && operator !== 'wildcard') {
    throw new Error(`${where}: the local stack does not know the operator ${operator}`);
  }
  if (text === undefined) throw new Error(`${where}: ${operator} must be a string`);
  if (operator === 'equals-ignore-case') return onText((value) => value.toLowerCase() === text.toLowerCase());
  const expression = wildcardExpression(text, where);
  return onText((value) => expression.test(value));
}

/** `*` is any number of characters; `\*` and `\\` are the characters themselves. */
function wildcardExpression(wildcard: string, where: string): RegExp {
  const source = wildcard.replaceAll(/\\[\s\S]?|\*+|[^\\*]+/g, (part) => {
    if (part === '*') return '[\\s\\S]*';
    if (part.startsWith('*')) throw new Error(`${where}: wildcard with consecutive *`);
    if (!part.startsWith('\\')) return part.replaceAll(/[.+?^${}()|[\]/-]/g, '\\$&');
    if (part !== '\\*' && part !== '\\\\') throw new Error(`${where}: wildcard with an invalid escape`);
    return part;
  });
  return new RegExp(`^${source}$`);
}

function compileAnythingBut(operand: Json, where: string): (value: unknown) => boolean {
  const list = Array.isArray(operand) ? operand : [operand];
  if (list.length > 0 && list.every((item) => typeof item === 'string' || typeof item === 'number')) {
    return (value) => !list.includes(value as string | number);
  }
  if (!isObject(operand)) throw new Error(`${where}: anything-but takes strings, numbers or one operator`);
  const [operator = '', ...others] = Object.keys(operand);
  if (others.length > 0) throw new Error(`${where}: anything-but takes one operator`);
  const inner = operand[operator] as Json;
  const tests = (Array.isArray(inner) ? inner : [inner]).map((text: Json) =>
    compileText(operator, text, where),
  );
  return (value) => !tests.some((test) => test(value));
}

/** `["=", 5]`, `[">", 0, "<=", 5]`. */
function compileNumeric(operand: Json, where: string): (value: unknown) => boolean {
  const bad = () => new Error(`${where}: numeric must be like [">", 0, "<=", 5]`);
  if (!Array.isArray(operand) || operand.length === 0 || operand.length % 2 !== 0) throw bad();
  const comparisons = Array.from({ length: operand.length / 2 }, (_, pair) => {
    const [operator, limit] = operand.slice(pair * 2);
    if (typeof limit !== 'number') throw bad();
    switch (operator) {
      case '=':
        return (value: number) => value === limit;
      case '<':
        return (value: number) => value < limit;
      case '<=':
        return (value: number) => value <= limit;
      case '>':
        return (value: number) => value > limit;
      case '>=':
        return (value: number) => value >= limit;
      default:
        throw bad();
    }
  });
  return (value) => typeof value === 'number' && comparisons.every((holds) => holds(value));
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const field = (holder: unknown, key: string): unknown => (isObject(holder) ? holder[key] : undefined);
