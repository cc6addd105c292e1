import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, request as httpRequest, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { Gateway } from '../../../../local/api/gateway.ts';
import { createPages } from '../../../../local/api/pages.ts';
import { type ApiServer, listenApi } from '../../../../local/api/server.ts';
import { newFolder } from '../small-template.ts';

const apis: ApiServer[] = [];
const servers: Server[] = [];
afterEach(async () => {
  await Promise.all(apis.splice(0).map((api) => api.close()));
  for (const server of servers.splice(0)) server.close();
});

/** The gateway has the one route `/api`. */
const gateway: Gateway = {
  handle: async (request, response) => {
    if (request.url !== '/api') return false;
    response.end('from the function');
    return true;
  },
  notFound: (_, response) => {
    response.statusCode = 404;
    response.end();
  },
  jwtIssuers: [],
};

function clientFolder(): string {
  const root = newFolder();
  const dir = join(root, 'client');
  for (const folder of ['page', 'console', '.hidden']) mkdirSync(join(dir, folder), { recursive: true });
  writeFileSync(join(dir, 'page/index.html'), '<h1>Page</h1>');
  writeFileSync(join(dir, 'console/index.html'), '<h1>Console</h1>');
  writeFileSync(join(dir, 'adapter.ts'), 'export const answer: number = 42;\n');
  writeFileSync(join(dir, '.hidden/key.json'), '{}');
  writeFileSync(join(root, 'secret.json'), '{}');
  symlinkSync(join(root, 'secret.json'), join(dir, 'link.json'));
  return dir;
}

async function start() {
  const forwarded: { method: string | undefined; url: string | undefined; host: string | undefined }[] = [];
  const aws = createServer((request, response) => {
    forwarded.push({ method: request.method, url: request.url, host: request.headers.host });
    request.pipe(response);
  });
  servers.push(aws);
  await new Promise<void>((resolve) => aws.listen(0, '127.0.0.1', resolve));
  const awsEndpointUrl = `http://127.0.0.1:${(aws.address() as AddressInfo).port}`;
  const api = await listenApi(0, () => {});
  apis.push(api);
  api.open({ gateway, issuer: { handle: () => false }, pages: createPages(clientFolder()), awsEndpointUrl });
  /** Unlike fetch, sends the path and the headers as they are. */
  const raw = (path: string, headers: Record<string, string> = {}) =>
    new Promise<number | undefined>((resolve, reject) => {
      const { hostname, port } = new URL(api.url);
      httpRequest({ hostname, port, path, headers }, (response) => {
        response.resume();
        resolve(response.statusCode);
      })
        .once('error', reject)
        .end();
    });
  return { url: api.url, awsEndpointUrl, forwarded, raw };
}

const text = async (url: string) => {
  const response = await fetch(url);
  return { status: response.status, type: response.headers.get('content-type'), body: await response.text() };
};

test('a port in use is told in a sentence', async () => {
  const api = await listenApi(0, () => {});
  apis.push(api);
  const port = Number(new URL(api.url).port);
  await expect(listenApi(port, () => {})).rejects.toThrow(`port ${port} is in use`);
});

test('until the stack is ready, requests are asked to come again', async () => {
  const api = await listenApi(0, () => {});
  apis.push(api);
  const response = await fetch(api.url);
  expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1']);
});

describe('pages', () => {
  test("the API's routes come first, then pages, then the gateway's 404", async () => {
    const { url } = await start();
    expect((await text(`${url}/api`)).body).toBe('from the function');
    expect(await text(`${url}/`)).toEqual({
      status: 200,
      type: 'text/html; charset=utf-8',
      body: '<h1>Page</h1>',
    });
    expect((await text(`${url}/console`)).body).toBe('<h1>Console</h1>');
    expect((await text(`${url}/other`)).status).toBe(404);
    expect((await fetch(`${url}/`, { method: 'POST' })).status).toBe(404);
  });

  test('TypeScript is served as JavaScript, by its own name and as .js', async () => {
    const { url } = await start();
    for (const name of ['adapter.ts', 'adapter.js']) {
      const { type, body } = await text(`${url}/client/${name}`);
      expect(type).toBe('text/javascript; charset=utf-8');
      expect(body).toMatch(/^export const answer\s+= 42;\n$/);
    }
  });

  test('Resumable.js comes from its package', async () => {
    const { url } = await start();
    expect((await text(`${url}/client/vendor/resumable.js`)).body).toContain('var Resumable = function');
  });

  test.each([
    '/client/../../secret.json',
    '/client/%2e%2e/secret.json',
    '/client/..%2fsecret.json',
    '/client/..%5csecret.json',
    '/client/page/../../secret.json',
    '/client//etc/passwd',
    '/client/.hidden/key.json',
    '/client/link.json',
    '/client/adapter.ts%00.html',
    '/client/',
    '/client/page',
  ])('%s is not served', async (path) => {
    const { raw } = await start();
    expect(await raw(path)).toBe(404);
  });
});

describe('/_local', () => {
  test('goes to the AWS endpoint, bodies included', async () => {
    const { url, awsEndpointUrl, forwarded } = await start();
    const response = await fetch(`${url}/_local/faults?a=1`, { method: 'POST', body: '[]' });
    expect(await response.text()).toBe('[]');
    expect(forwarded).toEqual([
      { method: 'POST', url: '/_local/faults?a=1', host: new URL(awsEndpointUrl).host },
    ]);
  });

  test("is closed to other sites' pages, whether by a rebound name or across origins", async () => {
    const { raw, url, forwarded } = await start();
    const { host, port } = new URL(url);
    expect(await raw('/_local/calls', { host: `evil.example.com:${port}` })).toBe(403);
    expect(await raw('/_local/calls', { host, origin: 'https://evil.example.com' })).toBe(403);
    expect(await raw('/_local/calls', { host, origin: 'http://localhost:1' })).toBe(403);
    expect(forwarded).toEqual([]);
    expect(
      await raw('/_local/calls', { host: `localhost:${port}`, origin: `http://localhost:${port}` }),
    ).toBe(200);
  });
});
