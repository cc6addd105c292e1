import { readFileSync } from 'node:fs';
import { UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { type EventBus, putEvent } from '../../lambdas/events/put-event.ts';
import { DETAIL_TYPES } from '../../lambdas/events/upload-event.ts';
import type { Bucket } from '../../lambdas/storage/multipart.ts';
import type { Table } from '../../lambdas/upload/store.ts';
import type { ExecutionInput } from '../../lambdas/workflow/execution.ts';
import { assemblePart, completeUpload, gatherParts, SETTINGS } from './functions.ts';
import { type SimulatedLambda, Throttled } from './lambda.ts';
import type { Meter } from './meter.ts';
import type { SimulatedTime } from './time.ts';

interface Retry {
  readonly IntervalSeconds: number;
  readonly BackoffRate: number;
  readonly MaxDelaySeconds: number;
  readonly MaxAttempts: number;
}
interface Task {
  readonly Parameters: Readonly<Record<string, unknown>>;
  readonly Retry: readonly Retry[];
}

/** The deployed definition: concurrency, retries and the last update are taken from it. */
const { States } = JSON.parse(
  readFileSync(new URL('../../statemachine/complete-upload.asl.json', import.meta.url), 'utf8'),
) as {
  States: {
    'Gather parts': Task;
    'Assemble parts': {
      MaxConcurrency: number;
      ItemProcessor: { States: { 'Assemble part': Task } };
    };
    'Complete upload': Task;
    'Mark completed': Task;
  };
};

export interface WorkflowWorld {
  readonly time: SimulatedTime;
  readonly meter: Meter;
  readonly random: () => number;
  readonly lambda: SimulatedLambda;
  readonly table: Table;
  readonly bucket: Bucket;
  readonly eventBus: EventBus;
}

/** One execution: the real functions, called as the state machine calls them. */
export async function runWorkflow(world: WorkflowWorld, input: ExecutionInput): Promise<void> {
  const { time, meter, table, bucket, eventBus, lambda } = world;
  const services = { table, bucket, settings: SETTINGS };
  meter.add('transitions', 2);
  const plan = await retried(world, States['Gather parts'], () =>
    lambda.run('gather-parts', 10, () => gatherParts(input, services, time.now())),
  );
  meter.add('transitions');
  const { MaxConcurrency, ItemProcessor } = States['Assemble parts'];
  const parts = plan.parts.values();
  await Promise.all(
    Array.from({ length: Math.min(MaxConcurrency, plan.parts.length) }, async () => {
      for (const partNumber of parts) {
        meter.add('transitions');
        await retried(world, ItemProcessor.States['Assemble part'], () =>
          lambda.run('assemble-part', 100, () =>
            assemblePart({ upload: plan.upload, partNumber }, services, time.now()),
          ),
        );
      }
    }),
  );
  meter.add('transitions');
  const completed = await retried(world, States['Complete upload'], () =>
    lambda.run('complete-upload', 10, () => completeUpload(plan.upload, services, time.now())),
  );
  meter.add('transitions');
  await table.client.send(
    new UpdateItemCommand({
      ...(resolved(States['Mark completed'].Parameters, completed) as object),
      TableName: table.tableName,
      Key: { pk: { S: completed.pk }, sk: { S: 'upload' } },
    }),
  );
  meter.add('transitions');
  await putEvent(eventBus, DETAIL_TYPES.completed, completed.event);
}

/** A state's parameters: what ends in `.$` is taken from its input. */
function resolved(parameters: unknown, input: object): unknown {
  if (Array.isArray(parameters) || typeof parameters !== 'object' || parameters === null) return parameters;
  return Object.fromEntries(
    Object.entries(parameters).map(([name, value]) =>
      name.endsWith('.$')
        ? [name.slice(0, -2), (input as Record<string, unknown>)[String(value).slice(2)]]
        : [name, resolved(value, input)],
    ),
  );
}

/** Throttling is retried as the definition says, with full jitter; each retry is a transition. */
async function retried<T>(
  { time, meter, random }: WorkflowWorld,
  { Retry }: Task,
  task: () => Promise<T>,
): Promise<T> {
  const [rule] = Retry;
  for (let attempt = 0; ; attempt++) {
    try {
      return await task();
    } catch (error) {
      if (!(error instanceof Throttled) || !rule || attempt >= rule.MaxAttempts) throw error;
      meter.add('transitions');
      meter.add('workflow retries');
      const seconds = Math.min(rule.IntervalSeconds * rule.BackoffRate ** attempt, rule.MaxDelaySeconds);
      await time.sleep(random() * seconds * 1000);
    }
  }
}
