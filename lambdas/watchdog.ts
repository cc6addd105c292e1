import { dynamoDbClient } from './clients/dynamodb.ts';
import { eventBridgeClient } from './clients/event-bridge.ts';
import { s3Client } from './clients/s3.ts';
import { stepFunctionsClient } from './clients/step-functions.ts';
import { settings, variable } from './environment.ts';
import { logger } from './http/logger.ts';
import { count } from './metrics.ts';
import { type LookServices, lookAfter } from './upload/look.ts';
import { dueUploads, getUpload } from './upload/store.ts';

/** Uploads looked at in one run, for each of the index's 16 partitions; the rest is due at the next run. */
const PER_SHARD = 100;
/** Looked at side by side. */
const CONCURRENCY = 16;

const log = logger();

function buildServices(): LookServices {
  return {
    table: { client: dynamoDbClient(), tableName: variable('TABLE_NAME') },
    bucket: { client: s3Client(), bucketName: variable('BUCKET_NAME') },
    stateMachine: { client: stepFunctionsClient(), stateMachineArn: variable('STATE_MACHINE_ARN') },
    eventBus: { client: eventBridgeClient(), eventBusName: variable('EVENT_BUS_NAME') },
    settings: settings(),
    bucketName: variable('BUCKET_NAME'),
  };
}

/**
 * Looks after every upload whose time to be looked at has come: starts what is stuck, ends what is abandoned, and
 * sweeps up behind what is over. Two runs at once do no harm, since every change is conditional.
 */
export async function watch(
  services: LookServices,
  now: number,
): Promise<{ looked: number; failed: number }> {
  const due = await dueUploads(services.table, now, PER_SHARD);
  const queue = due.values();
  let failed = 0;
  const worker = async (): Promise<void> => {
    for (const address of queue) {
      try {
        const upload = await getUpload(services.table, address, now);
        if (!upload) continue;
        const outcome = await lookAfter(services, upload, now);
        log.info('looked after', { uploadId: upload.uploadId, attempt: upload.attempt, outcome });
        if (outcome === 'expired') count('UploadsExpired');
        if (outcome === 'completing') count('UploadsRescued');
      } catch (error) {
        // One upload's trouble must not keep the others from being looked after; it is due again at the next run.
        failed++;
        log.error('look failed', { uploadId: address.uploadId, error: error as Error });
      }
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  return { looked: due.length, failed };
}

const services = buildServices();
export const handler = async (): Promise<{ looked: number; failed: number }> => {
  const result = await watch(services, Date.now());
  if (result.failed > 0) throw new Error(`${result.failed} of ${result.looked} looks failed; see the log.`);
  return result;
};
