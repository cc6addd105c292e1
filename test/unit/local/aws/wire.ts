import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { SignedRequest } from '../../../../local/aws/sigv4.ts';

/** A loopback server on a free port. */
export const listen = async (
  listener: RequestListener,
): Promise<{ url: string; server: Server; close(): Promise<void> }> => {
  const server = createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    server,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
};

export interface WireRequest extends SignedRequest {
  readonly body: Buffer;
}

export const bodyOf = async (req: IncomingMessage): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  for await (const chunk of req) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
};

/** Keeps each request exactly as it came over the wire, and answers with an empty 200. */
export const recordWire = async () => {
  const requests: WireRequest[] = [];
  const wire = await listen((req, res) => {
    void bodyOf(req).then((body) => {
      requests.push({ method: req.method ?? '', url: req.url ?? '', headers: { ...req.headers }, body });
      res.writeHead(200, { 'content-type': 'application/x-amz-json-1.0' });
      res.end(req.headers['x-amz-target'] ? '{}' : '');
    });
  });
  return { ...wire, requests };
};

export interface WireAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** A plain request: nothing is normalised, signed or retried. */
export const send = (
  url: string,
  options: {
    readonly method?: string;
    readonly headers?: Record<string, string>;
    readonly body?: string | Buffer;
  } = {},
): Promise<WireAnswer> =>
  new Promise((resolve, reject) => {
    const { origin } = new URL(url);
    const req = request(origin, {
      path: url.slice(origin.length),
      method: options.method ?? 'GET',
      headers: options.headers ?? {},
    });
    req.on('error', reject);
    req.on('response', (res) => {
      bodyOf(res).then(
        (body) => resolve({ status: res.statusCode ?? 0, headers: res.headers, body: body.toString() }),
        reject,
      );
    });
    req.end(options.body);
  });
