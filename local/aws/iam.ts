/**
 * Evaluates IAM policies as AWS does within one account: an explicit Deny wins, else an Allow of an identity
 * policy or of the resource's own policy is enough. Pure: no template, no requests.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
 */
import {
  type ConditionContext,
  matchesArn,
  matchesWildcard,
  meetsConditions,
  UnsupportedPolicy,
} from './iam-conditions.ts';

export { type ConditionContext, UnsupportedPolicy } from './iam-conditions.ts';

/** One statement, its lists made plain. */
export interface Statement {
  /** Where it stands, for messages: for example `ReceiveChunkRolePolicy[2]`. */
  readonly source: string;
  readonly effect: 'Allow' | 'Deny';
  readonly actions: readonly string[];
  readonly notActions: readonly string[] | undefined;
  readonly resources: readonly string[];
  readonly notResources: readonly string[] | undefined;
  /** Resource policies only. */
  readonly principal: unknown;
  readonly condition: unknown;
}

/** Who asks, as a resource policy's Principal sees it. */
export type Principal =
  | { readonly kind: 'role'; readonly roleArn: string; readonly account: string }
  | { readonly kind: 'service'; readonly service: string }
  | { readonly kind: 'anonymous' };

export interface AccessRequest {
  /** For example `s3:PutObject`. */
  readonly action: string;
  /** The resource's ARN. */
  readonly resource: string;
  readonly context: ConditionContext;
}

export interface Match {
  readonly statement: Statement;
  /** The pattern that matched the action: `s3:Put*`. Empty for NotAction. */
  readonly actionPattern: string;
  readonly resourcePattern: string;
}

export type Decision =
  | { readonly allowed: true; readonly by: Match }
  | { readonly allowed: false; readonly reason: 'explicit-deny'; readonly by: Match }
  | { readonly allowed: false; readonly reason: 'no-allow'; readonly by?: undefined };

const elements = new Set([
  'Sid',
  'Effect',
  'Action',
  'NotAction',
  'Resource',
  'NotResource',
  'Principal',
  'Condition',
]);

const strings = (value: unknown, what: string): string[] => {
  const list = Array.isArray(value) ? value : [value];
  for (const one of list) {
    if (typeof one !== 'string') throw new UnsupportedPolicy(`${what} is not text: ${JSON.stringify(one)}`);
    if (one.includes('${')) throw new UnsupportedPolicy(`Policy variables are not supported: ${one}`);
  }
  return list as string[];
};

/** The statements of a PolicyDocument. Throws {@link UnsupportedPolicy} on anything unknown in it. */
export const readPolicy = (source: string, document: unknown): Statement[] => {
  const { Version, Statement: raw, Id: _id, ...rest } = (document ?? {}) as Record<string, unknown>;
  if (Version !== '2012-10-17' || Object.keys(rest).length > 0 || raw === undefined)
    throw new UnsupportedPolicy(`${source} is not a policy document of version 2012-10-17`);
  return (Array.isArray(raw) ? raw : [raw]).map((statement: Record<string, unknown>, index) => {
    const where = `${source}[${index}]`;
    for (const name of Object.keys(statement))
      if (!elements.has(name)) throw new UnsupportedPolicy(`${where}: element ${name} is not known here`);
    const effect = statement['Effect'];
    if (effect !== 'Allow' && effect !== 'Deny')
      throw new UnsupportedPolicy(`${where}: Effect is ${JSON.stringify(effect)}`);
    const optional = (name: string) =>
      statement[name] === undefined ? undefined : strings(statement[name], `${where}: ${name}`);
    const [actions, notActions] = [optional('Action'), optional('NotAction')];
    if (!actions === !notActions)
      throw new UnsupportedPolicy(`${where}: exactly one of Action and NotAction`);
    return {
      source: where,
      effect,
      actions: actions ?? [],
      notActions,
      // Trust policies have no Resource: they speak of the role they belong to.
      resources: optional('Resource') ?? (statement['NotResource'] === undefined ? ['*'] : []),
      notResources: optional('NotResource'),
      principal: statement['Principal'],
      condition: statement['Condition'],
    };
  });
};

const actionMatch = (statement: Statement, action: string): string | undefined => {
  const matches = (pattern: string) => matchesWildcard(pattern.toLowerCase(), action.toLowerCase());
  if (statement.notActions) return statement.notActions.some(matches) ? undefined : '';
  return statement.actions.find(matches);
};

const resourceMatch = (statement: Statement, resource: string): string | undefined => {
  const matches = (pattern: string) => matchesArn(pattern, resource);
  if (statement.notResources) return statement.notResources.some(matches) ? undefined : '';
  return statement.resources.find(matches);
};

const match = (statement: Statement, request: AccessRequest): Match | undefined => {
  const actionPattern = actionMatch(statement, request.action);
  if (actionPattern === undefined) return undefined;
  const resourcePattern = resourceMatch(statement, request.resource);
  if (resourcePattern === undefined) return undefined;
  return meetsConditions(statement.condition, request.context)
    ? { statement, actionPattern, resourcePattern }
    : undefined;
};

/**
 * What a Principal element says of the one who asks: `direct` (named or everyone) or `account` (the whole
 * account is named, which leaves the decision to the identity's own policies).
 */
const principalMatch = (statement: Statement, principal: Principal): 'direct' | 'account' | undefined => {
  const { principal: element, source } = statement;
  if (element === undefined) throw new UnsupportedPolicy(`${source}: a resource policy without Principal`);
  if (element === '*') return 'direct';
  if (typeof element !== 'object' || element === null)
    throw new UnsupportedPolicy(`${source}: Principal is ${JSON.stringify(element)}`);
  let found: 'direct' | 'account' | undefined;
  for (const [kind, value] of Object.entries(element)) {
    const names = strings(value, `${source}: Principal`);
    if (kind === 'AWS') {
      if (names.includes('*')) found = 'direct';
      if (principal.kind !== 'role') continue;
      if (names.includes(principal.roleArn)) found = 'direct';
      const { account } = principal;
      if (names.some((name) => name === account || new RegExp(`^arn:[^:]+:iam::${account}:root$`).test(name)))
        found ??= 'account';
    } else if (kind === 'Service') {
      if (principal.kind === 'service' && names.includes(principal.service)) found = 'direct';
    } else throw new UnsupportedPolicy(`${source}: a Principal of kind ${kind}`);
  }
  return found;
};

/**
 * Decides one request.
 *
 * @param identity statements of the caller's own policies (none for services and anonymous callers)
 * @param resourcePolicy statements of the resource's policy, with their Principals
 * @param mode `either`: one Allow of the two is enough (S3, Lambda, event buses). `resource-first`: the resource
 *   policy must allow, or name the account and so leave it to the identity (KMS keys, trust policies).
 */
export const evaluate = (
  identity: readonly Statement[],
  resourcePolicy: readonly Statement[],
  principal: Principal,
  request: AccessRequest,
  mode: 'either' | 'resource-first' = 'either',
): Decision => {
  let allow: Match | undefined;
  let resourceAllow: Match | undefined;
  let deny: Match | undefined;
  let delegated = false;
  // Every statement is looked at, so that what cannot be judged always throws.
  for (const statement of identity) {
    const found = match(statement, request);
    if (!found) continue;
    if (statement.effect === 'Deny') deny ??= found;
    else allow ??= found;
  }
  for (const statement of resourcePolicy) {
    const who = principalMatch(statement, principal);
    const found = match(statement, request);
    if (!found || !who) continue;
    if (statement.effect === 'Deny') deny ??= found;
    else if (who === 'direct') resourceAllow ??= found;
    else delegated = true;
  }
  if (deny) return { allowed: false, reason: 'explicit-deny', by: deny };
  const by =
    mode === 'either' ? (allow ?? resourceAllow) : (resourceAllow ?? (delegated ? allow : undefined));
  return by ? { allowed: true, by } : { allowed: false, reason: 'no-allow' };
};
