import { readFileSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { exportJWK, generateKeyPair, importJWK, type JWK, SignJWT } from 'jose';

/** Where the development issuer lives, under the API's URL. */
export const ISSUER_PATH = '/_local/issuer';

const KEY_FILE = 'issuer-key.json';

export interface Issuer {
  /** Serves the discovery document and the public key. False where the path is not the issuer's. */
  handle(request: IncomingMessage, response: ServerResponse): boolean;
}

/**
 * An OpenID Connect issuer for development: it publishes a key, and hands out nothing. Tokens are made by who can
 * read the key's file ({@link mintToken}), never over HTTP, where any page in a browser could ask for one.
 *
 * @param dir where the key is kept, so that tokens stay good over a restart
 * @param url the issuer's own, as in the tokens' `iss`
 */
export async function createIssuer(dir: string, url: string): Promise<Issuer> {
  const { kty, n, e, kid, alg } = await readOrMakeKey(dir);
  const documents = new Map<string, object>([
    [
      `${ISSUER_PATH}/.well-known/openid-configuration`,
      {
        issuer: url,
        jwks_uri: `${url}/jwks.json`,
        response_types_supported: ['id_token'],
        subject_types_supported: ['public'],
        id_token_signing_alg_values_supported: ['RS256'],
      },
    ],
    [`${ISSUER_PATH}/jwks.json`, { keys: [{ kty, n, e, kid, alg, use: 'sig' }] }],
  ]);
  return {
    handle(request, response) {
      const document = documents.get(request.url ?? '');
      if (!document || request.method !== 'GET') return false;
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(document));
      return true;
    },
  };
}

export interface TokenRequest {
  readonly issuer: string;
  readonly audience: string;
  /** The token's `sub`: who uploads. */
  readonly subject: string;
  /** Separated by blanks. @default none */
  readonly scope?: string | undefined;
  readonly expiresInSeconds: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/**
 * Signs a token with the key in the stack's folder.
 *
 * @throws an Error where the stack has never run in this folder
 */
export async function mintToken(dir: string, request: TokenRequest): Promise<string> {
  const key = readKey(dir);
  if (!key) throw new Error(`there is no ${KEY_FILE} in ${dir}: start the local stack first (npm start)`);
  const issuedAt = Math.floor(request.now / 1000);
  return new SignJWT(request.scope === undefined ? {} : { scope: request.scope })
    .setProtectedHeader({ alg: 'RS256', kid: key.kid ?? '', typ: 'JWT' })
    .setIssuer(request.issuer)
    .setAudience(request.audience)
    .setSubject(request.subject)
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + request.expiresInSeconds)
    .sign(await importJWK(key, 'RS256'));
}

function readKey(dir: string): JWK | undefined {
  try {
    return JSON.parse(readFileSync(join(dir, KEY_FILE), 'utf8')) as JWK;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function readOrMakeKey(dir: string): Promise<JWK> {
  const known = readKey(dir);
  if (known) return known;
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  const key: JWK = { ...(await exportJWK(privateKey)), alg: 'RS256', kid: crypto.randomUUID() };
  writeFileSync(join(dir, KEY_FILE), JSON.stringify(key), { mode: 0o600 });
  return key;
}
