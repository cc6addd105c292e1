import { ApiError, errorFromAnswer, type UploadProgress } from '../client/api.ts';
import { assertOpen } from '../client/confirm.ts';
import { chunkSizeFor } from '../client/proxy.ts';
import { numbersIn } from '../client/ranges.ts';
import type { Connection } from './connection.ts';
import type { LocalFile } from './local-file.ts';
import { persist } from './persist.ts';
import { bytesOf, partLength, type Sender } from './sender.ts';

/** Chunks go through the API, with the parameters of Resumable.js, so that a browser can take over and vice versa. */
export async function proxySender(
  { api, authorize }: Connection,
  file: LocalFile,
  signal: AbortSignal,
): Promise<Sender> {
  const chunkSize = chunkSizeFor(file.size, await api.options({ signal }));
  const chunkCount = Math.ceil(file.size / chunkSize);
  const received = new Set<number>();

  const parameters = (number: number) =>
    new URLSearchParams({
      resumableChunkNumber: String(number),
      resumableChunkSize: String(chunkSize),
      resumableCurrentChunkSize: String(partLength(file.size, chunkSize, number)),
      resumableTotalSize: String(file.size),
      resumableType: file.contentType,
      resumableIdentifier: file.identifier,
      resumableFilename: file.name,
      resumableRelativePath: file.name,
      resumableTotalChunks: String(chunkCount),
    });

  async function send(number: number, chunkSignal: AbortSignal, onBytes: (bytes: number) => void) {
    // Whole, not streamed: a signature for the API covers the bytes, and a chunk is at most some 4 MiB.
    const bytes = await file.read((number - 1) * chunkSize, partLength(file.size, chunkSize, number));
    const url = new URL(`${api.chunkUrl}?${parameters(number)}`);
    const headers = { 'content-type': 'application/octet-stream' };
    const answer = await persist({
      request: async () => ({
        method: 'POST',
        url,
        headers: await authorize({ method: 'POST', url, headers, body: bytes }),
        body: slices(bytes),
        length: bytes.length,
      }),
      judge({ status, body }) {
        const error = errorFromAnswer(status, body);
        if (!error.passing) throw error;
      },
      signal: chunkSignal,
      onBytes,
    });
    const progress = JSON.parse(answer.body) as UploadProgress;
    assertOpen(progress);
    received.add(number);
    return progress;
  }

  /** The first chunk is tested; where it is missing it goes ahead of the others. Either answer names the upload. */
  const tested = await api.testChunk(parameters(1), { signal });
  const sentAhead = tested?.uploadId ? 0 : partLength(file.size, chunkSize, 1);
  const uploadId = tested?.uploadId ?? (await send(1, signal, () => undefined)).uploadId;
  const upload = await api.get(uploadId, { signal });
  if (upload.partSize !== chunkSize)
    throw new ApiError('The server cuts this file otherwise than its options say.', 200);
  for (const number of numbersIn(upload.status === 'uploading' ? upload.receivedParts : [[1, chunkCount]]))
    received.add(number);

  return {
    uploadId,
    partSize: chunkSize,
    partCount: chunkCount,
    received,
    resumedBytes: bytesOf(received, file.size, chunkSize) - sentAhead,
    async send(number, chunkSignal, onBytes) {
      await send(number, chunkSignal, onBytes);
    },
    flush: async () => undefined,
  };
}

/** In pieces, so that progress shows. */
function* slices(bytes: Uint8Array): Generator<Uint8Array> {
  const step = 256 * 1024;
  for (let start = 0; start < bytes.length; start += step) yield bytes.subarray(start, start + step);
}
