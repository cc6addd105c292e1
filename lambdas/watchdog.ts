import type { Context } from 'aws-lambda';
import { dynamoDbClient } from './clients/dynamodb.ts';
import { eventBridgeClient } from './clients/event-bridge.ts';
import { s3Client } from './clients/s3.ts';
import { stepFunctionsClient } from './clients/step-functions.ts';
import { settings, variable } from './environment.ts';
import { logger } from './http/logger.ts';
import { count } from './metrics.ts';
import { type LookServices, lookAfter } from './upload/look.ts';
import { dueUploads, getUpload, type UploadAddress, WATCH_SHARDS } from './upload/store.ts';

/** What a run keeps of its time for the looks under way: no new one begins then. The rest is due at the next run. */
const LAST_LOOK_MS = 30_000;

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
 *
 * The index's partitions are worked through side by side, each one look after another.
 *
 * @param isTimeUp whether to begin no further look
 */
export async function watch(
  services: LookServices,
  now: number,
  isTimeUp: () => boolean,
): Promise<{ looked: number; failed: number }> {
  let looked = 0;
  let failed = 0;
  const workThrough = async (shard: string): Promise<void> => {
    for await (const address of dueUploads(services.table, shard, now)) {
      if (isTimeUp()) return;
      looked++;
      try {
        await look(services, address, now);
      } catch (error) {
        // One upload's trouble must not keep the others from being looked after; it is due again at the next run.
        failed++;
        log.error('look failed', { uploadId: address.uploadId, error: error as Error });
      }
    }
  };
  await Promise.all(WATCH_SHARDS.split('').map(workThrough));
  return { looked, failed };
}

async function look(services: LookServices, address: UploadAddress, now: number): Promise<void> {
  const upload = await getUpload(services.table, address, now);
  if (!upload) return;
  const outcome = await lookAfter(services, upload, now);
  log.info('looked after', { uploadId: upload.uploadId, attempt: upload.attempt, outcome });
  if (outcome === 'expired') count('UploadsExpired');
  if (outcome === 'failed') count('UploadsFailed');
  if (outcome === 'completing') count('UploadsRescued');
}

const services = buildServices();
export const handler = async (
  _event: unknown,
  context: Pick<Context, 'getRemainingTimeInMillis'>,
): Promise<{ looked: number; failed: number }> => {
  const isTimeUp = () => context.getRemainingTimeInMillis() < LAST_LOOK_MS;
  const result = await watch(services, Date.now(), isTimeUp);
  if (result.failed > 0) throw new Error(`${result.failed} of ${result.looked} looks failed; see the log.`);
  return result;
};
