import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { synthesise } from './synthesised.ts';

const first = synthesise();
const second = synthesise({}, 'Second');

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
    'AWS::DynamoDB::Table': ['TableName', 'KeySchema', 'AttributeDefinitions', 'GlobalSecondaryIndexes'],
    'AWS::Events::EventBus': ['Name'],
    'AWS::SQS::Queue': ['QueueName', 'FifoQueue'],
    'AWS::StepFunctions::StateMachine': ['StateMachineName', 'StateMachineType'],
    'AWS::ApiGatewayV2::Api': ['ProtocolType'],
  };
  const stateful = Object.fromEntries(
    Object.entries(first.resources)
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

test('two stacks fit into one account and region: no name is in both', () => {
  const fixed =
    /^(BucketName|TableName|FunctionName|RoleName|PolicyName|QueueName|LogGroupName|StateMachineName|RuleName|AlarmName|DashboardName|Name)$/;
  const namesIn = (stack: typeof first): string[] =>
    Object.entries(stack.resources).flatMap(([, { Type, Properties = {} }]) =>
      Object.entries(Properties)
        // Names of HTTP APIs and authorizers need not be unique; inline policies have theirs within their role.
        .filter(([name]) => fixed.test(name) && !/^AWS::(ApiGatewayV2|IAM::Policy)/.test(Type))
        .map(([name, value]) => `${Type} ${name} ${JSON.stringify(value)}`)
        .filter((line) => !line.includes('{"Ref"') && !line.includes('{"Fn::')),
    );
  expect(namesIn(first)).toEqual([expect.stringContaining('AWS::Events::EventBus Name')]);
  expect(namesIn(first).filter((name) => namesIn(second).includes(name))).toEqual([]);
});

test('the stack is made of few kinds of resources, each of which the local stack has to know', () => {
  expect([...new Set(Object.values(first.resources).map(({ Type }) => Type))].sort()).toEqual([
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
