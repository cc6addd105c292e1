import { ApiError, type Upload, type UploadProgress, type UploadsApi } from './api.ts';
import type { FlowControl } from './file-flow.ts';
import { missingNumbers, numbersIn } from './ranges.ts';

/** How often an upload that should be whole may turn out not to be. */
const MAX_ROUNDS = 3;

const OVER: Partial<Record<UploadProgress['status'], string>> = {
  failed: 'The server could not complete this upload. Try again to start it anew.',
  aborted: 'This upload was cancelled elsewhere. Try again to start it anew.',
  expired: 'This upload has expired. Try again to start it anew.',
};

/** @throws where no further part can help this upload */
export function assertOpen({ status }: Pick<UploadProgress, 'status'>): void {
  const reason = OVER[status];
  if (reason) throw new Error(reason);
}

/**
 * Another tab or machine may have finished this upload meanwhile: then a part's refusal is no failure.
 *
 * @returns the upload, if all of it is there
 * @throws the refusal otherwise
 */
export async function wholeElsewhere(api: UploadsApi, uploadId: string, refusal: unknown): Promise<Upload> {
  if (!(refusal instanceof ApiError) || (refusal.status !== 404 && refusal.status !== 409)) throw refusal;
  const upload = await api.get(uploadId);
  if (upload.status !== 'completing' && upload.status !== 'completed') throw refusal;
  return upload;
}

/**
 * Makes sure that the server counts an upload as whole once everything has been sent: every part's own answer was
 * good, yet only the server's word for the whole ends a file. What it lacks is sent again.
 */
export function completionCheck(api: UploadsApi, control: FlowControl) {
  let rounds = 0;
  let checking: Promise<void> | undefined;

  async function check(uploadId: string): Promise<void> {
    const upload = await api.get(uploadId);
    assertOpen(upload);
    if (upload.status !== 'uploading') return;
    if (++rounds > MAX_ROUNDS) throw new Error('The server does not confirm that all parts have arrived.');
    const missing = [...missingNumbers(upload.partCount, new Set(numbersIn(upload.receivedParts)))];
    // With none missing, a part sent again carries on what was interrupted on the server.
    control.sendAgain(missing.length > 0 ? missing : [upload.partCount]);
  }

  return async (answer: Pick<UploadProgress, 'uploadId' | 'status'>): Promise<void> => {
    assertOpen(answer);
    if (answer.status !== 'uploading' || !control.allSent()) return;
    // One look for all parts of one report.
    checking ??= check(answer.uploadId).finally(() => {
      checking = undefined;
    });
    await checking;
  };
}
