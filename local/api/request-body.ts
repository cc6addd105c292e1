import type { IncomingMessage } from 'node:http';

/** An HTTP API takes 10 MB at most. */
export const MAX_BODY_BYTES = 10_485_760;

/**
 * Reads a body while keeping no more of it than the limit.
 *
 * @returns undefined as soon as the body is known to be larger
 * @throws an Error if the client goes away
 */
export async function readBody(
  request: IncomingMessage,
  limit = MAX_BODY_BYTES,
): Promise<Buffer | undefined> {
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > limit) return undefined;
  const chunks: Buffer[] = [];
  let size = 0;
  // Not destroyed when the loop ends early: the answer still has to travel on this connection.
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > limit) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

/** How much of an unwanted body is thrown away before the connection is cut. */
const DRAIN_MS = 2000;

/**
 * Throws the rest of a body away, so that a client that writes before it reads gets to see the answer. Cuts the
 * connection if there is no end to it.
 */
export function drain(request: IncomingMessage): void {
  if (request.complete) return;
  request.resume();
  const timer = setTimeout(() => request.destroy(), DRAIN_MS);
  timer.unref();
  request.once('close', () => clearTimeout(timer));
}
