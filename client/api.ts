import { type Backoff, retryAfterMs, sleep, waitBeforeRetry } from './backoff.ts';
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
  /** Called before each request to the API, and to nothing else: the place for `authorization`. */
  readonly headers?: HeadersOption | undefined;
  /** @default the global fetch */
  readonly fetch?: typeof fetch | undefined;
  /** How often a request is made again after a passing fault. @default 8 */
  readonly maxRetries?: number | undefined;
  readonly backoff?: Backoff | undefined;
}

export interface RequestOptions {
  readonly signal?: AbortSignal | undefined;
  /** Lets the request outlive the page. */
  readonly keepalive?: boolean;
}

export interface UploadsApi {
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

/** Every method rejects with {@link ApiError} once retrying is of no use, or with the signal's reason. */
export function uploadsApi({ api, headers, maxRetries = 8, backoff, ...options }: ApiOptions): UploadsApi {
  const base = api.replace(/\/+$/, '');
  const send = options.fetch ?? fetch;

  async function once(
    method: string,
    path: string,
    body: unknown,
    request: RequestOptions,
  ): Promise<Response> {
    const sent = new Headers(await headers?.());
    if (body !== undefined) sent.set('content-type', 'application/json');
    let answer: Response;
    try {
      answer = await send(base + path, {
        method,
        headers: sent,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        ...(request.signal ? { signal: request.signal } : {}),
        ...(request.keepalive ? { keepalive: true } : {}),
      });
    } catch (cause) {
      request.signal?.throwIfAborted();
      throw new ApiError(sentenceForStatus(0), 0, { cause });
    }
    if (answer.ok) return answer;
    throw errorFromAnswer(answer.status, await answer.text(), answer.headers.get('retry-after'), Date.now());
  }

  async function ask(
    method: string,
    path: string,
    body?: unknown,
    request: RequestOptions = {},
  ): Promise<Response> {
    for (let retry = 0; ; retry++) {
      try {
        return await once(method, path, body, request);
      } catch (error) {
        if (!(error instanceof ApiError) || !error.passing || retry >= maxRetries) throw error;
        await sleep(waitBeforeRetry(retry, Math.random, backoff, error.retryAfterMs), request.signal);
      }
    }
  }

  const json = async <T>(answer: Promise<Response>): Promise<T> => (await answer).json() as Promise<T>;
  const uploadPath = (uploadId: string) => `/uploads/${encodeURIComponent(uploadId)}`;

  return {
    chunkUrl: `${base}/upload`,
    options: (request) => json(ask('GET', '/upload/options', undefined, request)),
    open: (upload, request) => json(ask('POST', '/uploads', upload, request)),
    get: (uploadId, request) => json(ask('GET', uploadPath(uploadId), undefined, request)),
    async signParts(uploadId, partNumbers, request) {
      const path = `${uploadPath(uploadId)}/part-urls`;
      return (await json<{ partUrls: PartUrl[] }>(ask('POST', path, { partNumbers }, request))).partUrls;
    },
    recordParts: (uploadId, parts, request) =>
      json(ask('POST', `${uploadPath(uploadId)}/parts`, { parts }, request)),
    async abort(uploadId, request) {
      try {
        await ask('DELETE', uploadPath(uploadId), undefined, request);
      } catch (error) {
        if (!(error instanceof ApiError) || error.status !== 404) throw error;
      }
    },
    async testChunk(query, request) {
      const answer = await ask('GET', `/upload?${query}`, undefined, request);
      if (answer.status === 204) return undefined;
      const text = await answer.text();
      return text ? (JSON.parse(text) as Partial<UploadProgress>) : {};
    },
  };
}
