import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Grant, NotedRefusal } from '../../local/aws/access.ts';
import type { Scenario } from './scenarios.ts';
import type { TestStack } from './stack.ts';

/** One action that a role or a resource's policy allows; the same one more than once (a path's methods) is one. */
export interface Permission {
  /** Holder, action, and the ends of the resources: the same in every stack. */
  readonly name: string;
  /** Logical id of the role, or of the resource whose own policy it is. */
  readonly holder: string;
  readonly action: string;
  readonly statementIndexes: readonly number[];
  readonly resources: readonly string[];
  /** The scenarios that used it, by discovery. */
  readonly usedBy: Scenario[];
  /** Of its resources, those that were asked for. */
  readonly usedResources: Set<string>;
}

/** Lambda and X-Ray use these by themselves, outside of what code does: locally there are files in their place. */
const OUTSIDE = /^(logs|xray):/;

/** Finds out who needs which permission, and what happens without it. */
export class PermissionTrial {
  readonly #stack: TestStack;
  #permissions: Permission[] = [];

  constructor(stack: TestStack) {
    this.#stack = stack;
  }

  get permissions(): readonly Permission[] {
    return this.#permissions;
  }

  /** Plays a scenario with all permissions, and notes which it used. Gives what was refused: nothing should be. */
  async discover(scenario: Scenario): Promise<readonly NotedRefusal[]> {
    const before = await this.#grants();
    if (this.#permissions.length === 0) this.#permissions = permissionsOf(before);
    await this.#stack.setWithoutGrants([]);
    await scenario.play(this.#stack);
    const after = await this.#grants();
    const used = this.#permissions.filter((one) => countOf(after, one) > countOf(before, one));
    for (const permission of this.#permissions) {
      if (used.includes(permission) || isUsedThroughOthers(permission, used))
        permission.usedBy.push(scenario);
      for (const { resourcePattern } of usesOf(after, permission))
        permission.usedResources.add(resourcePattern);
    }
    return await this.refusals();
  }

  /** Permissions, and resources of them, that no scenario used. */
  unused(): string[] {
    return this.#permissions.flatMap(({ name, usedBy, resources, usedResources }) =>
      usedBy.length === 0
        ? [name]
        : resources
            .filter((one) => one !== '*' && !usedResources.has(one))
            .map((one) => `${name}: not for ${one}`),
    );
  }

  /**
   * Takes a permission away and plays the scenarios that used it until one misses it.
   *
   * @returns what is wrong; empty where its lack is noticed, and is told with action, resource and role
   */
  async missing(permission: Permission): Promise<string> {
    let wrong = 'no scenario used it';
    for (const scenario of permission.usedBy) {
      await this.takeAway(permission);
      wrong = await this.#missed(scenario, permission);
      if (wrong === '') break;
    }
    await this.#stack.setWithoutGrants([]);
    await this.#stack.setFaults([]);
    return wrong === '' ? '' : `${permission.name}: ${wrong}`;
  }

  async takeAway({ holder, action, statementIndexes }: Permission): Promise<void> {
    await this.#stack.setWithoutGrants(
      statementIndexes.map((statementIndex) => ({ holder, statementIndex, action })),
    );
  }

  async refusals(): Promise<readonly NotedRefusal[]> {
    return (await this.#stack.control<{ refusals: NotedRefusal[] }>('GET', 'refusals')).refusals;
  }

  async #grants(): Promise<Grant[]> {
    return (await this.#stack.control<{ grants: Grant[] }>('GET', 'grants')).grants;
  }

  /** Plays a scenario that must not succeed. */
  async #missed(scenario: Scenario, { holder, action }: Permission): Promise<string> {
    const before = this.#logs();
    let failure = '';
    try {
      await scenario.play(this.#stack);
    } catch (error) {
      failure = (error as Error).message;
    }
    const isRole = (await this.#grants()).some((grant) => grant.holder === holder && grant.kind === 'role');
    const refusal = (await this.refusals()).find(
      (one) => matches(action, one.action) && (!isRole || one.roleLogicalId === holder),
    );
    if (!refusal) return `"${scenario.name}" was refused nothing`;
    if (failure === '') return `"${scenario.name}" went through without it`;
    if (!isRole) return '';

    const { message, resource } = refusal;
    const role = (await this.#roleNames()).get(holder) ?? holder;
    if (![refusal.action, resource, role].every((part) => message.includes(part)))
      return `the refusal names not action, resource and role: ${message}`;
    // S3 gives no reason in the answer to a HEAD request, and the queue of what is undelivered is SQS's own.
    if (/^sqs:/.test(action) || (await this.#wasHead(refusal))) return '';
    const said = [
      failure,
      JSON.stringify(await this.#lastExecutions()),
      ...[...this.#logs()].map(([file, text]) => text.slice(before.get(file)?.length ?? 0)),
    ].join('\n');
    return said.includes(`is not authorized to perform: ${refusal.action}`) ? '' : 'nobody says so';
  }

  /** All that functions have printed. */
  #logs(): Map<string, string> {
    const folder = join(this.#stack.dir, 'logs');
    return new Map(readdirSync(folder).map((file) => [file, readFileSync(join(folder, file), 'utf8')]));
  }

  async #lastExecutions(): Promise<unknown[]> {
    const executions = await this.#stack.executions();
    return await Promise.all(
      executions.slice(0, 3).map(async ({ name }) => await this.#stack.execution(name)),
    );
  }

  async #wasHead({ roleLogicalId, resource }: NotedRefusal): Promise<boolean> {
    const name = resource.replace(/^arn:aws:s3:::/, '');
    return (await this.#stack.calls()).some(
      ({ operation, caller, status, ...call }) =>
        operation === 'HeadObject' &&
        status === 403 &&
        call.resource.startsWith(name) &&
        caller.kind === 'role' &&
        caller.roleLogicalId === roleLogicalId,
    );
  }

  /** What IAM calls the roles. */
  async #roleNames(): Promise<Map<string, string>> {
    const names = new Map<string, string>();
    for (const { caller } of await this.#stack.calls())
      if (caller.kind === 'role')
        names.set(caller.roleLogicalId, caller.roleArn.slice(caller.roleArn.lastIndexOf('/') + 1));
    return names;
  }
}

/** A key's policy that lets the account's IAM decide is part of every decision, which then names IAM's statement. */
const isUsedThroughOthers = ({ action }: Permission, used: readonly Permission[]): boolean =>
  action.endsWith(':*') && used.some((one) => one.action.startsWith(action.slice(0, -1)));

const matches = (pattern: string, action: string): boolean =>
  pattern === action || (pattern.endsWith('*') && action.startsWith(pattern.slice(0, -1)));

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
          name: `${holder} ${action} on ${resources.map(endOf).join(' ')}`,
          holder,
          action,
          statementIndexes: [statementIndex],
          resources,
          usedBy: [],
          usedResources: new Set(),
        });
    }
  }
  return [...found.values()];
}

/** What of an ARN does not depend on the stack's names: the service, and the path. */
const endOf = (arn: string): string =>
  `${arn.split(':')[2] ?? arn}${/(\/(index|uploads|staging)\/.*)$/.exec(arn)?.[1] ?? ''}`;

const usesOf = (grants: readonly Grant[], { holder, action, statementIndexes }: Permission) =>
  grants
    .filter((grant) => grant.holder === holder && statementIndexes.includes(grant.statementIndex))
    .flatMap(({ used }) => used.filter(({ actionPattern }) => actionPattern === action));

const countOf = (grants: readonly Grant[], permission: Permission): number =>
  usesOf(grants, permission).reduce((sum, { count }) => sum + count, 0);
