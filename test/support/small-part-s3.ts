import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createS3Engine } from '../../local/s3/engine.ts';

export interface SmallPartS3 {
  /** Environment of a stack that is to use it. */
  readonly env: Record<string, string>;
  stop(): Promise<void>;
}

/**
 * The local S3 with one rule off: parts may be of one byte. For counting requests only: an upload of 10,000 parts
 * would be 50 GB otherwise, and no request, unit or transition depends on how many bytes a part has.
 */
export async function startSmallPartS3(): Promise<SmallPartS3> {
  const dir = mkdtempSync(join(tmpdir(), 'small-parts-'));
  const engine = createS3Engine({
    dir,
    clock: { now: () => Date.now(), advance: () => undefined },
    minPartSize: 1,
  });
  const server = createServer((req, res) => {
    const bucket = madeBucket(req);
    if (!bucket) return void engine.handle(req, res);
    engine.createBucket(bucket);
    req.resume();
    res.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    env: {
      S3_ENDPOINT: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      S3_ACCESS_KEY_ID: 'AKIAIOSFODNN7EXAMPLE',
      S3_SECRET_ACCESS_KEY: 'any',
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      engine.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** The bucket that a request creates, or whose rules it sets: there the engine takes a call, not a request. */
const madeBucket = ({ method, url = '' }: IncomingMessage): string | undefined =>
  method === 'PUT' ? /^\/([^/?]+)(\?|$)/.exec(url)?.[1] : undefined;
