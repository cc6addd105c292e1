import { type EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { EVENT_SOURCE, type UploadEventDetail } from './upload-event.ts';

export interface EventBus {
  readonly client: EventBridgeClient;
  readonly eventBusName: string;
}

/** Emits one event. PutEvents resolves also when the bus refused the entry: that is thrown here. */
export async function putEvent(
  { client, eventBusName }: EventBus,
  detailType: string,
  detail: UploadEventDetail,
): Promise<void> {
  const { FailedEntryCount, Entries } = await client.send(
    new PutEventsCommand({
      Entries: [
        {
          EventBusName: eventBusName,
          Source: EVENT_SOURCE,
          DetailType: detailType,
          Detail: JSON.stringify(detail),
        },
      ],
    }),
  );
  if (FailedEntryCount) {
    const entry = Entries?.[0];
    throw new Error(`EventBridge refused "${detailType}": ${entry?.ErrorCode} ${entry?.ErrorMessage}`);
  }
}
