/** The event that Step Functions puts on the default bus when an execution's status changes. */
import type { ServiceEvent } from '../events.ts';
import type { Execution } from './store.ts';

/** "If the combined escaped input and escaped output … exceeds 248KB, then the input will be excluded." */
const MAX_PAYLOAD_BYTES = 248 * 1024;

const escapedBytes = (text: string | null): number =>
  text === null ? 0 : Buffer.byteLength(JSON.stringify(text));

/** https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html */
export function statusEvent(
  execution: Execution,
  arns: { readonly executionArn: string; readonly stateMachineArn: string },
): ServiceEvent {
  const { input, output } = execution;
  const outputIncluded = escapedBytes(output) <= MAX_PAYLOAD_BYTES;
  const inputIncluded =
    escapedBytes(input) + (outputIncluded ? escapedBytes(output) : 0) <= MAX_PAYLOAD_BYTES;
  return {
    source: 'aws.states',
    detailType: 'Step Functions Execution Status Change',
    resources: [arns.executionArn],
    detail: {
      ...arns,
      name: execution.name,
      status: execution.status,
      startDate: execution.startDate,
      stopDate: execution.stopDate,
      input: inputIncluded ? input : null,
      output: outputIncluded ? output : null,
      inputDetails: { included: inputIncluded },
      outputDetails: output === null ? null : { included: outputIncluded },
      error: execution.error,
      cause: execution.cause,
      stateMachineVersionArn: null,
      stateMachineAliasArn: null,
      redriveCount: execution.redriveCount,
      redriveDate: execution.redriveDate,
      redriveStatus: ['FAILED', 'TIMED_OUT', 'ABORTED'].includes(execution.status)
        ? 'REDRIVABLE'
        : 'NOT_REDRIVABLE',
      redriveStatusReason: null,
    },
  };
}
