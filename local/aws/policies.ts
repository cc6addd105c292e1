/** The template's IAM: which statements belong to which role, and which policies resources carry themselves. */
import type { LocalTemplate, Resource } from '../types.ts';
import { evaluate, readPolicy, type Statement, UnsupportedPolicy } from './iam.ts';

/** AWS's own policies that templates name; what they allow is only what a local role can use of them. */
const managedPolicies: Readonly<Record<string, unknown>> = {
  'service-role/AWSLambdaBasicExecutionRole': {
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow',
        Action: ['logs:CreateLogGroup', 'logs:CreateLogStream', 'logs:PutLogEvents'],
        Resource: '*',
      },
    ],
  },
  AWSXRayDaemonWriteAccess: {
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow',
        Action: [
          'xray:PutTraceSegments',
          'xray:PutTelemetryRecords',
          'xray:GetSamplingRules',
          'xray:GetSamplingTargets',
          'xray:GetSamplingStatisticSummaries',
        ],
        Resource: '*',
      },
    ],
  },
};

export interface Role {
  readonly resource: Resource;
  /** Inline policies, then attached ones, in the template's order; the index of a statement names a grant. */
  readonly statements: readonly Statement[];
}

export interface Policies {
  readonly roleIds: readonly string[];
  /** Resources that carry a policy of their own. */
  readonly resourceIds: readonly string[];
  /** Throws for a role that the template does not have, and for policies that cannot be judged. */
  role(logicalId: string): Role;
  /** Statements of the resource's own policy: a bucket's, a queue's, a function's permissions, an event bus's, a key's. */
  ofResource(resource: Resource): readonly Statement[];
  /** The principals that must be able to assume a role, and cannot: a deployment would fail. */
  untrusted(): string[];
}

const list = (value: unknown): unknown[] =>
  value === undefined ? [] : Array.isArray(value) ? value : [value];

const roleStatements = (template: LocalTemplate, role: Resource): Statement[] => {
  const { properties, logicalId } = role;
  if (properties['PermissionsBoundary'] !== undefined)
    throw new UnsupportedPolicy(`${logicalId}: permissions boundaries are not supported`);
  const inline = list(properties['Policies']) as { PolicyName: string; PolicyDocument: unknown }[];
  const attached = template
    .byType('AWS::IAM::Policy')
    .filter((policy) => list(policy.properties['Roles']).includes(role.physicalId));
  const managed = list(properties['ManagedPolicyArns']).map((arn) => {
    const name = /^arn:[^:]+:iam::aws:policy\/(.+)$/.exec(String(arn))?.[1];
    const document = name === undefined ? undefined : managedPolicies[name];
    if (document !== undefined) return readPolicy(`${logicalId}/${name}`, document);
    const own = template
      .byType('AWS::IAM::ManagedPolicy')
      .find((policy) => policy.physicalId === arn || policy.arn === arn);
    if (!own) throw new UnsupportedPolicy(`${logicalId}: the managed policy ${arn} is not known here`);
    return readPolicy(own.logicalId, own.properties['PolicyDocument']);
  });
  return [
    ...inline.flatMap((policy) => readPolicy(`${logicalId}/${policy.PolicyName}`, policy.PolicyDocument)),
    ...attached.flatMap((policy) => readPolicy(policy.logicalId, policy.properties['PolicyDocument'])),
    ...managed.flat(),
  ];
};

/** A Lambda permission is a statement by other names. */
const permission = (resource: Resource, functionArn: string): Statement => {
  const known = ['Action', 'FunctionName', 'Principal', 'SourceArn', 'SourceAccount'];
  for (const name of Object.keys(resource.properties))
    if (!known.includes(name))
      throw new UnsupportedPolicy(`${resource.logicalId}: property ${name} is not known here`);
  const { Action, Principal, SourceArn, SourceAccount } = resource.properties as Record<string, string>;
  const [statement] = readPolicy(resource.logicalId, {
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow',
        Action,
        Resource: functionArn,
        Principal: Principal?.includes('.amazonaws.com') ? { Service: Principal } : { AWS: Principal },
        Condition: {
          ...(SourceArn && { ArnLike: { 'aws:SourceArn': SourceArn } }),
          ...(SourceAccount && { StringEquals: { 'aws:SourceAccount': SourceAccount } }),
        },
      },
    ],
  });
  return statement as Statement;
};

const names = (resource: Resource, name: unknown): boolean =>
  name === resource.physicalId || (resource.arn !== undefined && name === resource.arn);

const resourceStatements = (template: LocalTemplate, resource: Resource): Statement[] => {
  const documents = (
    type: string,
    names: (properties: Record<string, unknown>) => boolean,
    element: string,
  ) =>
    template
      .byType(type)
      .filter((policy) => names(policy.properties))
      .flatMap((policy) => readPolicy(policy.logicalId, policy.properties[element]));
  switch (resource.type) {
    case 'AWS::S3::Bucket':
      return documents('AWS::S3::BucketPolicy', ({ Bucket }) => names(resource, Bucket), 'PolicyDocument');
    case 'AWS::SQS::Queue':
      return documents(
        'AWS::SQS::QueuePolicy',
        ({ Queues }) => list(Queues).some((queue) => names(resource, queue)),
        'PolicyDocument',
      );
    case 'AWS::Lambda::Function':
      return template
        .byType('AWS::Lambda::Permission')
        .filter(({ properties }) => names(resource, properties['FunctionName']))
        .map((one) => permission(one, resource.arn ?? resource.physicalId));
    case 'AWS::Events::EventBus':
      return template
        .byType('AWS::Events::EventBusPolicy')
        .filter(({ properties }) => names(resource, properties['EventBusName']))
        .flatMap((policy) => {
          if (policy.properties['Statement'] === undefined)
            throw new UnsupportedPolicy(`${policy.logicalId}: an event bus policy without Statement`);
          return readPolicy(policy.logicalId, {
            Version: '2012-10-17',
            Statement: policy.properties['Statement'],
          });
        });
    case 'AWS::KMS::Key':
      return readPolicy(resource.logicalId, resource.properties['KeyPolicy']);
    case 'AWS::DynamoDB::Table':
      if (resource.properties['ResourcePolicy'] !== undefined)
        throw new UnsupportedPolicy(`${resource.logicalId}: table policies are not supported`);
      return [];
    default:
      return [];
  }
};

/** Role and service pairs that AWS checks when it creates the resource. */
const neededTrust = (template: LocalTemplate): { roleArn: unknown; service: string; by: Resource }[] => [
  ...template
    .byType('AWS::Lambda::Function')
    .map((one) => ({ roleArn: one.properties['Role'], service: 'lambda.amazonaws.com', by: one })),
  ...template.byType('AWS::StepFunctions::StateMachine').map((one) => ({
    roleArn: one.properties['RoleArn'],
    service: 'states.amazonaws.com',
    by: one,
  })),
  ...template
    .byType('AWS::Events::Rule')
    .flatMap((rule) =>
      (list(rule.properties['Targets']) as { RoleArn?: unknown }[])
        .filter(({ RoleArn }) => RoleArn !== undefined)
        .map(({ RoleArn }) => ({ roleArn: RoleArn, service: 'events.amazonaws.com', by: rule })),
    ),
  ...template.byType('AWS::Scheduler::Schedule').map((one) => ({
    roleArn: (one.properties['Target'] as { RoleArn?: unknown } | undefined)?.RoleArn,
    service: 'scheduler.amazonaws.com',
    by: one,
  })),
];

/** Reads policies when they are first asked for, and keeps them. */
export const readPolicies = (template: LocalTemplate): Policies => {
  const roles = template.byType('AWS::IAM::Role');
  const byId = new Map<string, Role>();
  const byResource = new Map<string, readonly Statement[]>();
  return {
    roleIds: roles.map(({ logicalId }) => logicalId),
    resourceIds: [...template.resources.values()]
      .filter((resource) => resourceStatements(template, resource).length > 0)
      .map(({ logicalId }) => logicalId),
    role(logicalId) {
      const known = byId.get(logicalId);
      if (known) return known;
      const resource = roles.find((one) => one.logicalId === logicalId);
      if (!resource) throw new Error(`the template has no role ${logicalId}`);
      const role = { resource, statements: roleStatements(template, resource) };
      byId.set(logicalId, role);
      return role;
    },
    ofResource(resource) {
      const known = byResource.get(resource.logicalId);
      if (known) return known;
      const statements = resourceStatements(template, resource);
      byResource.set(resource.logicalId, statements);
      return statements;
    },
    untrusted() {
      return neededTrust(template).flatMap(({ roleArn, service, by }) => {
        const role = roles.find(({ arn }) => arn === roleArn);
        if (!role) return [`${by.logicalId}: the template has no role ${String(roleArn)}`];
        const trust = readPolicy(`${role.logicalId} trust`, role.properties['AssumeRolePolicyDocument']);
        const context = {
          'aws:sourceaccount': template.account,
          ...(by.arn && { 'aws:sourcearn': by.arn }),
        };
        const request = { action: 'sts:AssumeRole', resource: String(role.arn), context };
        const decision = evaluate([], trust, { kind: 'service', service }, request);
        return decision.allowed ? [] : [`${by.logicalId}: ${service} may not assume ${role.logicalId}`];
      });
    },
  };
};
