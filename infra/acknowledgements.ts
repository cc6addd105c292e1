import { Stack, Validations } from 'aws-cdk-lib';
import { CfnRoute, CfnStage } from 'aws-cdk-lib/aws-apigatewayv2';
import { CfnTable } from 'aws-cdk-lib/aws-dynamodb';
import { CfnPolicy } from 'aws-cdk-lib/aws-iam';
import { CfnBucket } from 'aws-cdk-lib/aws-s3';
import { CfnStateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import type { IConstruct } from 'constructs';
import { STAGING_PREFIX, UPLOADS_PREFIX } from './storage.ts';

/**
 * What the AwsSolutions checks of cdk-nag find here on purpose, and why. Each is acknowledged on the very resource,
 * and a wildcard by its very text: any other is still found.
 */
export function acknowledgeFindings(scope: IConstruct): void {
  for (const node of scope.node.findAll()) {
    const findings = findingsOf(node);
    for (const [id, reason] of Object.entries(findings)) Validations.of(node).acknowledge({ id, reason });
  }
}

function findingsOf(node: IConstruct): Record<string, string> {
  if (node instanceof CfnPolicy) return wildcardsOf(node);
  if (node instanceof CfnBucket && !node.loggingConfiguration) {
    return {
      'AwsSolutions-S1':
        'Server access logs need a bucket whose retention and readers the deployer decides on: the bucketAccessLogs option takes it. What the functions do is in their logs without it.',
    };
  }
  if (node instanceof CfnTable) {
    return {
      'AwsSolutions-DDB3':
        'The table holds the state of uploads under way, for days: restored to an earlier minute it would contradict S3. The pointInTimeRecovery option is for who wants it all the same.',
    };
  }
  if (node instanceof CfnStateMachine) {
    return {
      'AwsSolutions-SF1':
        'A Standard execution keeps its whole history in the console for 90 days, without the cost of logs; the workflowLogs option adds them.',
      'AwsSolutions-SF2':
        'Tracing costs for every execution; the tracing option adds it. The execution history shows the time that each step took.',
    };
  }
  if (node instanceof CfnStage && !node.accessLogSettings) {
    return { 'AwsSolutions-APIG1': 'The deployer turned access logs off with accessLogs: false.' };
  }
  if (node instanceof CfnRoute && node.authorizationType === 'NONE') {
    return {
      'AwsSolutions-APIG4':
        'The deployer chose an open API and confirmed it: auth is none, with iUnderstandThatAnyoneCanUpload.',
    };
  }
  return {};
}

/** The ends of the wildcards that are meant, by what stands before the asterisk. */
const WILDCARDS: readonly { readonly end: RegExp; readonly reason: string }[] = [
  {
    end: new RegExp(`/${UPLOADS_PREFIX}\\*$`),
    reason: 'Keys of uploads are made for each of them; the permission ends at their prefix.',
  },
  {
    end: new RegExp(`/${STAGING_PREFIX}\\*$`),
    reason: 'Keys of staged chunks are made for each of them; the permission ends at their prefix.',
  },
  {
    end: /:execution:.+:\*$/,
    reason: "Executions are named after uploads; the permission ends at this state machine's own.",
  },
];

/** X-Ray and log delivery have no resources to name: AWS's documentation asks for all. */
const ALL_RESOURCES =
  'The X-Ray and the log delivery actions take no narrower resource: see the Service Authorization Reference.';
const RESOURCELESS = /^(xray|logs):/;

function wildcardsOf(policy: CfnPolicy): Record<string, string> {
  const { Statement: statements } = Stack.of(policy).resolve(policy.policyDocument) as {
    Statement?: { Action: string | string[]; Resource: unknown }[];
  };
  const findings: Record<string, string> = {};
  for (const { Action, Resource } of statements ?? []) {
    for (const resource of [Resource].flat().map(flatten)) {
      const known = WILDCARDS.find(({ end }) => end.test(resource));
      if (known) findings[`AwsSolutions-IAM5[Resource::${resource}]`] = known.reason;
      if (resource === '*' && [Action].flat().every((action) => RESOURCELESS.test(action))) {
        findings['AwsSolutions-IAM5[Resource::*]'] = ALL_RESOURCES;
      }
    }
  }
  return findings;
}

/** As cdk-nag writes a reference in the id of a finding: `<LogicalId.Attribute>/uploads/*`. */
function flatten(node: unknown): string {
  if (typeof node === 'string') return node;
  const {
    Ref,
    'Fn::GetAtt': attribute,
    'Fn::Join': join,
  } = node as {
    readonly Ref?: string;
    readonly 'Fn::GetAtt'?: readonly [string, string];
    readonly 'Fn::Join'?: readonly [string, readonly unknown[]];
  };
  if (join) return join[1].map(flatten).join(join[0]);
  if (attribute) return `<${attribute.join('.')}>`;
  return Ref === undefined ? JSON.stringify(node) : `<${Ref}>`;
}
