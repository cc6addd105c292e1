import { dynamoDbClient } from './clients/dynamodb.ts';
import { eventBridgeClient } from './clients/event-bridge.ts';
import { settings, variable } from './environment.ts';
import { type EventBus } from './events/put-event.ts';
import { logger } from './http/logger.ts';
import { count } from './metrics.ts';
import type { UploadSettings } from './upload/settings.ts';
import type { Table } from './upload/store.ts';
import { type ExecutionInput, readExecutionInput } from './workflow/execution.ts';
import { recordFailure } from './workflow/failure.ts';

/** The service's own event, source `aws.states`: https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html */
export interface StatusChangeEvent {
  readonly detail: {
    readonly name: string;
    readonly status: 'FAILED' | 'TIMED_OUT' | 'ABORTED';
    readonly input: string;
    readonly error?: string | null;
    readonly cause?: string | null;
  };
}

export interface Services {
  readonly table: Table;
  readonly eventBus: EventBus;
  readonly settings: UploadSettings;
  readonly bucketName: string;
}

const log = logger();
const services: Services = {
  table: { client: dynamoDbClient(), tableName: variable('TABLE_NAME') },
  eventBus: { client: eventBridgeClient(), eventBusName: variable('EVENT_BUS_NAME') },
  settings: settings(),
  bucketName: variable('BUCKET_NAME'),
};

/**
 * An execution ended without success, for whatever reason, its own or an operator's: the upload has failed, and its
 * consumers are told. An execution that opened its upload again is no failure, nor is one started by hand that never
 * named an upload.
 */
export const handler = async ({ detail }: StatusChangeEvent): Promise<void> => {
  log.resetKeys();
  const input = readInput(detail);
  if (!input) return;
  log.appendKeys({ uploadId: input.uploadId, attempt: input.attempt, run: input.run });
  const failure = { error: detail.error ?? detail.status, cause: detail.cause ?? '' };
  const outcome = await recordFailure(services, input, failure, Date.now());
  log.warn('execution ended without success', { outcome, ...failure });
  if (outcome === 'failed') count('UploadsFailed');
};

function readInput(detail: StatusChangeEvent['detail']): ExecutionInput | undefined {
  try {
    return readExecutionInput(JSON.parse(detail.input));
  } catch (error) {
    log.warn('execution without an upload', { execution: detail.name, error: error as Error });
    return undefined;
  }
}
