import { adaptResumable, MAX_CHUNK_RETRIES } from './adapt-resumable.ts';
import {
  type ApiOptions,
  errorFromAnswer,
  type UploadOptions,
  type UploadProgress,
  type UploadsApi,
  uploadsApi,
} from './api.ts';
import { completionCheck } from './confirm.ts';
import type { ChunkFailure, FlowControl, UploadSession } from './file-flow.ts';
import { numbersIn } from './ranges.ts';
import type { AnyResumableConstructor, Resumable, ResumableChunk } from './resumable-types.ts';

export interface ProxyOptions extends ApiOptions {
  /** Further options of Resumable.js, for example `simultaneousUploads`, `maxFiles`, `fileType`. */
  readonly resumable?: Record<string, unknown>;
}

/**
 * Answers that the same chunk will get again. Resumable.js's own list holds 500 too, which is what API Gateway answers
 * for a function that died: sent again, the chunk is stored. And a 401 is sent once more, with a fresh token.
 */
const PERMANENT_ERRORS = [400, 403, 404, 405, 409, 410, 411, 413, 414, 415, 422, 501];

/**
 * Resumable.js in proxy mode: chunks go through the API. Unlike Resumable.js by itself it takes the chunk size from the
 * server, tells equal names apart, resumes by one or two requests instead of one test for each chunk, and waits
 * between tries.
 *
 * How it resumes: the first chunk is tested (`GET /upload`); where it is there, the answer names the upload, and
 * `GET /uploads/{id}` tells all that has arrived. Else the first chunk goes ahead of the others, and its answer names
 * the upload.
 *
 * @example
 * const r = proxyResumable(Resumable, { api: '', headers: () => ({ authorization: `Bearer ${token}` }) });
 * r.assignDrop(document.body);
 * r.on('fileAdded', () => r.upload());
 */
export function proxyResumable(Constructor: AnyResumableConstructor, options: ProxyOptions): Resumable {
  const api = uploadsApi(options, Number(options.resumable?.maxChunkRetries ?? MAX_CHUNK_RETRIES));
  let serverOptions: Promise<UploadOptions> | undefined;
  const fetchOptions = (): Promise<UploadOptions> => {
    serverOptions ??= api.options().catch((error: unknown) => {
      serverOptions = undefined;
      throw error;
    });
    return serverOptions;
  };
  // Resumable.js wants its headers at once: these are fetched before each chunk.
  let headers: Record<string, string> = {};
  const refreshHeaders = async (signal: AbortSignal) => {
    headers = await api.headers({ signal });
  };

  return adaptResumable(
    Constructor,
    {
      ...options.resumable,
      method: 'octet',
      target: api.chunkUrl,
      headers: () => headers,
      permanentErrors: PERMANENT_ERRORS,
    },
    async (control) => openSession(api, await fetchOptions(), control, refreshHeaders),
  );
}

async function openSession(
  api: UploadsApi,
  options: UploadOptions,
  control: FlowControl,
  refreshHeaders: (signal: AbortSignal) => Promise<void>,
): Promise<UploadSession> {
  const { file } = control;
  const chunkSize = chunkSizeFor(file.size, options);
  const checkCompletion = completionCheck(api, control);

  /** Takes over what the server has, once the upload's id is known. */
  const catchUp = async (uploadId: string): Promise<Iterable<number>> => {
    file.uploadId = uploadId;
    const upload = await api.get(uploadId);
    return numbersIn(upload.status === 'uploading' ? upload.receivedParts : [[1, upload.partCount]]);
  };

  const testFirst = () => api.testChunk(firstChunkQuery(control, chunkSize));
  /** What the server said of a chunk. Where that broke off, what it says now: nothing, if the upload has not begun. */
  const answerOf = async (message: string): Promise<UploadProgress | undefined> => {
    try {
      return JSON.parse(message) as UploadProgress;
    } catch {
      const uploadId = file.uploadId ?? (await testFirst())?.uploadId;
      return uploadId === undefined ? undefined : await api.get(uploadId);
    }
  };

  const known = await testFirst();
  const received = known?.uploadId ? await catchUp(known.uploadId) : [];
  let tellFirstStored = (): void => undefined;
  const firstStored = new Promise<void>((resolve) => {
    tellFirstStored = resolve;
  });
  if (known?.uploadId) tellFirstStored();
  /** Each chunk's last 401. */
  const unauthorized = new WeakMap<ResumableChunk, ChunkFailure>();

  return {
    chunkSize,
    received,
    async prepare(chunk, failure, signal) {
      if (failure?.status === 401) {
        const before = unauthorized.get(chunk) ?? failure;
        if (before !== failure) throw errorFromAnswer(failure.status, failure.body);
        unauthorized.set(chunk, failure);
      } else unauthorized.delete(chunk);
      if (chunk.offset > 0) await unlessAborted(firstStored, signal);
      await refreshHeaders(signal);
    },
    async stored(chunk) {
      const message = chunk.xhr?.responseText ?? '';
      const answer = await answerOf(message);
      if (!answer) {
        control.sendAgain([chunk.offset + 1]);
        chunk.send(); // At once: the chunks that wait for this one have all the slots.
        return '';
      }
      if (!file.uploadId) {
        file.uploadId = answer.uploadId;
        if (file.chunks.length > 1) control.markReceived(await catchUp(answer.uploadId));
        tellFirstStored();
      }
      await checkCompletion(answer);
      return message;
    },
    async cancel() {
      if (file.uploadId) await api.abort(file.uploadId);
    },
  };
}

/**
 * The server's preferred chunk size, or a larger one where the file would have too many chunks. It depends on the size
 * and the options only, since a resumed upload must be cut alike.
 *
 * @throws where the file is too large for proxy mode
 */
export function chunkSizeFor(size: number, { proxy }: Pick<UploadOptions, 'proxy'>): number {
  if (size <= proxy.chunkSize * proxy.maxChunks) return proxy.chunkSize;
  const granule = 64 * 1024;
  const chunkSize = Math.ceil(size / proxy.maxChunks / granule) * granule;
  if (chunkSize <= proxy.maxChunkSize) return chunkSize;
  throw new Error('This file is too large to go through the API: upload it in presigned mode.');
}

/** The parameters by which Resumable.js tests the first chunk. */
function firstChunkQuery({ file }: FlowControl, chunkSize: number): URLSearchParams {
  return new URLSearchParams({
    resumableChunkNumber: '1',
    resumableChunkSize: String(chunkSize),
    resumableCurrentChunkSize: String(Math.min(chunkSize, file.size)),
    resumableTotalSize: String(file.size),
    resumableType: file.file.type,
    resumableIdentifier: file.uniqueIdentifier,
    resumableFilename: file.fileName,
    resumableRelativePath: file.relativePath,
    resumableTotalChunks: String(Math.max(Math.ceil(file.size / chunkSize), 1)),
  });
}

function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    promise.then(resolve, reject);
  });
}
