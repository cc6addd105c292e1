/** Who may do what: decides calls by the template's policies, and keeps which grants were used. */
import type { Caller, LocalTemplate, Resource } from '../types.ts';
import { type ConditionContext, type Decision, evaluate, type Principal, type Statement } from './iam.ts';
import { readPolicies } from './policies.ts';

/** One permission that a call needs. */
export interface Need {
  /** For example `s3:PutObject`. */
  readonly action: string;
  readonly resource: string;
  /** The template's resource, whose own policy counts too. */
  readonly owner?: Resource;
  readonly context?: ConditionContext;
}

/** A grant taken away, as `POST /_local/iam` names it: the whole statement, or one of its action patterns. */
export interface WithoutGrant {
  /** Logical id of the role, or of the resource whose own policy it is. */
  readonly holder: string;
  /** Index in the holder's statements, as `GET /_local/grants` numbers them. */
  readonly statementIndex: number;
  /** One of the statement's action patterns; without it the statement goes. */
  readonly action?: string;
}

/** A statement of a role's or a resource's policy, and how it was used since the start. */
export interface Grant {
  /** Logical id of the role, or of the resource whose own policy it is. */
  readonly holder: string;
  readonly kind: 'role' | 'resource';
  readonly statementIndex: number;
  readonly source: string;
  readonly effect: 'Allow' | 'Deny';
  readonly actions: readonly string[];
  readonly resources: readonly string[];
  /** Of a resource's policy: whom it is about. */
  readonly principal?: unknown;
  readonly condition?: unknown;
  readonly used: readonly {
    readonly actionPattern: string;
    readonly resourcePattern: string;
    readonly action: string;
    readonly count: number;
  }[];
}

export interface Refusal {
  readonly action: string;
  readonly resource: string;
  /** AWS's sentence. */
  readonly message: string;
}

/** A refusal as `GET /_local/refusals` tells it: S3 says nothing of the reason in the answer to a HEAD request. */
export interface NotedRefusal extends Refusal {
  /** The role; absent for AWS services and anonymous callers. */
  readonly roleLogicalId?: string;
}

const MAX_REFUSALS = 1000;

export interface Access {
  /** The first need that is not allowed; undefined if all are. Throws on policies that cannot be judged. */
  refusal(caller: Caller, needs: readonly Need[]): Refusal | undefined;
  grants(): Grant[];
  /** The last 1,000 since the grants were last changed, oldest first. */
  refusals(): readonly NotedRefusal[];
  /** Replaces what is taken away. Throws a RangeError for a grant that is not there. */
  setWithout(without: readonly WithoutGrant[]): void;
}

interface Use {
  readonly actionPattern: string;
  readonly resourcePattern: string;
  readonly action: string;
  count: number;
}

const principalOf = (caller: Caller, account: string): Principal => {
  switch (caller.kind) {
    case 'role':
      return { kind: 'role', roleArn: caller.roleArn, account };
    case 'service':
      return { kind: 'service', service: caller.service };
    case 'anonymous':
      return { kind: 'anonymous' };
    case 'root':
      throw new Error('the root user needs no policy');
  }
};

const who = (caller: Caller, account: string): string => {
  if (caller.kind === 'role') {
    const role = caller.roleArn.slice(caller.roleArn.lastIndexOf('/') + 1);
    const session = caller.functionName ?? caller.executionArn?.split(':').at(-1) ?? 'session';
    return `arn:aws:sts::${account}:assumed-role/${role}/${session}`;
  }
  return caller.kind === 'service' ? caller.service : 'anonymous';
};

/** The wording of AWS's refusals. https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html */
const sentence = (caller: Caller, account: string, need: Need, decision: Decision): string => {
  const identity = caller.kind === 'role';
  const because =
    decision.allowed || decision.reason === 'no-allow'
      ? `no ${identity ? 'identity' : 'resource'}-based policy allows the ${need.action} action`
      : `an explicit deny in a policy (${decision.by.statement.source})`;
  const link = decision.allowed || decision.reason === 'no-allow' ? 'because' : 'with';
  return `User: ${who(caller, account)} is not authorized to perform: ${need.action} on resource: ${need.resource} ${link} ${because}`;
};

const reduce = (statements: readonly Statement[], without: readonly WithoutGrant[]): Statement[] =>
  statements.flatMap((statement, index) => {
    const cuts = without.filter(({ statementIndex }) => statementIndex === index);
    if (cuts.some(({ action }) => action === undefined)) return [];
    const gone = new Set(cuts.map(({ action }) => action));
    return [{ ...statement, actions: statement.actions.filter((action) => !gone.has(action)) }];
  });

/** Throws if a service cannot assume the role that the template gives it: AWS would refuse to deploy that. */
export const createAccess = (template: LocalTemplate): Access => {
  const policies = readPolicies(template);
  const untrusted = policies.untrusted();
  if (untrusted.length > 0) throw new Error(`Roles that cannot be assumed: ${untrusted.join('; ')}`);
  const uses = new Map<string, Map<string, Use>>();
  let without: readonly WithoutGrant[] = [];
  const reduced = new Map<string, readonly Statement[]>();
  const refusals: NotedRefusal[] = [];

  const whole = (holder: string): readonly Statement[] => {
    if (policies.roleIds.includes(holder)) return policies.role(holder).statements;
    const resource = template.resources.get(holder);
    return resource ? policies.ofResource(resource) : [];
  };

  /** A role's or a resource's statements without what is taken away. */
  const left = (holder: string): readonly Statement[] => {
    const known = reduced.get(holder);
    if (known) return known;
    const statements = reduce(
      whole(holder),
      without.filter((one) => one.holder === holder),
    );
    reduced.set(holder, statements);
    return statements;
  };

  const identityOf = (caller: Caller): readonly Statement[] =>
    caller.kind === 'role' ? left(caller.roleLogicalId) : [];

  const decide = (caller: Caller, need: Need): Decision => {
    const context: ConditionContext = {
      // The local endpoint speaks HTTP over loopback, which no one else can read or change: it stands for TLS.
      'aws:securetransport': 'true',
      'aws:principalaccount': template.account,
      'aws:resourceaccount': template.account,
      'aws:requestedregion': template.region,
      ...(caller.kind === 'role' && { 'aws:principalarn': caller.roleArn }),
      ...(caller.kind === 'service' && {
        'aws:sourceaccount': template.account,
        ...(caller.sourceArn && { 'aws:sourcearn': caller.sourceArn }),
      }),
      ...need.context,
    };
    return evaluate(
      identityOf(caller),
      need.owner ? left(need.owner.logicalId) : [],
      principalOf(caller, template.account),
      { action: need.action, resource: need.resource, context },
      need.owner?.type === 'AWS::KMS::Key' ? 'resource-first' : 'either',
    );
  };

  const note = (caller: Caller, decision: Decision & { allowed: true }, { action, owner }: Need): void => {
    const { statement, actionPattern, resourcePattern } = decision.by;
    const holder =
      caller.kind === 'role' && identityOf(caller).some(({ source }) => source === statement.source)
        ? caller.roleLogicalId
        : owner?.logicalId;
    const grant = `${holder} ${statement.source}`;
    const ofStatement = uses.get(grant) ?? new Map<string, Use>();
    uses.set(grant, ofStatement);
    const name = `${action} ${actionPattern} ${resourcePattern}`;
    const use = ofStatement.get(name) ?? { actionPattern, resourcePattern, action, count: 0 };
    use.count += 1;
    ofStatement.set(name, use);
  };

  return {
    refusal(caller, needs) {
      if (caller.kind === 'root') return undefined;
      for (const need of needs) {
        const decision = decide(caller, need);
        if (!decision.allowed) {
          const refusal = {
            action: need.action,
            resource: need.resource,
            message: sentence(caller, template.account, need, decision),
          };
          if (refusals.length >= MAX_REFUSALS) refusals.shift();
          refusals.push({
            ...refusal,
            ...(caller.kind === 'role' && { roleLogicalId: caller.roleLogicalId }),
          });
          return refusal;
        }
        note(caller, decision, need);
      }
      return undefined;
    },
    grants: () =>
      [...policies.roleIds, ...policies.resourceIds].flatMap((holder) =>
        whole(holder).map((statement, statementIndex) => ({
          holder,
          kind: policies.roleIds.includes(holder) ? ('role' as const) : ('resource' as const),
          statementIndex,
          source: statement.source,
          effect: statement.effect,
          actions: statement.actions,
          resources: statement.resources,
          principal: statement.principal,
          condition: statement.condition,
          used: [...(uses.get(`${holder} ${statement.source}`)?.values() ?? [])].map((use) => ({
            ...use,
          })),
        })),
      ),
    refusals: () => [...refusals],
    setWithout(next) {
      for (const { holder, statementIndex, action } of next) {
        const statement = whole(holder)[statementIndex];
        if (!statement || (action !== undefined && !statement.actions.includes(action)))
          throw new RangeError(`${holder} has no grant ${statementIndex}${action ? ` with ${action}` : ''}`);
      }
      without = next;
      reduced.clear();
      refusals.length = 0;
    },
  };
};
