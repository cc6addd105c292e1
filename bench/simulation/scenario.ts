import type { Bucket } from '../../lambdas/storage/multipart.ts';
import { dueUploads, type Table, WATCH_SHARDS } from '../../lambdas/upload/store.ts';
import type { ExecutionInput, StateMachine } from '../../lambdas/workflow/execution.ts';
import { apiOf, sendPresigned, sendProxied } from './clients.ts';
import { SETTINGS, watch } from './functions.ts';
import { simulatedLambda } from './lambda.ts';
import { createMeter, type Meter, tokenBucket } from './meter.ts';
import { QUOTAS } from './quotas.ts';
import {
  signingClient,
  simulatedDynamoDb,
  simulatedEvents,
  simulatedS3,
  simulatedStates,
} from './services.ts';
import { seededRandom, simulatedTime } from './time.ts';
import { runWorkflow } from './workflow.ts';

export interface Scenario {
  readonly mode: 'proxy' | 'presigned';
  readonly uploads: number;
  /** All begin within this time. */
  readonly withinSeconds: number;
  readonly fileBytes: number;
  /** Of a chunk, or of a part. */
  readonly pieceBytes: number;
  /** Pieces of one file that are sent at the same time. Resumable.js: 3. */
  readonly atOnce: number;
  /** Each client's line. */
  readonly bitsPerSecond: number;
  /** All of one owner, or each of one of their own. */
  readonly owners: 'one' | 'many';
  /** Functions that may run at once. @default 1000, AWS's */
  readonly concurrency?: number;
}

export interface Outcome {
  readonly meter: Meter;
  /** Simulated seconds from an upload's last byte to its object, slowest first. */
  readonly completionSeconds: readonly number[];
  /** Simulated seconds from the first request to the last object. */
  readonly seconds: number;
}

const WATCHDOG_MS = 300_000;

/** Runs the scenario through the real functions, to the watchdog's last look. @throws Error unless every object is whole */
export async function simulate(scenario: Scenario): Promise<Outcome> {
  const start = Date.UTC(2026, 10, 22, 14);
  const time = simulatedTime(start);
  const meter = createMeter(time.now);
  const random = seededRandom(7);
  const table: Table = { client: await simulatedDynamoDb(time, meter), tableName: 'table' };
  const bucket: Bucket = { client: simulatedS3(time, meter), bucketName: 'bucket' };
  const eventBus = { client: simulatedEvents(time, meter), eventBusName: 'bus' };
  const lambda = simulatedLambda(time, meter, scenario.concurrency);
  const executions: Promise<void>[] = [];
  const ended = new Map<string, number>();
  const quota = tokenBucket(time.now, QUOTAS.startExecutions, QUOTAS.startExecutionsPerSecond);
  const stateMachine: StateMachine = {
    stateMachineArn: 'uploads',
    client: simulatedStates(time, (_name, text) => {
      if (!quota.take()) return false;
      meter.add('executions started');
      const input = JSON.parse(text) as ExecutionInput;
      const execution = runWorkflow({ time, meter, random, lambda, table, bucket, eventBus }, input);
      executions.push(execution.then(() => void ended.set(input.uploadId, time.now())));
      return true;
    }),
  };
  const signer: Bucket = { client: signingClient(), bucketName: 'bucket' };
  const services = { table, bucket, signer, stateMachine, settings: SETTINGS };
  const world = { time, meter, random, lambda, services };
  const api = apiOf(world);

  const sentAt = new Map<string, number>();
  const client = async (index: number): Promise<void> => {
    await time.sleep(random() * scenario.withinSeconds * 1000);
    const owner = scenario.owners === 'one' ? 'owner' : `owner-${index}`;
    const file = { ...scenario, owner, name: `file-${index}.mp4`, bytes: scenario.fileBytes };
    const uploadId = await (scenario.mode === 'proxy' ? sendProxied : sendPresigned)(world, api, file);
    sentAt.set(uploadId, time.now());
  };
  let isOver = false;
  const watching = async (): Promise<void> => {
    while (!isOver) {
      await time.sleep(WATCHDOG_MS);
      const until = time.now() + 250_000;
      await lambda.run('watchdog', 50, () =>
        watch({ ...services, eventBus, bucketName: 'bucket' }, time.now(), () => time.now() > until),
      );
    }
  };
  const all = async (): Promise<void> => {
    await Promise.all(Array.from({ length: scenario.uploads }, (_, index) => client(index)));
    await Promise.all(executions);
    // The last uploads are looked at when they have been quiet for five minutes.
    await time.sleep(3 * WATCHDOG_MS);
    isOver = true;
    for (const shard of WATCH_SHARDS)
      for await (const { uploadId } of dueUploads(table, shard, Number.MAX_SAFE_INTEGER))
        throw new Error(`The watchdog is not done with ${uploadId}.`);
  };
  await time.run(Promise.race([all(), watching().then(() => new Promise<void>(() => undefined))]));
  if (ended.size !== scenario.uploads)
    throw new Error(`${ended.size} of ${scenario.uploads} uploads are completed.`);
  return {
    meter,
    completionSeconds: [...ended]
      .map(([uploadId, at]) => (at - (sentAt.get(uploadId) ?? at)) / 1000)
      .sort((a, b) => b - a),
    seconds: (Math.max(...ended.values()) - start) / 1000,
  };
}
