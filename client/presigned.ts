import { adaptResumable, MAX_CHUNK_RETRIES } from './adapt-resumable.ts';
import { type ApiOptions, type UploadProgress, type UploadsApi, uploadsApi } from './api.ts';
import { completionCheck, wholeElsewhere } from './confirm.ts';
import type { FlowControl, UploadSession } from './file-flow.ts';
import { PartReport } from './part-report.ts';
import { PartUrls } from './part-urls.ts';
import { numbersIn } from './ranges.ts';
import type { AnyResumableConstructor, Resumable, ResumableChunk, ResumableFile } from './resumable-types.ts';
import { StorageJudge } from './storage-answer.ts';

export interface PresignedOptions extends ApiOptions {
  /** Sent with the upload, and back in its completion event. */
  readonly metadata?: (file: ResumableFile) => Record<string, string>;
  /** Further options of Resumable.js, for example `simultaneousUploads`, `maxFiles`, `fileType`. */
  readonly resumable?: Record<string, unknown>;
}

/**
 * Resumable.js in presigned mode: each file's parts go from the browser straight to S3, by URLs that the API signs;
 * the API is told of each stored part and completes the upload by itself.
 *
 * `headers` go to the API only, never to S3, which refuses a signed request with an Authorization header.
 *
 * @example
 * const api = 'https://abc.execute-api.eu-west-1.amazonaws.com';
 * const headers = async () => ({ authorization: `Bearer ${await freshToken()}` });
 * const r = presignedResumable(Resumable, { api, headers });
 * r.assignBrowse(document.querySelector('#choose'));
 * r.on('fileAdded', () => r.upload());
 * r.on('fileError', (file, message) => alert(`${file.fileName}: ${message}`));
 * r.on('fileSuccess', (file) => waitUntilCompleted({ api, headers, uploadId: file.uploadId }));
 */
export function presignedResumable(
  Constructor: AnyResumableConstructor,
  options: PresignedOptions,
): Resumable {
  const api = uploadsApi(options, Number(options.resumable?.maxChunkRetries ?? MAX_CHUNK_RETRIES));
  const targets = new Map<string, string>();
  const targetKey = (identifier: string, number: number | string) => `${number} ${identifier}`;

  return adaptResumable(
    Constructor,
    {
      ...options.resumable,
      method: 'octet',
      uploadMethod: 'PUT',
      headers: {},
      withCredentials: false,
      // Which failures are final is decided by `StorageJudge`, by more than the status.
      permanentErrors: [],
      // As a string, Resumable.js would append its parameters, and so break the signature.
      target: (params: readonly string[]) => {
        const query = new URLSearchParams(params.join('&'));
        const key = targetKey(
          query.get('resumableIdentifier') ?? '',
          query.get('resumableChunkNumber') ?? '',
        );
        const url = targets.get(key);
        if (!url) throw new Error(`No URL was signed for chunk ${key}.`);
        targets.delete(key);
        return url;
      },
    },
    (control) =>
      openSession(api, control, options.metadata, (number, url) => {
        targets.set(targetKey(control.file.uniqueIdentifier, number), url);
      }),
  );
}

async function openSession(
  api: UploadsApi,
  control: FlowControl,
  metadata: PresignedOptions['metadata'],
  setTarget: (partNumber: number, url: string) => void,
): Promise<UploadSession> {
  const { file } = control;
  const opened = await api.open({
    fileName: file.fileName,
    size: file.size,
    identifier: file.uniqueIdentifier,
    ...(file.file.type ? { contentType: file.file.type } : {}),
    ...(metadata ? { metadata: metadata(file) } : {}),
  });
  const { uploadId, partCount } = opened;
  file.uploadId = uploadId;

  const checkCompletion = completionCheck(api, control);
  const judge = new StorageJudge();
  let leaving = false;
  const report = new PartReport<UploadProgress>({
    send: (parts) =>
      api
        .recordParts(uploadId, parts, { keepalive: leaving })
        .catch((error: unknown) => wholeElsewhere(api, uploadId, error)),
    isLast: () => control.allSent(),
  });
  const urls = new PartUrls({
    sign: (partNumbers) => api.signParts(uploadId, partNumbers),
    upcoming: (partNumber) => pendingParts(file, partNumber),
    now: Date.now,
  });
  urls.add(opened.partUrls);

  return {
    chunkSize: opened.partSize,
    received: opened.status === 'uploading' ? numbersIn(opened.receivedParts) : numbersIn([[1, partCount]]),
    async prepare(chunk, failure) {
      const partNumber = chunk.offset + 1;
      try {
        if (failure && judge.judge(partNumber, failure) === 'sign again') urls.discard(partNumber);
        setTarget(partNumber, await urls.get(partNumber));
      } catch (error) {
        await wholeElsewhere(api, uploadId, error);
        // No other part will come to keep company to those that wait.
        report.flush();
        control.markReceived(numbersIn([[1, partCount]]));
      }
    },
    async stored(chunk) {
      const etag = chunk.xhr?.getResponseHeader('ETag');
      if (!etag)
        throw new Error('S3 stored a part, but its ETag cannot be read: the bucket’s CORS must expose ETag.');
      const partNumber = chunk.offset + 1;
      urls.discard(partNumber); // Thousands of them are megabytes.
      const answer = await report.add({ partNumber, etag });
      if (report.isSettled) await checkCompletion(answer);
      const { status, receivedBytes, totalBytes } = answer;
      return JSON.stringify({ uploadId, status, receivedBytes, totalBytes });
    },
    cancel() {
      report.discard();
      return api.abort(uploadId);
    },
    leaving() {
      leaving = true;
      report.flush();
      leaving = false;
    },
  };
}

/** Parts not sent yet, those after `partNumber` first. */
function* pendingParts(file: ResumableFile, partNumber: number): Generator<number> {
  const isPending = (chunk: ResumableChunk) => !chunk.xhr && chunk.preprocessState === 0;
  for (const chunk of file.chunks.slice(partNumber)) if (isPending(chunk)) yield chunk.offset + 1;
  for (const chunk of file.chunks.slice(0, partNumber - 1)) if (isPending(chunk)) yield chunk.offset + 1;
}
