import { createHash, randomBytes } from 'node:crypto';
import { GetObjectCommand, HeadObjectCommand } from '@aws-sdk/client-s3';
import { conform } from './openapi.ts';
import { type TestStack, until } from './stack.ts';

/** A file on the client's side. */
export interface SourceFile {
  readonly name: string;
  readonly type: string;
  readonly bytes: Uint8Array;
  readonly identifier: string;
}

let files = 0;

/** Random bytes under a name of their own, so that no two tests meet. */
export const sourceFile = (
  size: number,
  name = `file-${files++}.mp4`,
  bytes: Uint8Array = randomBytes(size),
): SourceFile => ({
  name,
  type: 'video/mp4',
  bytes,
  identifier: `${size}-${randomBytes(6).toString('hex')}`,
});

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

export interface ProxyOptions {
  readonly chunkSize: number;
  readonly forceChunkSize?: boolean;
  readonly method?: 'multipart' | 'octet';
  readonly headers?: Record<string, string>;
}

/** A chunk as Resumable.js cuts it. */
export interface Chunk {
  readonly number: number;
  readonly start: number;
  readonly end: number;
}

/** Resumable.js's own arithmetic, for both settings of forceChunkSize. */
export function chunksOf(size: number, { chunkSize, forceChunkSize = false }: ProxyOptions): Chunk[] {
  const count = Math.max((forceChunkSize ? Math.ceil : Math.floor)(size / chunkSize), 1);
  return Array.from({ length: count }, (_, offset) => {
    const end = (offset + 1) * chunkSize;
    return {
      number: offset + 1,
      start: offset * chunkSize,
      end: size - end < chunkSize && !forceChunkSize ? size : Math.min(end, size),
    };
  });
}

export function chunkParameters(
  file: SourceFile,
  chunk: Chunk,
  options: ProxyOptions,
): Record<string, string> {
  return {
    resumableChunkNumber: String(chunk.number),
    resumableChunkSize: String(options.chunkSize),
    resumableCurrentChunkSize: String(chunk.end - chunk.start),
    resumableTotalSize: String(file.bytes.byteLength),
    resumableType: file.type,
    resumableIdentifier: file.identifier,
    resumableFilename: file.name,
    resumableRelativePath: file.name,
    resumableTotalChunks: '1',
  };
}

/** Posts one chunk as Resumable.js does. */
export async function postChunk(
  stack: TestStack,
  file: SourceFile,
  chunk: Chunk,
  options: ProxyOptions,
): Promise<Response> {
  const parameters = chunkParameters(file, chunk, options);
  const query = new URLSearchParams(parameters);
  const bytes = new Uint8Array(file.bytes.subarray(chunk.start, chunk.end));
  if (options.method === 'octet')
    return await fetch(`${stack.apiUrl}/upload?${query}`, {
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream', ...options.headers },
      body: bytes,
    });
  const form = new FormData();
  for (const [name, value] of Object.entries(parameters)) form.append(name, value);
  form.append('file', new Blob([bytes]), 'blob');
  return await fetch(`${stack.apiUrl}/upload?${query}`, {
    method: 'POST',
    headers: options.headers ?? {},
    body: form,
  });
}

export async function testChunk(
  stack: TestStack,
  file: SourceFile,
  chunk: Chunk,
  options: ProxyOptions,
): Promise<number> {
  const query = new URLSearchParams(chunkParameters(file, chunk, options));
  const response = await fetch(`${stack.apiUrl}/upload?${query}`, { headers: options.headers ?? {} });
  await conform('GET', '/upload', response);
  return response.status;
}

export interface Progress {
  readonly uploadId: string;
  readonly status: string;
  readonly receivedBytes: number;
  readonly totalBytes: number;
}

/** Sends chunks with some at a time, each until it gets its 200. */
export async function sendChunks(
  stack: TestStack,
  file: SourceFile,
  chunks: readonly Chunk[],
  options: ProxyOptions & { parallel?: number },
): Promise<Progress> {
  let last: Progress | undefined;
  await inParallel(chunks, options.parallel ?? 3, async (chunk) => {
    last = await untilOk('chunk', async () => {
      const response = await postChunk(stack, file, chunk, options);
      return (await conform('POST', '/upload', response)) as Progress;
    });
  });
  if (!last) throw new Error('There were no chunks to send.');
  return last;
}

/**
 * Whether an error is a fault that passes, as a client sees it: 5xx, 429 or a cut connection. All else is not: an answer
 * that is not as documented, an assertion and a wait in vain have no status either.
 */
export function isPassing(error: unknown): boolean {
  const { name, status, cause } = error as { name?: string; status?: number; cause?: unknown };
  // By name: fetch's TypeError is not of the class that tests see under this name.
  if (status === undefined) return name === 'TypeError' && cause !== undefined;
  return status === 429 || status >= 500;
}

/**
 * Repeats a request through faults that pass, as a client does.
 *
 * @param passes what is one, where a test knows better
 */
export async function untilOk<T>(
  what: string,
  send: () => Promise<T>,
  tries = 60,
  passes: (error: unknown) => boolean | Promise<boolean> = isPassing,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await send();
    } catch (error) {
      if (attempt >= tries || !(await passes(error)))
        throw new Error(`${what}: ${(error as Error).message}`, { cause: error });
      await new Promise((resolve) => setTimeout(resolve, Math.random() * Math.min(20 * 2 ** attempt, 400)));
    }
  }
}

export interface CreatedUpload extends Progress {
  readonly key: string;
  readonly partSize: number;
  readonly partCount: number;
  readonly receivedParts: [number, number][];
  readonly partUrls: { partNumber: number; url: string; size: number; expiresAt: string }[];
}

export const createBody = (file: SourceFile) => ({
  fileName: file.name,
  size: file.bytes.byteLength,
  contentType: file.type,
  identifier: file.identifier,
});

export async function createPresigned(
  stack: TestStack,
  file: SourceFile,
  extra: Record<string, unknown> = {},
): Promise<CreatedUpload> {
  return await untilOk('create', async () => {
    const response = await stack.api('POST', '/uploads', { ...createBody(file), ...extra });
    return (await conform('POST', '/uploads', response)) as CreatedUpload;
  });
}

/** PUTs one part to S3 as a browser does, and gives the ETag that S3 answered. */
export async function putPart(url: string, bytes: Uint8Array): Promise<string> {
  const response = await fetch(url, { method: 'PUT', body: new Uint8Array(bytes) });
  const text = await response.text();
  if (!response.ok)
    throw Object.assign(new Error(`S3: ${response.status} ${text}`), { status: response.status });
  return response.headers.get('etag') ?? '';
}

export const partBytes = (file: SourceFile, partSize: number, partNumber: number): Uint8Array =>
  file.bytes.subarray((partNumber - 1) * partSize, Math.min(partNumber * partSize, file.bytes.byteLength));

/** A whole presigned upload, or the rest of one: create, sign, put, report, each repeated until it succeeds. */
export async function sendPresigned(
  stack: TestStack,
  file: SourceFile,
  {
    batch = 50,
    parallel = 4,
    extra = {},
  }: { batch?: number; parallel?: number; extra?: Record<string, unknown> } = {},
): Promise<CreatedUpload> {
  const upload = await createPresigned(stack, file, extra);
  const { uploadId, partSize, partCount } = upload;
  const there = new Set(
    upload.receivedParts.flatMap(([a, b]) => Array.from({ length: b - a + 1 }, (_, i) => a + i)),
  );
  const missing = Array.from({ length: partCount }, (_, i) => i + 1).filter((number) => !there.has(number));
  const urls = new Map(upload.partUrls.map((part) => [part.partNumber, part.url]));
  for (let from = 0; from < missing.length; from += batch) {
    const numbers = missing.slice(from, from + batch);
    const unsigned = numbers.filter((number) => !urls.has(number));
    if (unsigned.length > 0) {
      const signed = await untilOk('sign', async () => {
        const response = await stack.api('POST', `/uploads/${uploadId}/part-urls`, { partNumbers: unsigned });
        return (await conform('POST', '/uploads/{uploadId}/part-urls', response)) as Pick<
          CreatedUpload,
          'partUrls'
        >;
      });
      for (const { partNumber, url } of signed.partUrls) urls.set(partNumber, url);
    }
    const parts: { partNumber: number; etag: string }[] = [];
    await inParallel(numbers, parallel, async (partNumber) => {
      const bytes = partBytes(file, partSize, partNumber);
      const etag = await untilOk(
        `part ${partNumber}`,
        async () => await putPart(urls.get(partNumber) ?? '', bytes),
      );
      parts.push({ partNumber, etag });
    });
    await reportParts(stack, uploadId, parts);
  }
  return upload;
}

export async function reportParts(
  stack: TestStack,
  uploadId: string,
  parts: readonly { partNumber: number; etag: string }[],
): Promise<Progress> {
  return await untilOk('report', async () => {
    const response = await stack.api('POST', `/uploads/${uploadId}/parts`, { parts });
    return (await conform('POST', '/uploads/{uploadId}/parts', response)) as Progress;
  });
}

export async function describeUpload(stack: TestStack, uploadId: string): Promise<Record<string, unknown>> {
  return await untilOk('status', async () => {
    const response = await stack.api('GET', `/uploads/${uploadId}`);
    return (await conform('GET', '/uploads/{uploadId}', response)) as Record<string, unknown>;
  });
}

export async function untilStatus(
  stack: TestStack,
  uploadId: string,
  ...statuses: string[]
): Promise<Record<string, unknown>> {
  return await until(`${uploadId} to be ${statuses.join(' or ')}`, 60_000, async () => {
    const upload = await describeUpload(stack, uploadId);
    return statuses.includes(String(upload.status)) ? upload : undefined;
  });
}

/** What S3 has under a key. */
export async function objectAt(
  stack: TestStack,
  key: string,
): Promise<{ sha256: string; size: number; contentType: string | undefined }> {
  const head = await stack.s3.send(new HeadObjectCommand({ Bucket: stack.bucketName, Key: key }));
  const { Body } = await stack.s3.send(new GetObjectCommand({ Bucket: stack.bucketName, Key: key }));
  const hash = createHash('sha256');
  for await (const piece of Body as AsyncIterable<Uint8Array>) hash.update(piece);
  return { sha256: hash.digest('hex'), size: head.ContentLength ?? -1, contentType: head.ContentType };
}

export async function inParallel<T>(
  items: readonly T[],
  limit: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = items.values();
  await Promise.all(
    Array.from({ length: Math.min(limit, items.length) }, async () => {
      for (const item of queue) await work(item);
    }),
  );
}
