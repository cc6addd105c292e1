import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Issuer } from '../issuer.ts';
import type { Gateway } from './gateway.ts';
import type { Pages } from './pages.ts';

/** What stands behind the listener, once it is there. */
export interface Site {
  readonly gateway: Gateway;
  readonly issuer: Issuer;
  readonly pages: Pages;
  readonly awsEndpointUrl: string;
}

export interface ApiServer {
  /** `http://127.0.0.1:<port>` */
  readonly url: string;
  /** Until this is called, every request is answered with 503. */
  open(site: Site): void;
  close(): Promise<void>;
}

/** Node refuses larger heads itself; the gateway's own limit is below and has its own answer. */
const NODE_MAX_HEADER_BYTES = 64 * 1024;

/**
 * The one origin for browsers: the API's routes first, then `/_local`, then pages.
 *
 * @param port 0 lets the system choose
 * @throws an Error that says so in a sentence, where the port is taken
 */
export async function listenApi(port: number, log: (line: string) => void): Promise<ApiServer> {
  let site: Site | undefined;
  const server = createServer({ maxHeaderSize: NODE_MAX_HEADER_BYTES }, (request, response) => {
    answer(site, request, response).catch((error: Error) => {
      // A client that goes away in the middle of its body is no fault of ours.
      if (request.destroyed && !request.complete) return;
      log(`${request.method} ${request.url}: ${error.stack ?? error.message}`);
      if (!response.headersSent) respond(response, 500, 'Internal Server Error');
      else response.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const taken = error.code === 'EADDRINUSE';
      reject(
        taken
          ? new Error(`port ${port} is in use: stop what listens there, or choose another with PORT`)
          : error,
      );
    });
    server.listen(port, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    open: (opened) => {
      site = opened;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  site: Site | undefined,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (!site) {
    // The issuer's documents are not needed earlier than the routes either.
    response.setHeader('retry-after', '1');
    return respond(response, 503, 'The local stack is starting');
  }
  if (await site.gateway.handle(request, response)) return;
  if (request.url === '/_local' || request.url?.startsWith('/_local/')) {
    if (!isFromThisMachine(request))
      return respond(response, 403, 'Only for pages of the local stack itself');
    if (site.issuer.handle(request, response)) return;
    return forward(site.awsEndpointUrl, request, response);
  }
  if (await site.pages.handle(request, response)) return;
  site.gateway.notFound(request, response);
}

/**
 * Keeps other sites' pages away from the controls: one whose name was rebound to this machine shows in Host, one
 * that simply posts to it in Origin.
 */
function isFromThisMachine({ headers }: IncomingMessage): boolean {
  const host = headers.host ?? '';
  if (!['localhost', '127.0.0.1', '[::1]'].includes(host.replace(/:\d+$/, ''))) return false;
  return headers.origin === undefined || headers.origin === `http://${host}`;
}

function forward(awsEndpointUrl: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const target = new URL(awsEndpointUrl);
  return new Promise((resolve, reject) => {
    const { host: _host, origin: _origin, connection: _connection, ...headers } = request.headers;
    const upstream = httpRequest(
      {
        host: target.hostname,
        port: target.port,
        method: request.method,
        path: request.url,
        headers: { ...headers, host: target.host },
      },
      (answered) => {
        response.writeHead(answered.statusCode ?? 502, answered.headers);
        answered.pipe(response);
        answered.once('end', resolve);
        answered.once('error', reject);
      },
    );
    upstream.once('error', reject);
    response.once('close', () => {
      upstream.destroy();
      resolve();
    });
    request.pipe(upstream);
  });
}

function respond(response: ServerResponse, status: number, message: string): void {
  response.statusCode = status;
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ message }));
}
