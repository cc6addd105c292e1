import { type Backoff, retryAfterMs, sleep, untilOnline, waitBeforeRetry } from './backoff.ts';
import type { Ranges } from './ranges.ts';

/**
 * - `uploading`: takes parts
 * - `completing`: all bytes are there, and the workflow makes the object
 * - `completed`: the object exists
 * - `failed`, `aborted`, `expired`: it will not exist unless the upload is started anew
 */
export type UploadStatus = 'uploading' | 'completing' | 'completed' | 'failed' | 'aborted' | 'expired';

export interface PartUrl {
  readonly partNumber: number;
  readonly url: string;
  /** Bytes that the part must have: the URL is signed for exactly these. */
  readonly size: number;
  /** ISO 8601, by the server's clock. */
  readonly expiresAt: string;
}

export interface UploadProgress {
  readonly uploadId: string;
  readonly status: UploadStatus;
  readonly receivedBytes: number;
  readonly totalBytes: number;
}

/** The answer of `POST /uploads`. */
export interface OpenedUpload extends UploadProgress {
  readonly key: string;
  readonly partSize: number;
  readonly partCount: number;
  readonly receivedParts: Ranges;
  /** For the first missing parts. */
  readonly partUrls: readonly PartUrl[];
}

/** The answer of `GET /uploads/{uploadId}`. Times are ISO 8601. */
export interface Upload extends UploadProgress {
  readonly key: string;
  readonly fileName: string;
  readonly contentType: string;
  readonly mode: 'proxy' | 'presigned';
  /** Parts in presigned mode, chunks in proxy mode. */
  readonly receivedParts: Ranges;
  readonly partSize: number;
  readonly partCount: number;
  readonly createdAt: string;
  readonly expiresAt?: string;
  readonly completedAt?: string;
  readonly etag?: string;
  readonly failure?: { readonly error: string; readonly cause: string };
  /** The Step Functions execution that completes it. */
  readonly executionName?: string;
}

export interface CompletedUpload extends Upload {
  readonly status: 'completed';
  readonly etag: string;
}

/** The answer of `GET /upload/options`. Sizes are bytes. */
export interface UploadOptions {
  readonly minFileSize: number;
  readonly maxFileSize: number;
  readonly allowedContentTypes: readonly string[];
  readonly allowedExtensions: readonly string[];
  readonly proxy: {
    readonly chunkSize: number;
    readonly maxChunkSize: number;
    readonly minChunkSize: number;
    readonly maxChunks: number;
  };
  readonly presigned: {
    readonly partSize: number;
    readonly maxPartUrls: number;
    readonly maxReportedParts: number;
    readonly urlExpirySeconds: number;
  };
}

export interface NewUpload {
  readonly fileName: string;
  readonly size: number;
  readonly contentType?: string;
  /** Tells files apart that share name and size; see `fileIdentifier`. */
  readonly identifier?: string;
  /** Comes back in the completion event. */
  readonly metadata?: Readonly<Record<string, string>>;
}

export interface ReportedPart {
  readonly partNumber: number;
  readonly etag: string;
}

/** A request was answered with an error, or, with status 0, not answered at all. `message` is fit to be shown. */
export class ApiError extends Error {
  override readonly name: string = 'ApiError';
  /** HTTP status; 0 where there was no answer. */
  readonly status: number;
  /** The stable `type` of the problem document (RFC 9457), if there was one. */
  readonly type: string | undefined;
  /** Milliseconds that the server asked to wait. */
  readonly retryAfterMs: number;
  constructor(
    message: string,
    status: number,
    options: {
      readonly type?: string | undefined;
      readonly retryAfterMs?: number;
      readonly cause?: unknown;
    } = {},
  ) {
    super(message, { cause: options.cause });
    this.status = status;
    this.type = options.type;
    this.retryAfterMs = options.retryAfterMs ?? 0;
  }

  /** Whether the same request can succeed later: no answer, too many requests, or a fault on the server's side. */
  get passing(): boolean {
    return isPassing(this.status);
  }
}

export const isPassing = (status: number): boolean =>
  status === 0 || status === 408 || status === 425 || status === 429 || (status >= 500 && status !== 501);

/** The sentence to show for an answer: the problem document's own, else one that names the status. */
export function errorFromAnswer(
  status: number,
  body: string,
  retryAfter: string | null = null,
  now = 0,
): ApiError {
  const problem = readProblem(body);
  return new ApiError(problem.detail ?? problem.title ?? sentenceForStatus(status), status, {
    type: problem.type,
    retryAfterMs: retryAfterMs(retryAfter, now),
  });
}

interface Problem {
  readonly type?: string;
  readonly title?: string;
  readonly detail?: string;
}

function readProblem(body: string): Problem {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    return {}; // A gateway's or proxy's own page. The status says what there is to say.
  }
  if (typeof parsed !== 'object' || parsed === null) return {};
  const text = (value: unknown): string | undefined =>
    typeof value === 'string' && value ? value : undefined;
  const { type, title, detail } = parsed as Record<string, unknown>;
  return Object.fromEntries(
    Object.entries({
      type: text(type),
      title: text(title),
      detail: text(detail),
    }).filter(([, value]) => value !== undefined),
  );
}

function sentenceForStatus(status: number): string {
  if (status === 0) return 'The server cannot be reached. Check the connection.';
  if (status === 401) return 'The server asks for a sign-in: no valid token was sent.';
  if (status === 403) return 'The server refuses this: the token does not allow it.';
  if (status === 404) return 'The server does not know this upload or address.';
  if (status === 413) return 'The server refuses a request of this size.';
  if (status === 429) return 'The server asks to slow down.';
  return status >= 500
    ? `The server failed (HTTP ${status}).`
    : `The server refused the request (HTTP ${status}).`;
}

export type HeadersOption = () => Record<string, string> | Promise<Record<string, string>>;

export interface ApiOptions {
  /** The API's address without a path below it, for example `https://abc.execute-api.eu-west-1.amazonaws.com`. */
  readonly api: string;
  /**
   * Called before each request to the API, and to nothing else: the place for `authorization`. Where it rejects, it is
   * called again like a request that was not answered; unless it rejects with an {@link ApiError} of a final status,
   * for example 401.
   */
  readonly headers?: HeadersOption | undefined;
  /** @default the global fetch */
  readonly fetch?: typeof fetch | undefined;
  /**
   * How often a request is made again after a passing fault. In `presignedResumable` and `proxyResumable` this is about
   * requests that the API puts off (429); failures and missing answers have the budget of the chunks. @default 8
   */
  readonly maxRetries?: number | undefined;
  readonly backoff?: Backoff | undefined;
}

export interface RequestOptions {
  readonly signal?: AbortSignal | undefined;
  /** Lets the request outlive the page. */
  readonly keepalive?: boolean;
}

export interface UploadsApi {
  /** What `headers` gives, for requests that others make. */
  headers(request?: RequestOptions): Promise<Record<string, string>>;
  options(request?: RequestOptions): Promise<UploadOptions>;
  open(upload: NewUpload, request?: RequestOptions): Promise<OpenedUpload>;
  get(uploadId: string, request?: RequestOptions): Promise<Upload>;
  signParts(
    uploadId: string,
    partNumbers: readonly number[],
    request?: RequestOptions,
  ): Promise<readonly PartUrl[]>;
  recordParts(
    uploadId: string,
    parts: readonly ReportedPart[],
    request?: RequestOptions,
  ): Promise<UploadProgress>;
  /** Gone already counts as success. */
  abort(uploadId: string, request?: RequestOptions): Promise<void>;
  /** Resumable.js's test of one chunk: what the server says of it, or undefined where the chunk is not there. */
  testChunk(query: URLSearchParams, request?: RequestOptions): Promise<Partial<UploadProgress> | undefined>;
  /** Where Resumable.js sends its chunks. */
  readonly chunkUrl: string;
}

const kindOf = ({ status }: ApiError): 'outage' | 'delay' =>
  status === 0 || status >= 500 ? 'outage' : 'delay';

/** What a request makes of an answer. Where it throws, the answer is no whole one. */
type Read<T> = (text: string, status: number) => T;

/**
 * Every method rejects with {@link ApiError} once retrying is of no use, or with the signal's reason. While the browser
 * knows itself to be offline, requests wait.
 *
 * @param maxOutageRetries how often a request is made again that was not answered, or on which the server failed
 */
export function uploadsApi(
  { api, headers, maxRetries = 8, backoff, ...options }: ApiOptions,
  maxOutageRetries: number = maxRetries,
): UploadsApi {
  const base = api.replace(/\/+$/, '');
  const send = options.fetch ?? fetch;

  async function authorization(): Promise<Record<string, string>> {
    try {
      return (await headers?.()) ?? {};
    } catch (cause) {
      if (cause instanceof ApiError) throw cause;
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new ApiError(`The sign-in could not be renewed: ${reason}`, 0, { cause });
    }
  }

  async function once<T>(
    method: string,
    path: string,
    body: unknown,
    read: Read<T>,
    request: RequestOptions,
  ): Promise<T> {
    const sent = new Headers(await authorization());
    if (body !== undefined) sent.set('content-type', 'application/json');
    let refusal: ApiError;
    try {
      const answer = await send(base + path, {
        method,
        headers: sent,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        ...(request.signal ? { signal: request.signal } : {}),
        ...(request.keepalive ? { keepalive: true } : {}),
      });
      const text = await answer.text();
      if (answer.ok) return read(text, answer.status);
      refusal = errorFromAnswer(answer.status, text, answer.headers.get('retry-after'), Date.now());
    } catch (cause) {
      request.signal?.throwIfAborted();
      // Also an answer that broke off: nobody knows what the rest said.
      throw new ApiError(sentenceForStatus(0), 0, { cause });
    }
    throw refusal;
  }

  /** Makes a request until it succeeds or its failure is final. */
  async function persist<T>(tryOnce: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const left = { outage: maxOutageRetries, delay: maxRetries };
    let renewed = false;
    for (let retry = 0; ; retry++) {
      try {
        return await tryOnce();
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        // A token may end on its way, or the server's keys change: fresh headers can help, once.
        if (error.status === 401 && headers && !renewed) renewed = true;
        else if (!error.passing || left[kindOf(error)]-- <= 0) throw error;
        await sleep(waitBeforeRetry(retry, Math.random, backoff, error.retryAfterMs), signal);
        await untilOnline(signal);
      }
    }
  }

  const ask = <T>(
    method: string,
    path: string,
    body: unknown,
    read: Read<T>,
    request: RequestOptions = {},
  ): Promise<T> =>
    persist(async () => {
      await untilOnline(request.signal);
      return await once(method, path, body, read, request);
    }, request.signal);

  const json = <T>(text: string): T => JSON.parse(text) as T;
  const uploadPath = (uploadId: string) => `/uploads/${encodeURIComponent(uploadId)}`;

  return {
    chunkUrl: `${base}/upload`,
    headers: (request) => persist(authorization, request?.signal),
    options: (request) => ask('GET', '/upload/options', undefined, json<UploadOptions>, request),
    open: (upload, request) => ask('POST', '/uploads', upload, json<OpenedUpload>, request),
    get: (uploadId, request) => ask('GET', uploadPath(uploadId), undefined, json<Upload>, request),
    async signParts(uploadId, partNumbers, request) {
      const path = `${uploadPath(uploadId)}/part-urls`;
      return (await ask('POST', path, { partNumbers }, json<{ partUrls: PartUrl[] }>, request)).partUrls;
    },
    recordParts: (uploadId, parts, request) =>
      ask('POST', `${uploadPath(uploadId)}/parts`, { parts }, json<UploadProgress>, request),
    async abort(uploadId, request) {
      try {
        await ask('DELETE', uploadPath(uploadId), undefined, () => undefined, request);
      } catch (error) {
        if (!(error instanceof ApiError) || error.status !== 404) throw error;
      }
    },
    testChunk(query, request) {
      const found: Read<Partial<UploadProgress> | undefined> = (text, status) =>
        status === 204 ? undefined : text ? json(text) : {};
      return ask('GET', `/upload?${query}`, undefined, found, request);
    },
  };
}
