/**
 * What calls to the JSON services are about, and which permissions they need.
 * https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
 */
import type { AwsCall, LocalTemplate, Resource } from '../types.ts';
import type { Need } from './access.ts';
import { unknowable } from './iam-conditions.ts';
import { kmsNeeds } from './kms-needs.ts';

export type JsonService = Exclude<AwsCall['service'], 's3'>;
type Input = Readonly<Record<string, unknown>>;

export interface Subject {
  /** For the call log and fault rules: table, state machine, execution, bus or function. */
  readonly resource: string;
  readonly needs: readonly Need[];
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '');
const last = (arn: string): string => arn.slice(arn.lastIndexOf('/') + 1);

const isNamed = (resource: Resource, name: string): boolean =>
  name === resource.physicalId || (resource.arn !== undefined && name === resource.arn);

const withOwner = (owner: Resource | undefined): { owner?: Resource } => (owner ? { owner } : {});

// --- DynamoDB

const reads = new Set(['GetItem', 'BatchGetItem', 'Query', 'Scan', 'TransactGetItems', 'ConditionCheckItem']);
const writes = new Set(['PutItem', 'UpdateItem', 'DeleteItem', 'BatchWriteItem']);

/** An attribute value as `dynamodb:LeadingKeys` sees it. */
const plainValue = (value: unknown): string => String(Object.values((value ?? {}) as object)[0] ?? '');

/** The partition keys a call names; a call that does not tell them makes conditions on them throw. */
const leadingKeys = (operation: string, input: Input, table: Resource | undefined): string[] => {
  const indexName = input['IndexName'];
  const indexes = (table?.properties['GlobalSecondaryIndexes'] ?? []) as {
    IndexName?: string;
    KeySchema?: unknown;
  }[];
  const schema = (
    indexName === undefined
      ? table?.properties['KeySchema']
      : indexes.find((one) => one.IndexName === indexName)?.KeySchema
  ) as { AttributeName: string; KeyType: string }[] | undefined;
  const name = schema?.find(({ KeyType }) => KeyType === 'HASH')?.AttributeName;
  if (name === undefined) return [unknowable];
  const item = (input['Key'] ?? input['Item']) as Record<string, unknown> | undefined;
  if (item) return [plainValue(item[name])];
  if (operation !== 'Query') return [unknowable];
  const names = (input['ExpressionAttributeNames'] ?? {}) as Record<string, string>;
  const values = (input['ExpressionAttributeValues'] ?? {}) as Record<string, unknown>;
  for (const [, attribute = '', placeholder = ''] of text(input['KeyConditionExpression']).matchAll(
    /([#\w]+)\s*=\s*(:\w+)/g,
  ))
    if ((names[attribute] ?? attribute) === name && placeholder in values)
      return [plainValue(values[placeholder])];
  return [unknowable];
};

const transactActions: Readonly<Record<string, string>> = {
  Put: 'PutItem',
  Update: 'UpdateItem',
  Delete: 'DeleteItem',
  ConditionCheck: 'ConditionCheckItem',
  Get: 'GetItem',
};

const dynamodb = (template: LocalTemplate, operation: string, input: Input): Subject => {
  const tables = template.byType('AWS::DynamoDB::Table');
  const tableNeeds = (action: string, named: string, details: Input): Need[] => {
    const table = tables.find((one) => isNamed(one, named));
    const arn = table?.arn ?? `arn:aws:dynamodb:${template.region}:${template.account}:table/${last(named)}`;
    const index = details['IndexName'];
    const kms = reads.has(action)
      ? ['kms:Decrypt']
      : writes.has(action)
        ? ['kms:Decrypt', 'kms:GenerateDataKey']
        : [];
    return [
      {
        action: `dynamodb:${action}`,
        resource: typeof index === 'string' ? `${arn}/index/${index}` : arn,
        context: { 'dynamodb:leadingkeys': leadingKeys(action, details, table) },
        ...withOwner(table),
      },
      ...kmsNeeds(template, table, 'dynamodb', kms),
    ];
  };

  if (operation === 'TransactWriteItems' || operation === 'TransactGetItems') {
    const items = (input['TransactItems'] ?? []) as Record<string, Input>[];
    const parts = items.flatMap((item) => Object.entries(item));
    return {
      resource: [...new Set(parts.map(([, one]) => last(text(one['TableName']))))].join(','),
      needs: parts.flatMap(([kind, one]) =>
        tableNeeds(transactActions[kind] ?? kind, text(one['TableName']), one),
      ),
    };
  }
  if (operation === 'BatchGetItem' || operation === 'BatchWriteItem') {
    const names = Object.keys((input['RequestItems'] ?? {}) as object);
    return {
      resource: names.map(last).join(','),
      needs: names.flatMap((name) => tableNeeds(operation, name, {})),
    };
  }
  const named = text(input['TableName']);
  if (named === '') return { resource: '', needs: [{ action: `dynamodb:${operation}`, resource: '*' }] };
  return { resource: last(named), needs: tableNeeds(operation, named, input) };
};

// --- Step Functions

const states = (template: LocalTemplate, operation: string, input: Input): Subject => {
  const arn = text(input['stateMachineArn']) || text(input['executionArn']) || '*';
  const machine = template.byType('AWS::StepFunctions::StateMachine').find((one) => isNamed(one, arn));
  return {
    resource: arn,
    needs: [{ action: `states:${operation}`, resource: arn, ...withOwner(machine) }],
  };
};

// --- EventBridge

const events = (template: LocalTemplate, operation: string, input: Input): Subject => {
  const busArn = (named: string): string =>
    named.startsWith('arn:')
      ? named
      : `arn:aws:events:${template.region}:${template.account}:event-bus/${named || 'default'}`;
  const buses = template.byType('AWS::Events::EventBus');
  if (operation !== 'PutEvents')
    return { resource: '*', needs: [{ action: `events:${operation}`, resource: '*' }] };
  const entries = (input['Entries'] ?? []) as Input[];
  return {
    resource: [...new Set(entries.map((entry) => last(busArn(text(entry['EventBusName'])))))].join(','),
    needs: entries.map((entry) => {
      const resource = busArn(text(entry['EventBusName']));
      return {
        action: 'events:PutEvents',
        resource,
        context: { 'events:source': text(entry['Source']), 'events:detail-type': text(entry['DetailType']) },
        ...withOwner(buses.find((bus) => isNamed(bus, resource) || bus.physicalId === last(resource))),
      };
    }),
  };
};

// --- Lambda

/** A function by name, ARN or partial ARN, with or without a qualifier. */
export const findFunction = (template: LocalTemplate, named: string): Resource | undefined => {
  const name = /(?:^|:)function:([^:]+)/.exec(named)?.[1] ?? named.split(':')[0] ?? '';
  return template.byType('AWS::Lambda::Function').find((one) => one.physicalId === name);
};

const lambda = (template: LocalTemplate, operation: string, input: Input): Subject => {
  const named = text(input['FunctionName']);
  const found = findFunction(template, named);
  const resource = found?.arn ?? `arn:aws:lambda:${template.region}:${template.account}:function:${named}`;
  const action = operation === 'Invoke' ? 'lambda:InvokeFunction' : `lambda:${operation}`;
  return {
    resource: found?.physicalId ?? named,
    needs: [{ action, resource, context: { 'lambda:functionarn': resource }, ...withOwner(found) }],
  };
};

const services = { dynamodb, states, events, lambda };

export const jsonSubject = (
  template: LocalTemplate,
  service: JsonService,
  operation: string,
  input: Input,
): Subject => services[service](template, operation, input);
