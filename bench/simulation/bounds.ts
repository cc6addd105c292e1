import { readFileSync } from 'node:fs';
import { MiB } from '../../lambdas/parts/geometry.ts';
import type { UploadRecord } from '../../lambdas/upload/record.ts';
import { type Plan, planOf } from '../../lambdas/workflow/plan.ts';

interface State {
  readonly Type: string;
  readonly ItemProcessor?: { readonly States: Readonly<Record<string, State>> };
}

const definition = JSON.parse(
  readFileSync(new URL('../../statemachine/complete-upload.asl.json', import.meta.url), 'utf8'),
) as { States: Readonly<Record<string, State>> };

/** TaskStateEntered, TaskScheduled, TaskStarted, TaskSucceeded, TaskStateExited. */
const TASK_EVENTS = 5;
/** MapStateEntered, MapStateStarted, MapStateSucceeded, MapStateExited. */
const MAP_EVENTS = 4;
/** MapIterationStarted, MapIterationSucceeded. */
const ITERATION_EVENTS = 2;
/** TaskFailed or TaskTimedOut, TaskScheduled, TaskStarted. */
export const RETRY_EVENTS = 3;

/** Events of an execution's history without retries, by the deployed definition. */
export function historyEvents(assembledParts: number): number {
  const ofStates = (states: Readonly<Record<string, State>>): number =>
    Object.values(states).reduce((sum, { Type, ItemProcessor }) => {
      if (Type === 'Task') return sum + TASK_EVENTS;
      if (Type !== 'Map' || !ItemProcessor) throw new Error(`No events are known for a ${Type} state.`);
      return sum + MAP_EVENTS + assembledParts * (ITERATION_EVENTS + ofStates(ItemProcessor.States));
    }, 0);
  // ExecutionStarted and ExecutionSucceeded.
  return 2 + ofStates(definition.States);
}

/** The plan of as many parts as there can be, with names as long as they can be. */
export function largestPlan(): Plan {
  const pieceSize = 4 * MiB;
  const upload = {
    owner: 'o'.repeat(64),
    uploadId: 'f'.repeat(32),
    attempt: 'z'.repeat(14),
    run: 5,
    mode: 'proxy',
    fileName: 'file.mp4',
    s3UploadId: 'u'.repeat(1024),
    totalSize: 1_000_000 * pieceSize,
    pieceSize,
  } as UploadRecord & { s3UploadId: string };
  // Without a chunk that came the short way, every part is to be assembled.
  const plan = planOf(upload, new Map());
  // S3's keys have 1,024 bytes at most.
  return { ...plan, upload: { ...plan.upload, key: 'k'.repeat(1024) } };
}
