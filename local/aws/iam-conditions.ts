/**
 * Condition blocks of IAM policies. An operator or key that is not known here throws: a policy that cannot be
 * judged must never pass by accident.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
 */

/** The request's context: condition key in lower case → its value or values; absent keys did not come. */
export type ConditionContext = Readonly<Record<string, string | readonly string[]>>;

/** The policy holds something that this evaluator does not know. */
export class UnsupportedPolicy extends Error {
  override readonly name = 'UnsupportedPolicy';
}

/**
 * Keys that calls here carry where AWS would. A condition on any other key throws, for its absence would be
 * our ignorance and not the request's.
 */
const knownKeys = new Set([
  'aws:securetransport',
  'aws:principalarn',
  'aws:principalaccount',
  'aws:resourceaccount',
  'aws:requestedregion',
  'aws:sourcearn',
  'aws:sourceaccount',
  'aws:currenttime',
  'aws:epochtime',
  's3:prefix',
  's3:delimiter',
  's3:max-keys',
  's3:signatureversion',
  's3:authtype',
  's3:x-amz-acl',
  's3:x-amz-server-side-encryption',
  's3:x-amz-server-side-encryption-aws-kms-key-id',
  's3:x-amz-storage-class',
  's3:x-amz-content-sha256',
  's3:if-none-match',
  'dynamodb:leadingkeys',
  'events:source',
  'events:detail-type',
  'kms:viaservice',
  'kms:calleraccount',
  'lambda:functionarn',
]);

/** Leading keys are known for calls that name their keys; where a call does not, the context says so. */
export const unknowable = '\u0000unknowable';

const wildcards = new Map<string, RegExp>();

/** `*` for any characters, `?` for exactly one. */
export const matchesWildcard = (pattern: string, text: string): boolean => {
  let expression = wildcards.get(pattern);
  if (!expression) {
    const source = pattern.replace(/[.*+?^${}()|[\]\\]/g, (character) =>
      character === '*' ? '.*' : character === '?' ? '.' : `\\${character}`,
    );
    expression = new RegExp(`^${source}$`, 's');
    wildcards.set(pattern, expression);
  }
  return expression.test(text);
};

const arnParts = (arn: string): string[] => {
  const parts = arn.split(':');
  return parts.length <= 6 ? parts : [...parts.slice(0, 5), parts.slice(5).join(':')];
};

/** Each of an ARN's six parts for itself: a `*` does not reach over a colon, but for those of the last part. */
export const matchesArn = (pattern: string, arn: string): boolean => {
  if (pattern === '*') return true;
  const [wanted, given] = [arnParts(pattern), arnParts(arn)];
  if (wanted.length < 6) throw new UnsupportedPolicy(`Not a whole ARN in a policy: ${pattern}`);
  return given.length === 6 && wanted.every((part, index) => matchesWildcard(part, given[index] as string));
};

type Test = (wanted: string, given: string) => boolean;

const number = (text: string): number => {
  const value = Number(text);
  if (text.trim() === '' || Number.isNaN(value))
    throw new UnsupportedPolicy(`Not a number in a condition: ${text}`);
  return value;
};
const date = (text: string): number => {
  const value = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text);
  if (Number.isNaN(value)) throw new UnsupportedPolicy(`Not a date in a condition: ${text}`);
  return value;
};
const ordered = (kind: string, read: (text: string) => number): Record<string, Test> => ({
  [`${kind}Equals`]: (wanted, given) => read(given) === read(wanted),
  [`${kind}LessThan`]: (wanted, given) => read(given) < read(wanted),
  [`${kind}LessThanEquals`]: (wanted, given) => read(given) <= read(wanted),
  [`${kind}GreaterThan`]: (wanted, given) => read(given) > read(wanted),
  [`${kind}GreaterThanEquals`]: (wanted, given) => read(given) >= read(wanted),
});

const tests: Readonly<Record<string, Test>> = {
  StringEquals: (wanted, given) => wanted === given,
  StringEqualsIgnoreCase: (wanted, given) => wanted.toLowerCase() === given.toLowerCase(),
  StringLike: matchesWildcard,
  ArnEquals: matchesArn,
  ArnLike: matchesArn,
  Bool: (wanted, given) => wanted.toLowerCase() === given.toLowerCase(),
  ...ordered('Numeric', number),
  ...ordered('Date', date),
};

/** Each negated operator is met when its positive one is not met by any of the values. */
const negated: Readonly<Record<string, string>> = {
  StringNotEquals: 'StringEquals',
  StringNotEqualsIgnoreCase: 'StringEqualsIgnoreCase',
  StringNotLike: 'StringLike',
  ArnNotEquals: 'ArnEquals',
  ArnNotLike: 'ArnLike',
  NumericNotEquals: 'NumericEquals',
  DateNotEquals: 'DateEquals',
};

const texts = (value: unknown): string[] =>
  (Array.isArray(value) ? value : [value]).map((one) => {
    if (typeof one !== 'string' && typeof one !== 'boolean' && typeof one !== 'number')
      throw new UnsupportedPolicy(`Not a plain value in a condition: ${JSON.stringify(one)}`);
    // In a condition `${*}` and the like are policy variables.
    if (typeof one === 'string' && one.includes('${'))
      throw new UnsupportedPolicy(`Policy variables are not supported: ${one}`);
    return String(one);
  });

const known = (key: string): boolean => knownKeys.has(key) || key.startsWith('s3:requestobjecttag/');

const meetsOne = (
  operatorName: string,
  key: string,
  wanted: readonly string[],
  context: ConditionContext,
): boolean => {
  const [, quantifier, bare = '', ifExists] =
    /^(?:(ForAllValues|ForAnyValue):)?(.+?)(IfExists)?$/.exec(operatorName) ?? [];
  if (!known(key)) throw new UnsupportedPolicy(`Condition key ${key} is not known here`);
  const value = context[key];
  const values = value === undefined ? undefined : typeof value === 'string' ? [value] : value;
  if (values?.includes(unknowable))
    throw new UnsupportedPolicy(`This call does not tell the values of condition key ${key}`);
  if (bare === 'Null')
    return wanted.some((one) => (one === 'true') === (values === undefined || values.length === 0));

  const positive = negated[bare];
  const test = tests[positive ?? bare];
  if (!test) throw new UnsupportedPolicy(`Condition operator ${operatorName} is not known here`);
  if (values === undefined || values.length === 0) {
    // AWS: a missing key fails a positive operator and meets a negated one; ForAllValues is met by nothing at all.
    if (quantifier === 'ForAllValues') return true;
    if (quantifier === 'ForAnyValue') return false;
    return ifExists !== undefined || positive !== undefined;
  }
  const meets = (given: string): boolean =>
    positive ? !wanted.some((one) => test(one, given)) : wanted.some((one) => test(one, given));
  if (quantifier === 'ForAllValues') return values.every(meets);
  if (quantifier === 'ForAnyValue') return values.some(meets);
  if (values.length > 1)
    throw new UnsupportedPolicy(
      `Condition key ${key} has several values: it needs ForAllValues or ForAnyValue`,
    );
  return meets(values[0] as string);
};

/** Whether every operator and key of a statement's Condition is met. Throws {@link UnsupportedPolicy}. */
export const meetsConditions = (condition: unknown, context: ConditionContext): boolean => {
  if (condition === undefined) return true;
  if (typeof condition !== 'object' || condition === null)
    throw new UnsupportedPolicy(`Not a Condition: ${JSON.stringify(condition)}`);
  let all = true;
  // No early end: an unknown operator or key throws even behind a condition that is not met.
  for (const [operator, block] of Object.entries(condition as Record<string, Record<string, unknown>>))
    for (const [key, wanted] of Object.entries(block))
      if (!meetsOne(operator, key.toLowerCase(), texts(wanted), context)) all = false;
  return all;
};
