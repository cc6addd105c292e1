import { Duration, type Stack } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import type { ITopic } from 'aws-cdk-lib/aws-sns';
import type * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import type { UploadMetric } from '../lambdas/metrics.ts';
import type { UploadFunctionName } from './function-map.ts';
import type { UploadFunctions } from './functions.ts';
import type { UploadApi } from './http-api.ts';
import type { UploadWorkflow } from './workflow.ts';

export interface MonitoringProps {
  readonly api: UploadApi;
  readonly functions: UploadFunctions;
  readonly workflow: UploadWorkflow;
  readonly undelivered: sqs.IQueue;
  /** Where alarms are told. Undefined: they are seen in the console only. */
  readonly topic: ITopic | undefined;
}

/** What a person should know of, each alarm with what to do about it: docs/operate.md has the longer story. */
export class UploadAlarms extends Construct {
  constructor(scope: Construct, id: string, props: MonitoringProps) {
    super(scope, id);
    const { functions, workflow, api, undelivered } = props;
    const period = Duration.minutes(5);
    const alarms = [
      // Not the executions that failed: one that opened its upload again is among them, and any client can cause it.
      uploadsFailed(functions, period).createAlarm(this, 'WorkflowFailed', {
        ...AT_ONCE,
        alarmDescription:
          'An upload could not be completed. Open the failed execution in the Step Functions console, mend the cause, and redrive it: it goes on at the task that failed.',
      }),
      workflow.stateMachine.metricTimedOut({ period }).createAlarm(this, 'WorkflowTimedOut', {
        ...AT_ONCE,
        alarmDescription:
          'An upload took too long to complete. Open the execution in the Step Functions console and see which task waits.',
      }),
      undelivered.metricApproximateNumberOfMessagesVisible({ period }).createAlarm(this, 'Undelivered', {
        ...AT_ONCE,
        alarmDescription:
          'A failed workflow could not be recorded. Read the queue: each message is the event; correct the cause in the logs of record-failure and send it there again.',
      }),
      functions.get('watchdog').metricErrors({ period }).createAlarm(this, 'WatchdogFails', {
        threshold: 1,
        evaluationPeriods: 3,
        comparisonOperator: cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        treatMissingData: cloudwatch.TreatMissingData.NOT_BREACHING,
        alarmDescription:
          'The watchdog has failed three times in a row: abandoned uploads stay, and interrupted completions wait. Read its log.',
      }),
      functions.get('watchdog').metricInvocations({ period }).createAlarm(this, 'WatchdogSilent', {
        threshold: 1,
        evaluationPeriods: 4,
        comparisonOperator: cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
        // No data is just what a schedule that was disabled looks like.
        treatMissingData: cloudwatch.TreatMissingData.BREACHING,
        alarmDescription:
          'The watchdog has not run for 20 minutes. See whether its EventBridge rule is enabled.',
      }),
      new cloudwatch.MathExpression({
        label: 'Answers of 500 and above, in percent',
        expression: '100 * errors / FILL(requests, 1)',
        usingMetrics: { errors: serverErrors(api, period), requests: requests(api, period) },
        period,
      }).createAlarm(this, 'ServerErrors', {
        threshold: 1,
        evaluationPeriods: 3,
        comparisonOperator: cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
        treatMissingData: cloudwatch.TreatMissingData.NOT_BREACHING,
        alarmDescription:
          'More than 1 % of requests are answered with 500 or above: clients retry, but uploads are slow. Read the logs of the functions, and look for throttled ones.',
      }),
    ];
    if (props.topic) {
      const action = new SnsAction(props.topic);
      for (const alarm of alarms) alarm.addAlarmAction(action);
    }
  }
}

const AT_ONCE = {
  threshold: 1,
  evaluationPeriods: 1,
  comparisonOperator: cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
  treatMissingData: cloudwatch.TreatMissingData.NOT_BREACHING,
};

/** Uploads, completions and what goes wrong, on one page. */
export class UploadDashboard extends Construct {
  constructor(scope: Construct, id: string, props: Omit<MonitoringProps, 'topic'>) {
    super(scope, id);
    const { api, functions, workflow, undelivered } = props;
    const period = Duration.minutes(5);
    const { stateMachine } = workflow;
    const graph = (title: string, left: cloudwatch.IMetric[]): cloudwatch.GraphWidget =>
      new cloudwatch.GraphWidget({ title, left, width: 12, height: 6 });
    new cloudwatch.Dashboard(this, 'Dashboard', {
      widgets: [
        [
          graph('Requests', [requests(api, period), serverErrors(api, period)]),
          graph('Completions', [
            stateMachine.metricStarted({ period }),
            stateMachine.metricSucceeded({ period }),
            stateMachine.metricFailed({ period }),
            stateMachine.metricTimedOut({ period }),
          ]),
        ],
        [
          graph('Time to complete', [stateMachine.metricTime({ period })]),
          graph('Chunks', [
            functions.get('receive-chunk').metricInvocations({ period }),
            functions.get('receive-chunk').metricErrors({ period }),
            functions.get('receive-chunk').metricThrottles({ period }),
          ]),
        ],
        [
          graph('Watchdog', [
            functions.get('watchdog').metricInvocations({ period }),
            functions.get('watchdog').metricErrors({ period }),
          ]),
          graph('Undelivered events', [undelivered.metricApproximateNumberOfMessagesVisible({ period })]),
        ],
      ],
    });
  }
}

/** Counted by record-failure, and by the watchdog where the event of the failure was lost. */
function uploadsFailed({ metricNamespace }: UploadFunctions, period: Duration): cloudwatch.MathExpression {
  const countedBy = (service: UploadFunctionName): cloudwatch.Metric =>
    new cloudwatch.Metric({
      namespace: metricNamespace,
      metricName: 'UploadsFailed' satisfies UploadMetric,
      dimensionsMap: { service },
      statistic: 'Sum',
      period,
    });
  return new cloudwatch.MathExpression({
    label: 'Uploads that failed',
    expression: 'FILL(told, 0) + FILL(found, 0)',
    usingMetrics: { told: countedBy('record-failure'), found: countedBy('watchdog') },
    period,
  });
}

const requests = (api: UploadApi, period: Duration): cloudwatch.Metric =>
  api.stage.metricCount({ period, statistic: 'Sum' });

const serverErrors = (api: UploadApi, period: Duration): cloudwatch.Metric =>
  api.stage.metricServerError({ period, statistic: 'Sum' });

/** Where operators see every completion, its steps and its failures. */
export const consoleUrl = (stack: Stack, stateMachineArn: string): string =>
  `https://${stack.region}.console.aws.amazon.com/states/home?region=${stack.region}#/statemachines/view/${stateMachineArn}`;
