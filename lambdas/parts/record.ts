import { keepAlive, soonerLook, UploadEnded } from '../upload/lifecycle.ts';
import { bytesOnFullPages, type UploadRecord, type UploadStatus } from '../upload/record.ts';
import type { UploadSettings } from '../upload/settings.ts';
import { changeUpload, getUpload, type Table } from '../upload/store.ts';
import { type StateMachine, startExecution } from '../workflow/execution.ts';
import { pieceCount } from './geometry.ts';
import { isFullPage, noteFullPage, type PieceMark, recordPieces } from './ledger.ts';
import { pageOf, topCount } from './pages.ts';

export interface RecordServices {
  readonly table: Table;
  readonly stateMachine: StateMachine;
  readonly settings: UploadSettings;
}

export interface Progress {
  readonly status: UploadStatus;
  /** Exact once all is there; before, short by what other requests have on pages not full yet. */
  readonly receivedBytes: number;
}

/**
 * Records pieces that are in S3, and starts the completion when they were the last.
 *
 * Every step may be repeated, and each repetition takes up where the last one died: the page is written before it is
 * noted, noted before the upload is completing, completing before the execution is started.
 *
 * @throws UploadEnded when the upload is not this attempt's any more
 */
export async function recordStoredPieces(
  services: RecordServices,
  upload: UploadRecord,
  marks: ReadonlyMap<number, PieceMark>,
  now: number,
): Promise<Progress> {
  const { table, settings } = services;
  const byPage = Map.groupBy(marks, ([number]) => pageOf(number));
  const pages = await Promise.all(
    [...byPage.values()].map(async (entries) => await recordPieces(table, upload, new Map(entries))),
  );

  let current = upload;
  let partial = 0;
  const top = topCount(pieceCount(upload));
  for (const page of pages) {
    if (!isFullPage(upload, page)) {
      partial += page.bytes;
      continue;
    }
    const child = await noteFullPage(table, upload, page.index);
    if (child === undefined) continue;
    // A lone page need not be noted: being full, it is the whole upload.
    if (top === 1) return await complete(services, upload, now);
    if (current.fullPages.has(child)) continue;
    const noted = await changeUpload(table, upload, { addFullPage: child, when: { status: ['uploading'] } });
    if (!noted) return await whatBecameOf(services, upload, now);
    current = noted;
  }
  if (current.fullPages.size >= top) return await complete(services, current, now);

  await keepAlive(table, upload, settings, now);
  return { status: 'uploading', receivedBytes: bytesOnFullPages(current) + partial };
}

/** All bytes are recorded: from here on the upload belongs to the workflow. */
export async function complete(
  services: Pick<RecordServices, 'table' | 'stateMachine'>,
  upload: UploadRecord,
  now: number,
): Promise<Progress> {
  const completing = await changeUpload(services.table, upload, {
    set: { status: 'completing', ...soonerLook(upload, Math.floor(now / 1000)) },
    when: { status: ['uploading'], expiresAfter: now },
  });
  if (!completing) return await whatBecameOf(services, upload, now);
  await startExecution(services.stateMachine, completing);
  return { status: 'completing', receivedBytes: upload.totalSize };
}

/** The upload was no longer taking parts. If it is completing, that may be what a function died in: carry on. */
async function whatBecameOf(
  services: Pick<RecordServices, 'table' | 'stateMachine'>,
  upload: UploadRecord,
  now: number,
): Promise<Progress> {
  const current = await getUpload(services.table, upload, now);
  if (current?.attempt === upload.attempt) {
    if (current.status === 'completing') await startExecution(services.stateMachine, current);
    if (current.status === 'completing' || current.status === 'completed')
      return { status: current.status, receivedBytes: upload.totalSize };
  }
  throw new UploadEnded('The upload ended while this part was being recorded.');
}
