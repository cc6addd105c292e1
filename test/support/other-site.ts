import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createPages, type Pages } from '../../local/api/pages.ts';

const CLIENT = new URL('../../client', import.meta.url).pathname;

/**
 * A web site of somebody else, from another origin than the API: an input for files, Resumable.js as npm has it, and
 * our modules under `/client/`.
 */
export class OtherSite {
  /** Added to every page, as docs/client.md has it. */
  contentSecurityPolicy = '';
  /** Scripts by path. */
  readonly scripts = new Map<string, string>();
  readonly #pages: Pages = createPages(CLIENT);
  readonly #server: Server;

  constructor() {
    this.#server = createServer((request, response) => {
      const script = this.scripts.get(request.url ?? '');
      if (request.url === '/') {
        response.setHeader('content-type', 'text/html; charset=utf-8');
        response.setHeader('content-security-policy', this.contentSecurityPolicy);
        response.end(PAGE);
      } else if (script !== undefined) {
        response.setHeader('content-type', 'text/javascript; charset=utf-8');
        response.end(script);
      } else
        this.#pages.handle(request, response).then(
          (found) => {
            if (!found) response.writeHead(404).end();
          },
          (error: Error) => response.destroy(error),
        );
    });
  }

  /** @returns its origin */
  async open(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

const PAGE = `<!doctype html>
<html lang="en">
  <title>Somebody's page</title>
  <link rel="icon" href="/client/page/icon.svg" />
  <script src="/client/vendor/resumable.js"></script>
  <label>Files <input type="file" id="choose" multiple /></label>
</html>
`;
