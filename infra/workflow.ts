import { readFileSync } from 'node:fs';
import { type RemovalPolicy, Stack } from 'aws-cdk-lib';
import type { ITable } from 'aws-cdk-lib/aws-dynamodb';
import * as events from 'aws-cdk-lib/aws-events';
import { LambdaFunction } from 'aws-cdk-lib/aws-events-targets';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import * as logs from 'aws-cdk-lib/aws-logs';
import type * as sqs from 'aws-cdk-lib/aws-sqs';
import * as stepfunctions from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { uploadFunctions } from './function-map.ts';
import type { UploadFunctions } from './functions.ts';
import { tableKeyStatement } from './permissions.ts';

/** `none` by default: a Standard execution's history is in the console for 90 days, at no cost. */
export type WorkflowLogs = 'none' | 'errors' | 'all';

export interface UploadWorkflowProps {
  readonly functions: UploadFunctions;
  readonly table: ITable;
  readonly eventBus: events.IEventBus;
  readonly logs: WorkflowLogs;
  readonly logRetention: logs.RetentionDays;
  readonly logRemoval: RemovalPolicy;
  readonly tracing: boolean;
  /** Takes failures that could not be recorded. */
  readonly undelivered: sqs.IQueue;
}

const DEFINITION = new URL('../statemachine/complete-upload.asl.json', import.meta.url);

/**
 * Completes uploads: one Standard execution for each. Standard, since only it starts once by name and keeps the
 * history that operators look at.
 */
export class UploadWorkflow extends Construct {
  readonly stateMachine: stepfunctions.StateMachine;

  constructor(scope: Construct, id: string, props: UploadWorkflowProps) {
    super(scope, id);
    const steps = uploadFunctions().flatMap(([name, { trigger }]) =>
      'step' in trigger ? [{ placeholder: `${trigger.step}FunctionArn`, fn: props.functions.get(name) }] : [],
    );
    this.stateMachine = new stepfunctions.StateMachine(this, 'StateMachine', {
      comment:
        'Completes one upload: gathers its parts, assembles staged chunks, completes it in S3, and tells',
      stateMachineType: stepfunctions.StateMachineType.STANDARD,
      definitionBody: stepfunctions.DefinitionBody.fromString(readFileSync(DEFINITION, 'utf8')),
      definitionSubstitutions: {
        ...Object.fromEntries(steps.map(({ placeholder, fn }) => [placeholder, fn.functionArn])),
        Partition: Stack.of(this).partition,
        TableName: props.table.tableName,
        EventBusName: props.eventBus.eventBusName,
      },
      tracingEnabled: props.tracing,
      ...this.logOptions(props),
    });
    const statements = [
      new PolicyStatement({
        actions: ['lambda:InvokeFunction'],
        resources: steps.map(({ fn }) => fn.functionArn),
      }),
      new PolicyStatement({ actions: ['dynamodb:UpdateItem'], resources: [props.table.tableArn] }),
      new PolicyStatement({ actions: ['events:PutEvents'], resources: [props.eventBus.eventBusArn] }),
      ...(props.table.encryptionKey ? [tableKeyStatement(props.table.encryptionKey)] : []),
    ];
    for (const statement of statements) this.stateMachine.addToRolePolicy(statement);
    this.recordFailures(props);
  }

  /**
   * Not a Catch inside the workflow: an execution that failed at its task can be redriven from there, one that was
   * led to a Fail state cannot. Step Functions sends these events to the account's default bus.
   * https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
   */
  private recordFailures({ functions, undelivered }: UploadWorkflowProps): void {
    const rule = new events.Rule(this, 'Failed', {
      description: 'Records uploads whose workflow failed',
      eventPattern: {
        source: ['aws.states'],
        detailType: ['Step Functions Execution Status Change'],
        detail: {
          status: ['FAILED', 'TIMED_OUT', 'ABORTED'],
          stateMachineArn: [this.stateMachine.stateMachineArn],
        },
      },
    });
    for (const [name, { trigger }] of uploadFunctions()) {
      // EventBridge tries for 24 hours by default, then the event goes to the queue.
      if ('on' in trigger) {
        rule.addTarget(new LambdaFunction(functions.get(name), { deadLetterQueue: undelivered }));
      }
    }
  }

  private logOptions(props: UploadWorkflowProps): { logs?: stepfunctions.LogOptions } {
    if (props.logs === 'none') return {};
    return {
      logs: {
        destination: new logs.LogGroup(this, 'Logs', {
          retention: props.logRetention,
          removalPolicy: props.logRemoval,
        }),
        level: props.logs === 'all' ? stepfunctions.LogLevel.ALL : stepfunctions.LogLevel.ERROR,
        // File names and what clients say about their files stay out of the log.
        includeExecutionData: false,
      },
    };
  }
}
