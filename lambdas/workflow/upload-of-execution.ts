import { soonerLook } from '../upload/lifecycle.ts';
import type { UploadRecord } from '../upload/record.ts';
import { changeUpload, getUpload, type Table } from '../upload/store.ts';
import { UploadSuperseded } from './errors.ts';
import type { ExecutionInput } from './execution.ts';

/**
 * The upload that an execution works on, if it is still this execution's: the same attempt and run, and not ended.
 * An upload that had failed is completing again from here on, since only a redrive brings an execution back to it.
 *
 * @throws UploadSuperseded
 */
export async function uploadOfExecution(
  table: Table,
  input: ExecutionInput,
  now: number,
): Promise<UploadRecord> {
  const { attempt, run } = input;
  const upload = await getUpload(table, input, now);
  if (upload?.attempt !== attempt || upload.run !== run)
    throw new UploadSuperseded('The upload was started over, or opened again, since this execution began.');
  if (upload.status === 'completing' || upload.status === 'completed') return upload;
  const redriven = await changeUpload(table, upload, {
    // A failed upload was to be looked at when its time is over; this one soon, for what earlier attempts left behind.
    set: {
      status: 'completing',
      failure: undefined,
      announced: undefined,
      ...soonerLook(upload, Math.floor(now / 1000)),
    },
    // `completing` too: the SDK repeats a write whose answer was lost.
    when: { status: ['failed', 'completing'], run },
  });
  if (!redriven) throw new UploadSuperseded(`The upload is ${upload.status}.`);
  return redriven;
}
