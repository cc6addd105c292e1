import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { S3Engine } from '../../../local/s3/engine.ts';

export async function serve(engine: S3Engine): Promise<{ server: Server; endpoint: string }> {
  const server = createServer((req, res) => void engine.handle(req, res));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

export async function stopServing(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}

/** For an engine without its front door: any will do. */
export const anyKey = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'any' };
