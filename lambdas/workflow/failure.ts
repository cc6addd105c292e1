import { type EventBus, putEvent } from '../events/put-event.ts';
import {
  completedDetail,
  DETAIL_TYPES,
  eventDetail,
  isoTime,
  type UploadFailedDetail,
} from '../events/upload-event.ts';
import { FIRST_LOOK_SECONDS, pauseBeforeLook } from '../upload/lifecycle.ts';
import { executionNameOf } from '../upload/record.ts';
import type { UploadSettings } from '../upload/settings.ts';
import { changeUpload, getUpload, type Table } from '../upload/store.ts';
import { isFinal } from './errors.ts';
import type { ExecutionInput } from './execution.ts';

/** Causes carry stack traces; an upload's item is to stay small. */
const MAX_CAUSE = 300;

/** What became of an upload whose execution ended without success. */
export type FailureOutcome =
  | 'failed'
  /** The object is there; only the last step, the event, had failed. It has been emitted from here. */
  | 'announced'
  /** Opened again, ended or started over: no failure of this upload. */
  | 'none';

/**
 * Marks an upload failed and emits "Upload Failed". It stays as it is until it is as old as an upload may become, so
 * that the execution can be redriven: by the watchdog, unless the cause is final, or by ops who have mended it. Where the upload had been completed already, the event that
 * the execution could not emit is emitted instead.
 */
export async function recordFailure(
  services: {
    readonly table: Table;
    readonly eventBus: EventBus;
    readonly settings: UploadSettings;
    readonly bucketName: string;
  },
  input: ExecutionInput,
  failure: { readonly error: string; readonly cause: string },
  now: number,
): Promise<FailureOutcome> {
  const { table, eventBus, settings, bucketName } = services;
  const current = await getUpload(table, input, now);
  if (current?.attempt !== input.attempt || current.run !== input.run) return 'none';
  if (current.status === 'completed') {
    await putEvent(eventBus, DETAIL_TYPES.completed, completedDetail(current, bucketName, {}));
    return 'announced';
  }
  const seconds = Math.floor(now / 1000);
  const expiresAt = current.createdAt + settings.maxAgeSeconds;
  const failed = await changeUpload(table, current, {
    set: {
      status: 'failed',
      failure: { error: failure.error, cause: messageOf(failure.cause).slice(0, MAX_CAUSE) },
      expiresAt,
      // Whoever dies before it is told has the watchdog tell it.
      announced: undefined,
      nextLook: seconds + FIRST_LOOK_SECONDS,
    },
    // `failed` too: an earlier try at this may have died before it could emit the event.
    when: { status: ['completing', 'failed'], run: input.run },
  });
  if (!failed) return 'none';

  const name = executionNameOf(failed);
  const detail: UploadFailedDetail = {
    ...eventDetail(failed, bucketName, `${name}:failed`),
    failedAt: isoTime(seconds),
    executionName: name,
    error: failure.error,
    cause: failure.cause.slice(0, MAX_CAUSE),
  };
  await putEvent(eventBus, DETAIL_TYPES.failed, detail);
  const redrivenAt = seconds + pauseBeforeLook(current.redrives ?? 0);
  await changeUpload(table, failed, {
    set: { announced: true, nextLook: isFinal(failure) ? expiresAt : Math.min(redrivenAt, expiresAt) },
    when: { status: ['failed'], run: input.run },
  });
  return 'failed';
}

/** Lambda reports what was thrown as JSON, with its stack. */
function messageOf(cause: string): string {
  try {
    return String((JSON.parse(cause) as { errorMessage?: unknown }).errorMessage ?? cause);
  } catch {
    return cause;
  }
}
