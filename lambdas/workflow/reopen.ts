import { type PieceMark, unrecordPieces } from '../parts/ledger.ts';
import { expiryFrom, FIRST_LOOK_SECONDS } from '../upload/lifecycle.ts';
import type { UploadRecord } from '../upload/record.ts';
import type { UploadSettings } from '../upload/settings.ts';
import { changeUpload, type Table } from '../upload/store.ts';
import { PartsMissing, ReconcileExhausted } from './errors.ts';

/** An upload is opened again at most this often; a client that reports parts which are not there must end somewhere. */
export const MAX_RUNS = 5;

/**
 * Opens an upload again whose record says more than S3 has, so that its client sends what is missing. The next
 * completion is another execution, hence the next run.
 *
 * @param missing piece numbers with the marks to take off the record; undefined where there is no record
 * @throws PartsMissing always, or ReconcileExhausted
 */
export async function reopen(
  table: Table,
  upload: UploadRecord,
  missing: ReadonlyMap<number, PieceMark | undefined>,
  settings: UploadSettings,
  now: number,
): Promise<never> {
  const numbers = [...missing.keys()];
  const which =
    numbers.length === 0
      ? 'assembled parts'
      : `pieces ${numbers.slice(0, 10).join(', ')}${numbers.length > 10 ? ', …' : ''}`;
  if (upload.run >= MAX_RUNS) throw new ReconcileExhausted(`S3 lacks ${which}, after ${upload.run} runs.`);
  const tops = await unrecordPieces(table, upload, missing);
  const seconds = Math.floor(now / 1000);
  await changeUpload(table, upload, {
    set: {
      status: 'uploading',
      run: upload.run + 1,
      expiresAt: expiryFrom(seconds, upload.createdAt, settings),
      nextLook: seconds + FIRST_LOOK_SECONDS,
    },
    deleteFullPages: tops,
    when: { status: ['completing'], run: upload.run },
  });
  throw new PartsMissing(`S3 lacks ${which}; the upload is open again.`);
}
