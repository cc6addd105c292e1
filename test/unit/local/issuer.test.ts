import { statSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, expect, test } from '@jest/globals';
import { createJwtAuthorizer } from '../../../local/api/jwt-authorizer.ts';
import { createIssuer, ISSUER_PATH, type Issuer, mintToken } from '../../../local/issuer.ts';
import { newFolder } from './small-template.ts';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function serveIssuer(dir: string) {
  let issuer: Issuer | undefined;
  const server = createServer((request, response) => {
    if (!issuer?.handle(request, response)) response.writeHead(404).end();
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${ISSUER_PATH}`;
  issuer = await createIssuer(dir, url);
  return url;
}

const request = (issuer: string) => ({ issuer, audience: 'uploads', subject: 'alice', expiresInSeconds: 60 });

test("tokens minted from the folder's key pass the API's authorizer until they expire", async () => {
  const dir = newFolder();
  const issuer = await serveIssuer(dir);
  const token = await mintToken(dir, { ...request(issuer), now: 1_000_000 });
  const authorizeAt = (now: number) =>
    createJwtAuthorizer({ Issuer: issuer, Audience: ['uploads'] }, { now: () => now, log: () => {} })(
      token,
      [],
    );
  expect(await authorizeAt(1_000_000)).toMatchObject({
    ok: true,
    authorizer: { jwt: { claims: { sub: 'alice' } } },
  });
  expect(await authorizeAt(1_061_000)).toMatchObject({ ok: false, status: 401 });
});

test('the key outlives a restart, is for its owner only, and is never published', async () => {
  const dir = newFolder();
  const keysOf = async (url: string) =>
    (await (await fetch(`${url}/jwks.json`)).json()) as { keys: object[] };
  const first = await keysOf(await serveIssuer(dir));
  expect(await keysOf(await serveIssuer(dir))).toEqual(first);
  expect(first.keys.map((key) => Object.keys(key).sort())).toEqual([['alg', 'e', 'kid', 'kty', 'n', 'use']]);
  expect(statSync(join(dir, 'issuer-key.json')).mode & 0o777).toBe(0o600);
});

test('there are no tokens without a key', async () => {
  await expect(mintToken(newFolder(), { ...request('http://x'), now: 0 })).rejects.toThrow(
    /start the local stack first/,
  );
});
