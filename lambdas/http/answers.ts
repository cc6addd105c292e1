import { isoTime } from '../events/upload-event.ts';
import { isUploadId } from '../upload/identity.ts';
import { statusAt, type UploadRecord } from '../upload/record.ts';
import { getUpload, type Table } from '../upload/store.ts';
import type { ApiRequest } from './handler.ts';
import { Problem } from './problems.ts';

/**
 * The upload that the path names, if it is this owner's. Another's is answered like an unknown one, by the same read:
 * the owner is part of the key.
 */
export async function uploadOfPath(table: Table, { event, owner, now }: ApiRequest): Promise<UploadRecord> {
  const uploadId = event.pathParameters?.uploadId ?? '';
  const upload = isUploadId(uploadId) ? await getUpload(table, { owner, uploadId }, now) : undefined;
  if (!upload)
    throw new Problem(
      'upload-not-found',
      'There is no upload of this id; it may have been over for long. Create one.',
    );
  return upload;
}

/** @throws Problem unless the upload takes parts now, in presigned mode */
export function mustTakeParts(upload: UploadRecord, now: number): void {
  if (upload.mode !== 'presigned')
    throw new Problem('wrong-mode', 'This upload was begun in proxy mode: post its chunks to /upload.');
  const status = statusAt(upload, now);
  if (status !== 'uploading')
    throw new Problem(
      'upload-not-open',
      status === 'completing' || status === 'completed'
        ? `The upload is ${status}: nothing is left to send.`
        : `The upload is ${status}: create it anew to send the file again.`,
    );
}

/** What every answer about an upload's progress says. */
export const progressAnswer = (
  upload: UploadRecord,
  progress: { status: string; receivedBytes: number },
): Record<string, unknown> => ({
  uploadId: upload.uploadId,
  status: progress.status,
  receivedBytes: progress.receivedBytes,
  totalBytes: upload.totalSize,
});

export const optionalTime = (name: string, epochSeconds: number | undefined): Record<string, string> =>
  epochSeconds === undefined ? {} : { [name]: isoTime(epochSeconds) };
