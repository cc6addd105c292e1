import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Grant, NotedRefusal } from '../../local/aws/access.ts';
import { SCENARIOS, type Scenario } from '../support/scenarios.ts';
import { TestStack } from '../support/stack.ts';

/**
 * Every permission of the template is needed, and is missed where it is not there: each is taken away in turn, and
 * the scenario that used it must then fail, by a refusal that names action, resource and role.
 */

// Retries of the workflow, which a refusal does not get better by, are soon over.
const stack = new TestStack({
  context: { partSize: 5 * 1024 * 1024 },
  env: { LOCAL_RETRY_SCALE: '0.002' },
});
beforeAll(async () => {
  await stack.start();
}, 120_000);
afterAll(async () => {
  await stack.stop();
}, 60_000);

/** Lambda and X-Ray use these by themselves, outside of what code does: locally there are files in their place. */
const OUTSIDE = /^(logs|xray):/;

/** Permissions that are the same but for their place: API Gateway's, one for each method of a path. */
interface Permission {
  readonly name: string;
  readonly holder: string;
  readonly action: string;
  readonly statementIndexes: readonly number[];
  /** The scenarios that used it, by discovery. */
  readonly usedBy: Scenario[];
  /** Of the statement's resources, those that were asked for. */
  readonly resources: Set<string>;
  readonly allResources: readonly string[];
}

const readGrants = async (): Promise<Grant[]> =>
  (await stack.control<{ grants: Grant[] }>('GET', 'grants')).grants;

/** Denials are not in it: what they forbid (no TLS) cannot be asked for here; test/infra holds that they are there. */
function permissionsOf(grants: readonly Grant[]): Permission[] {
  const found = new Map<string, Permission & { statementIndexes: number[] }>();
  for (const { holder, statementIndex, effect, actions, resources, principal, condition } of grants) {
    if (effect === 'Deny') continue;
    for (const action of actions.filter((one) => !OUTSIDE.test(one))) {
      const same = JSON.stringify([holder, action, resources, principal, condition]);
      const known = found.get(same);
      if (known) known.statementIndexes.push(statementIndex);
      else
        found.set(same, {
          name: `${holder} ${action} on ${resources.map((one) => one.split(':').at(-1)).join(' ')}`,
          holder,
          action,
          statementIndexes: [statementIndex],
          usedBy: [],
          resources: new Set(),
          allResources: resources,
        });
    }
  }
  return [...found.values()];
}

const usesOf = (grants: readonly Grant[], { holder, action, statementIndexes }: Permission) =>
  grants
    .filter((grant) => grant.holder === holder && statementIndexes.includes(grant.statementIndex))
    .flatMap(({ used }) => used.filter(({ actionPattern }) => actionPattern === action));

const countOf = (grants: readonly Grant[], permission: Permission): number =>
  usesOf(grants, permission).reduce((sum, { count }) => sum + count, 0);

/** All that a person could read of what happened since: functions' logs and executions. */
const logsOf = (): Map<string, string> =>
  new Map(
    readdirSync(join(stack.dir, 'logs')).map((file) => [
      file,
      readFileSync(join(stack.dir, 'logs', file), 'utf8'),
    ]),
  );

let permissions: Permission[] = [];

describe('with all permissions', () => {
  test.each(SCENARIOS)(
    '$name',
    async (scenario) => {
      const before = await readGrants();
      permissions = permissions.length > 0 ? permissions : permissionsOf(before);
      await stack.setWithoutGrants([]);
      await scenario.play(stack);
      const after = await readGrants();
      for (const permission of permissions) {
        if (countOf(after, permission) > countOf(before, permission)) permission.usedBy.push(scenario);
        for (const { resourcePattern } of usesOf(after, permission))
          permission.resources.add(resourcePattern);
      }
      const { refusals } = await stack.control<{ refusals: NotedRefusal[] }>('GET', 'refusals');
      expect(refusals).toEqual([]);
    },
    90_000,
  );

  test('none is unused', () => {
    expect(permissions.length).toBeGreaterThan(60);
    expect(permissions.filter(({ usedBy }) => usedBy.length === 0).map(({ name }) => name)).toEqual([]);
    expect(
      permissions.flatMap(({ name, resources, allResources }) =>
        allResources.filter((one) => !resources.has(one)).map((one) => `${name}: ${one}`),
      ),
    ).toEqual([]);
  });
});

test('an object that is not there is 404 to who may list the bucket, and 403 to who may not', async () => {
  const missing = SCENARIOS.find(({ name }) => name.startsWith('a multipart upload that somebody aborted'));
  const listing = permissions.find(
    ({ holder, action }) => holder.includes('CompleteUpload') && action === 's3:ListBucket',
  );
  if (!missing || !listing) throw new Error('There is no such scenario or permission.');
  const { holder, action, statementIndexes } = listing;
  for (const [without, status] of [
    [[], 404],
    [statementIndexes.map((statementIndex) => ({ holder, statementIndex, action })), 403],
  ] as const) {
    await stack.setWithoutGrants(without);
    await stack.clearCalls();
    await missing.play(stack).catch((error: Error) => {
      if (status === 404) throw error;
    });
    const heads = (await stack.calls()).filter(({ operation }) => operation === 'HeadObject');
    expect(heads.map((call) => call.status)).toEqual([status]);
  }
  await stack.setWithoutGrants([]);
}, 60_000);

test('without any one of them, what needs it fails, and says which it was', async () => {
  const unnoticed: string[] = [];
  for (const permission of permissions) {
    const { name, holder, action, statementIndexes, usedBy } = permission;
    let wrong = 'no scenario used it';
    for (const scenario of usedBy) {
      await stack.setWithoutGrants(
        statementIndexes.map((statementIndex) => ({ holder, statementIndex, action })),
      );
      wrong = await missed(scenario, permission);
      if (wrong === '') break;
    }
    await stack.setWithoutGrants([]);
    await stack.setFaults([]);
    if (wrong !== '') unnoticed.push(`${name}: ${wrong}`);
  }
  expect(unnoticed).toEqual([]);
}, 900_000);

/** Plays a scenario that must not succeed. @returns what is wrong with how it failed; empty if nothing is */
async function missed(scenario: Scenario, { holder, action }: Permission): Promise<string> {
  const before = logsOf();
  let failure = '';
  try {
    await scenario.play(stack);
  } catch (error) {
    failure = (error as Error).message;
  }
  const { refusals } = await stack.control<{ refusals: NotedRefusal[] }>('GET', 'refusals');
  const isRole = (await readGrants()).some((grant) => grant.holder === holder && grant.kind === 'role');
  const refusal = refusals.find((one) => one.action === action && (!isRole || one.roleLogicalId === holder));
  if (!refusal) return `"${scenario.name}" was refused nothing`;
  if (failure === '') return `"${scenario.name}" went through without it`;
  if (!isRole) return '';

  const { message, resource } = refusal;
  const role = (await roleNames()).get(holder) ?? holder;
  if (!message.includes(action) || !message.includes(resource) || !message.includes(role))
    return `names not action, resource and role: ${message}`;
  // S3 gives no reason in the answer to a HEAD request, and the queue of what is undelivered is SQS's own.
  if (/^sqs:/.test(action) || (await wasHead(refusal))) return '';
  const said = [
    failure,
    JSON.stringify(await executionsSince()),
    ...[...logsOf()].map(([file, text]) => text.slice(before.get(file)?.length ?? 0)),
  ].join('\n');
  return said.includes(`is not authorized to perform: ${action}`) ? '' : 'nobody says so';
}

async function executionsSince(): Promise<unknown[]> {
  const executions = await stack.executions();
  return await Promise.all(executions.slice(0, 3).map(async ({ name }) => await stack.execution(name)));
}

async function wasHead({ roleLogicalId, resource }: NotedRefusal): Promise<boolean> {
  const calls = await stack.calls();
  const name = resource.replace(/^arn:aws:s3:::/, '');
  return calls.some(
    ({ operation, caller, status, ...call }) =>
      operation === 'HeadObject' &&
      status === 403 &&
      call.resource.startsWith(name) &&
      caller.kind === 'role' &&
      caller.roleLogicalId === roleLogicalId,
  );
}

/** What IAM calls the roles. */
async function roleNames(): Promise<Map<string, string>> {
  const names = new Map<string, string>();
  for (const { caller } of await stack.calls())
    if (caller.kind === 'role')
      names.set(caller.roleLogicalId, caller.roleArn.slice(caller.roleArn.lastIndexOf('/') + 1));
  return names;
}
