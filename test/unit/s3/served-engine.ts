import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BucketOptions } from '../../../local/s3/bucket.ts';
import { createS3Engine, type DiskS3Engine } from '../../../local/s3/engine.ts';

export interface ServedEngine {
  readonly engine: DiskS3Engine;
  readonly url: string;
  /** Milliseconds since the epoch, as the engine sees it. */
  now: number;
  stop(): Promise<void>;
}

export const scratchFolder = (): string => mkdtempSync(join(tmpdir(), 's3-engine-'));

/** An engine on a folder of its own, or on one that is there, behind a plain HTTP server. */
export async function serveEngine(dir: string, options: BucketOptions = {}): Promise<ServedEngine> {
  const served = { now: Date.UTC(2026, 0, 10, 15, 30) };
  const clock = { now: () => served.now, advance: (ms: number) => void (served.now += ms) };
  const engine = createS3Engine({ dir, clock });
  engine.createBucket('bucket', options);
  const server = createServer((req, res) => void engine.handle(req, res));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return Object.assign(served, {
    engine,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/bucket`,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      engine.close();
    },
  });
}

export const removeFolder = (dir: string): void => rmSync(dir, { recursive: true, force: true });

/** The names of all files of objects and parts, also of those that are still coming in. */
export function filesOf(dir: string): string[] {
  const shelves = readdirSync(join(dir, 'blobs'));
  return [
    ...shelves.flatMap((shelf) => readdirSync(join(dir, 'blobs', shelf))),
    ...readdirSync(join(dir, 'incoming')),
  ];
}

export const xmlText = (document: string, name: string): string =>
  new RegExp(`<${name}>([^<]*)</${name}>`).exec(document)?.[1]?.replaceAll('&quot;', '"') ?? '';

/** Starts a multipart upload and sends its parts; returns what completes it. */
export async function uploadParts(
  url: string,
  bodies: readonly (string | Buffer<ArrayBuffer>)[],
  headers: Record<string, string> = {},
): Promise<{ uploadId: string; complete(): Promise<Response> }> {
  const created = await (await fetch(`${url}?uploads`, { method: 'POST', headers })).text();
  const uploadId = xmlText(created, 'UploadId');
  const etags: string[] = [];
  for (const [index, body] of bodies.entries()) {
    const answer = await fetch(`${url}?partNumber=${index + 1}&uploadId=${uploadId}`, {
      method: 'PUT',
      body,
    });
    if (answer.status !== 200) throw new Error(await answer.text());
    etags.push(answer.headers.get('etag') ?? '');
  }
  const list = etags
    .map((etag, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>${etag}</ETag></Part>`)
    .join('');
  const body = `<CompleteMultipartUpload>${list}</CompleteMultipartUpload>`;
  return { uploadId, complete: () => fetch(`${url}?uploadId=${uploadId}`, { method: 'POST', body }) };
}
