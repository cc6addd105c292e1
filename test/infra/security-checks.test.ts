import { describe, expect, test } from '@jest/globals';
import { Stack, Validations } from 'aws-cdk-lib';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { AwsSolutionsChecks } from 'cdk-nag';
import type { Construct } from 'constructs';
import { UploadAuth } from '../../infra/auth.ts';
import { ResumableUploads, type ResumableUploadsProps } from '../../infra/resumable-uploads.ts';
import { ResumableUploadsStack, type UploadsStackProps } from '../../infra/stack.ts';
import { everyOption, everythingBrought } from './every-option.ts';
import { testApp, written } from './synthesised.ts';
import { ALL_WRITTEN, WRITTEN } from './written-options.ts';

const findingsIn = (scope: Construct): string[] =>
  new AwsSolutionsChecks(scope)
    .validateScope(scope)
    .violations.flatMap(({ ruleName, violatingResources }) =>
      violatingResources.map(({ constructPath }) => `${ruleName} at ${constructPath}`),
    );

const stackOf = (options: UploadsStackProps): ResumableUploadsStack =>
  new ResumableUploadsStack(testApp(), 'Checked', options);

describe('the AwsSolutions checks find nothing that is not acknowledged with its reason', () => {
  test.each<[string, UploadsStackProps]>([
    ['by default', {}],
    [
      'with a key, logs, traces and alarms',
      { kmsKey: 'new', workflowLogs: 'all', tracing: true, alarms: true },
    ],
    [
      'with an open API and no access logs',
      {
        auth: UploadAuth.none({ iUnderstandThatAnyoneCanUpload: true }),
        accessLogs: false,
      },
    ],
    ['with a bucket of one’s own', { bucketName: 'videos', auth: UploadAuth.iam() }],
    ['with every option that can be written in a file', written(WRITTEN)],
    ['with every option that can be written in a file, and every name', written(ALL_WRITTEN)],
  ])(
    '%s',
    (_, options) => {
      expect(findingsIn(stackOf(options))).toEqual([]);
    },
    120_000,
  );

  test.each<[string, (stack: Stack) => ResumableUploadsProps]>([
    ['with every option', everyOption],
    ['with every option, and all brought along', (s) => ({ ...everyOption(s), ...everythingBrought(s) })],
  ])(
    '%s',
    (_, optionsIn) => {
      const stack = new Stack(testApp(), 'Checked');
      // What else is in the stack is the deployer's.
      expect(findingsIn(new ResumableUploads(stack, 'Uploads', optionsIn(stack)))).toEqual([]);
    },
    120_000,
  );

  // What is acknowledged goes by the options: a finding may be there only while another option is off.
  test.each(Object.entries(ALL_WRITTEN))(
    'with %s alone',
    (name, value) => {
      expect(findingsIn(stackOf(written({ [name]: value })))).toEqual([]);
    },
    120_000,
  );
});

test('the checks run, and another wildcard would be found', () => {
  const stack = stackOf({});
  stack.uploads.functions['get-options'].addToRolePolicy(
    new PolicyStatement({ actions: ['s3:*'], resources: [`${stack.uploads.bucket.bucketArn}/*`] }),
  );
  expect(findingsIn(stack)).toEqual([
    expect.stringContaining('AwsSolutions-IAM5[Action::s3:*]'),
    expect.stringMatching(/AwsSolutions-IAM5\[Resource::<UploadsBucket\w+\.Arn>\/\*\]/),
  ]);
});

test('synthesis of an app with the checks on goes through', () => {
  const app = testApp();
  new ResumableUploadsStack(app, 'Checked', {});
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  expect(app.synth().stacks).toHaveLength(1);
});

test('every acknowledgement gives a reason in a sentence', () => {
  const stack = stackOf({ workflowLogs: 'all', tracing: true });
  const reasons = stack.node
    .findAll()
    .flatMap(({ node }) => node.metadata)
    .filter(({ type }) => type === Validations.ACKNOWLEDGED_RULES_METADATA_KEY)
    .flatMap(({ data }) => Object.values(data as Record<string, string>));
  expect(reasons.length).toBeGreaterThan(20);
  for (const reason of reasons)
    expect(reason).toMatch(/^[A-Z].{40,}\.|.{40,} see the Service Authorization Reference\.$/);
});
