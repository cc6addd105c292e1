import {
  DescribeExecutionCommand,
  ExecutionNotRedrivable,
  RedriveExecutionCommand,
} from '@aws-sdk/client-sfn';
import { type EventBus, putEvent } from '../events/put-event.ts';
import { DETAIL_TYPES, eventDetail, isoTime, type UploadExpiredDetail } from '../events/upload-event.ts';
import { type PieceMark, readMarks } from '../parts/ledger.ts';
import { type RecordServices, recordStoredPieces } from '../parts/record.ts';
import type { Bucket } from '../storage/multipart.ts';
import { sweepStorage } from '../storage/sweep.ts';
import { isFinal } from '../workflow/errors.ts';
import { executionArn, startExecution } from '../workflow/execution.ts';
import { recordFailure } from '../workflow/failure.ts';
import { FIRST_LOOK_SECONDS, pauseBeforeLook, UploadEnded } from './lifecycle.ts';
import { hasQuota, release } from './quota.ts';
import { executionNameOf, isOpen, type UploadRecord } from './record.ts';
import { changeUpload } from './store.ts';
import { bytesOfMarks, recordUnrecorded, unrecordedPieces } from './unrecorded.ts';

export interface LookServices extends RecordServices {
  readonly bucket: Bucket;
  readonly eventBus: EventBus;
  readonly bucketName: string;
}

/** What a look found and did; for the log. */
export type Outcome =
  | 'completing'
  | 'waiting'
  | 'expired'
  | 'failed'
  | 'announced'
  | 'redriven'
  | 'swept'
  | 'running';

/** One look of the watchdog at one upload. Every step may die and be done again at the next look. */
export async function lookAfter(services: LookServices, upload: UploadRecord, now: number): Promise<Outcome> {
  switch (upload.status) {
    case 'uploading':
      return isOpen(upload, now)
        ? await lookAtOpen(services, upload, now)
        : await lookAtOverdue(services, upload, now);
    case 'completing':
      return await lookAtCompleting(services, upload, now);
    case 'expired':
      return upload.announced ? await sweep(services, upload, now) : await expire(services, upload, now);
    case 'failed':
      return await lookAtFailed(services, upload, now);
    case 'aborted':
      return await sweep(services, upload, now);
    case 'completed':
      return await lookAtCompleted(services, upload, now);
  }
}

/** All bytes there, and nobody left to say so? Then the completion starts from here. */
async function lookAtOpen(services: LookServices, upload: UploadRecord, now: number): Promise<Outcome> {
  const { table, bucket } = services;
  const { marks, bytes } = await readMarks(table, upload);
  const isQuiet = upload.lookedBytes === bytes;
  const unrecorded =
    isQuiet && bytes < upload.totalSize ? await unrecordedPieces(bucket, upload, marks) : new Map();
  if (bytes + bytesOfMarks(upload, unrecorded) === upload.totalSize)
    return await finish(services, upload, bytes, unrecorded, now);
  if (unrecorded.size > 0) await recordStoredPieces(services, upload, unrecorded, now);

  const looksWithoutChange = isQuiet ? (upload.looksWithoutChange ?? 0) + 1 : 0;
  await changeUpload(table, upload, {
    set: {
      lookedBytes: bytes,
      looksWithoutChange,
      nextLook: Math.min(Math.floor(now / 1000) + pauseBeforeLook(looksWithoutChange), upload.expiresAt),
    },
    when: { status: ['uploading'] },
  });
  return 'waiting';
}

/**
 * Its time is over, and so it is gone; unless all its bytes are there. Looks may have become rare by the time that the
 * last of them came, so this may be the first one since: then the upload gets the little time that it takes.
 */
async function lookAtOverdue(services: LookServices, upload: UploadRecord, now: number): Promise<Outcome> {
  const { table, bucket } = services;
  const { marks, bytes } = await readMarks(table, upload);
  const unrecorded = bytes < upload.totalSize ? await unrecordedPieces(bucket, upload, marks) : new Map();
  if (bytes + bytesOfMarks(upload, unrecorded) < upload.totalSize) return await expire(services, upload, now);
  const prolonged = await changeUpload(table, upload, {
    set: { expiresAt: Math.floor(now / 1000) + FIRST_LOOK_SECONDS },
    when: { status: ['uploading'], expiresAtMost: now },
  });
  return prolonged ? await finish(services, prolonged, bytes, unrecorded, now) : 'waiting';
}

async function finish(
  services: LookServices,
  upload: UploadRecord,
  bytes: number,
  unrecorded: ReadonlyMap<number, PieceMark>,
  now: number,
): Promise<Outcome> {
  try {
    await recordUnrecorded(services, upload, bytes, unrecorded, now);
    return 'completing';
  } catch (error) {
    if (error instanceof UploadEnded) return 'waiting';
    throw error;
  }
}

/** Completing without an execution, because its starter died? Then it is started; a dead one's end is recorded. */
async function lookAtCompleting(services: LookServices, upload: UploadRecord, now: number): Promise<Outcome> {
  const { client, stateMachineArn } = services.stateMachine;
  if (!(await startExecution(services.stateMachine, upload))) {
    const { status, error, cause } = await client.send(
      new DescribeExecutionCommand({ executionArn: executionArn(stateMachineArn, executionNameOf(upload)) }),
    );
    if (status === 'FAILED' || status === 'TIMED_OUT' || status === 'ABORTED') {
      const failure = { error: error ?? status, cause: cause ?? '' };
      const outcome = await recordFailure(services, upload, failure, now);
      return outcome === 'none' ? 'running' : outcome;
    }
  }
  await changeUpload(services.table, upload, {
    set: { nextLook: Math.floor(now / 1000) + FIRST_LOOK_SECONDS },
    when: { status: ['completing'], run: upload.run },
  });
  return 'running';
}

/**
 * What made its execution fail may be over: an outage, a throttle, a permission that was missing. So the execution goes
 * on at the task that failed, again and again, with growing pauses; until the upload is too old, and is given up.
 */
async function lookAtFailed(services: LookServices, upload: UploadRecord, now: number): Promise<Outcome> {
  if (upload.failure && !upload.announced) {
    // Who recorded it died before it was told.
    await recordFailure(services, upload, upload.failure, now);
    return 'failed';
  }
  const seconds = Math.floor(now / 1000);
  if (seconds >= upload.expiresAt || !upload.failure || isFinal(upload.failure))
    return await sweep(services, upload, now);
  const redrives = (upload.redrives ?? 0) + 1;
  const counted = await changeUpload(services.table, upload, {
    set: { redrives, nextLook: Math.min(seconds + pauseBeforeLook(redrives), upload.expiresAt) },
    when: { status: ['failed'], run: upload.run },
  });
  if (!counted) return 'waiting';
  const { client, stateMachineArn } = services.stateMachine;
  try {
    await client.send(
      new RedriveExecutionCommand({ executionArn: executionArn(stateMachineArn, executionNameOf(upload)) }),
    );
  } catch (error) {
    // It runs: somebody else has redriven it. Or its history is full or too old, and nobody can.
    if (!(error instanceof ExecutionNotRedrivable)) throw error;
    return 'waiting';
  }
  return 'redriven';
}

/** Abandoned or too old. First it is over, then it is cleaned up, then told; a death between is made good next time. */
async function expire(services: LookServices, upload: UploadRecord, now: number): Promise<Outcome> {
  const { table, bucket, eventBus, bucketName } = services;
  const expired =
    upload.status === 'expired'
      ? upload
      : await changeUpload(table, upload, {
          set: { status: 'expired' },
          when: { status: ['uploading'], expiresAtMost: now },
        });
  if (!expired) return 'waiting';
  const { bytes } = await readMarks(table, expired);
  await sweepStorage(bucket, expired);
  if (hasQuota(services.settings)) await release(table, expired);
  const detail: UploadExpiredDetail = {
    ...eventDetail(expired, bucketName, `${executionNameOf(expired)}:expired`),
    expiredAt: isoTime(expired.expiresAt),
    receivedBytes: bytes,
  };
  await putEvent(eventBus, DETAIL_TYPES.expired, detail);
  await changeUpload(table, expired, {
    set: { announced: true, nextLook: Math.floor(now / 1000) + FIRST_LOOK_SECONDS },
    when: { status: ['expired'] },
  });
  return 'expired';
}

/** Requests that were under way at the end are over by now, whatever they left behind. */
async function lookAtCompleted(services: LookServices, upload: UploadRecord, now: number): Promise<Outcome> {
  const quietFrom = (upload.completedAt ?? 0) + FIRST_LOOK_SECONDS;
  if (quietFrom * 1000 <= now) return await sweep(services, upload, now);
  await changeUpload(services.table, upload, {
    set: { nextLook: quietFrom },
    when: { status: ['completed'] },
  });
  return 'waiting';
}

async function sweep(services: LookServices, upload: UploadRecord, now: number): Promise<Outcome> {
  const { table, bucket, settings } = services;
  await sweepStorage(bucket, upload);
  if (hasQuota(settings)) await release(table, upload);
  // S3 takes no part of an upload that is over, but a staged object as long as its URL is good.
  const set =
    upload.firstPartStaged && !upload.swept
      ? { swept: true, nextLook: Math.floor(now / 1000) + settings.urlExpirySeconds + FIRST_LOOK_SECONDS }
      : { nextLook: undefined };
  await changeUpload(table, upload, { set, when: { status: [upload.status] } });
  return 'swept';
}
