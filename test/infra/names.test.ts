import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { ResumableUploads } from '../../infra/resumable-uploads.ts';
import { resolve } from '../../local/intrinsics.ts';
import { everyOption } from './every-option.ts';
import {
  type Resource,
  Synthesised,
  synthesise,
  testApp,
  withoutPrintedWarnings,
  written,
} from './synthesised.ts';
import { WRITTEN } from './written-options.ts';

withoutPrintedWarnings();

const byDefault = synthesise();

/**
 * Changing one of these replaces the resource: a new, empty bucket or table, another URL, other ARNs. The file is
 * changed by somebody who wants that, and says how what is deployed moves over.
 */
test('nothing that holds something is replaced by a change of its logical id, keys or name', () => {
  const pinned: unknown = JSON.parse(
    readFileSync(new URL('./stateful-resources.json', import.meta.url), 'utf8'),
  );
  const replacedBy: Record<string, string[]> = {
    'AWS::S3::Bucket': ['BucketName', 'BucketNamespace'],
    'AWS::DynamoDB::Table': [
      'TableName',
      'KeySchema',
      'AttributeDefinitions',
      'GlobalSecondaryIndexes',
      'LocalSecondaryIndexes',
    ],
    'AWS::Events::EventBus': ['Name'],
    'AWS::SQS::Queue': ['QueueName', 'FifoQueue'],
    'AWS::StepFunctions::StateMachine': ['StateMachineName', 'StateMachineType'],
    'AWS::ApiGatewayV2::Api': ['ProtocolType'],
  };
  const stateful = Object.fromEntries(
    Object.entries(byDefault.resources)
      .filter(([, { Type }]) => replacedBy[Type])
      .map(([id, { Type, Properties = {} }]) => [
        id,
        {
          Type,
          ...Object.fromEntries(
            (replacedBy[Type] ?? [])
              .filter((name) => name in Properties)
              .map((name) => [name, Properties[name]]),
          ),
        },
      ]),
  );
  expect(stateful).toEqual(pinned);
});

/** Properties that are called a name, and name something else, or what need not be the only one of its name. */
const NOT_UNIQUE: Readonly<Record<string, readonly string[]>> = {
  'AWS::ApiGatewayV2::Api': ['Name'],
  'AWS::ApiGatewayV2::Authorizer': ['Name'],
  'AWS::ApiGatewayV2::Stage': ['StageName'],
  'AWS::CloudTrail::Trail': ['S3BucketName'],
  'AWS::CloudWatch::Alarm': ['MetricName'],
  'AWS::Events::Rule': ['EventBusName'],
  // A role's own, inside of it.
  'AWS::IAM::Policy': ['PolicyName'],
  'AWS::Lambda::Permission': ['FunctionName'],
};

/** The names that a stack takes in its account and region, as CloudFormation resolves them there. */
function namesTakenBy({ stack, template }: Synthesised): string[] {
  const { Resources, Outputs = {} } = template.toJSON() as {
    Resources: Record<string, Resource>;
    Outputs?: Record<string, { Export?: { Name: unknown } }>;
  };
  const pseudo: Readonly<Record<string, string>> = {
    'AWS::AccountId': '000000000000',
    'AWS::Partition': 'aws',
    'AWS::Region': 'us-east-1',
    'AWS::StackId': `arn:aws:cloudformation:us-east-1:000000000000:stack/${stack.stackName}/1`,
    'AWS::StackName': stack.stackName,
    'AWS::URLSuffix': 'amazonaws.com',
  };
  // CloudFormation names a resource after its stack; only then is what has its name in it another one in each stack.
  const ofResource = (id: string): string => {
    if (!Resources[id]) throw new Error(`There is no resource ${id}.`);
    return `${stack.stackName}-${id}`;
  };
  const scope = {
    ref: (id: string) => pseudo[id] ?? ofResource(id),
    attribute: (id: string, attribute: string) => `${ofResource(id)}.${attribute}`,
    condition: () => true,
    mappings: {},
  };
  const resolved = (what: string, value: unknown): string => `${what} ${String(resolve(value, scope))}`;
  return [
    ...Object.values(Resources).flatMap(({ Type, Properties = {} }) =>
      Object.entries(Properties)
        .filter(([name]) => name.endsWith('Name') && !NOT_UNIQUE[Type]?.includes(name))
        .map(([name, value]) => resolved(`${Type} ${name}`, value)),
    ),
    ...Object.values(Outputs).flatMap(({ Export }) => (Export ? [resolved('export', Export.Name)] : [])),
  ];
}

describe('two stacks fit into one account and region: no name is in both', () => {
  const inAnApp = (name: string): Synthesised => {
    const stack = new Stack(testApp(), name);
    new ResumableUploads(stack, 'Uploads', everyOption(stack));
    return new Synthesised(stack, Template.fromStack(stack));
  };

  const namedOnly = (stackName: string): Synthesised => {
    const stack = new Stack(testApp(), 'Test', { stackName });
    new ResumableUploads(stack, 'Uploads');
    return new Synthesised(stack, Template.fromStack(stack));
  };

  test.each<[string, (stackName: string) => Synthesised]>([
    ['by default', (name) => synthesise({}, name)],
    ['with every option that can be written in a file', (name) => synthesise(written(WRITTEN), name)],
    ['with every option of the construct', inAnApp],
    ['where only stackName tells them apart', namedOnly],
  ])(
    '%s',
    (_, stackOf) => {
      const names = namesTakenBy(stackOf('First'));
      expect(names).toContainEqual(expect.stringContaining('AWS::Events::EventBus Name'));
      const others = namesTakenBy(stackOf('Second'));
      expect(names.filter((name) => others.includes(name))).toEqual([]);
    },
    120_000,
  );
});

test('the stack is made of few kinds of resources, each of which the local stack has to know', () => {
  expect([...new Set(Object.values(byDefault.resources).map(({ Type }) => Type))].sort()).toEqual([
    'AWS::ApiGatewayV2::Api',
    'AWS::ApiGatewayV2::Integration',
    'AWS::ApiGatewayV2::Route',
    'AWS::ApiGatewayV2::Stage',
    'AWS::DynamoDB::Table',
    'AWS::Events::EventBus',
    'AWS::Events::Rule',
    'AWS::IAM::Policy',
    'AWS::IAM::Role',
    'AWS::Lambda::Function',
    'AWS::Lambda::Permission',
    'AWS::Logs::LogGroup',
    'AWS::S3::Bucket',
    'AWS::S3::BucketPolicy',
    'AWS::SQS::Queue',
    'AWS::SQS::QueuePolicy',
    'AWS::StepFunctions::StateMachine',
  ]);
});
