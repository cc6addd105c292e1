/**
 * The stack's access keys. Everything is derived from one random key in `<dir>/credentials.json`, so that keys,
 * and URLs that were signed with them, stay good over a restart without a list of what was issued: a session
 * token names its caller, sealed with that key.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Caller } from '../types.ts';

export interface KeyPair {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** As AWS STS issues them to a role: all three are needed to sign. */
export interface SessionKeys extends KeyPair {
  readonly sessionToken: string;
}

export interface FoundCredentials {
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  readonly caller: Caller;
}

export interface Credentials {
  /** The developer's own key pair: everything is allowed. */
  readonly root: KeyPair;
  /** Keys for a role (a function instance, an execution). Throws for root and anonymous callers. */
  issue(caller: Caller): SessionKeys;
  /** Who a key belongs to. `invalid-token`: the key is ours, the session token is missing or not its own. */
  find(accessKeyId: string, sessionToken?: string): FoundCredentials | 'invalid-token' | undefined;
}

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const base32 = (bytes: Uint8Array, length: number): string =>
  Array.from(bytes.subarray(0, length), (byte) => alphabet[byte & 31]).join('');

const readKey = (dir: string): Buffer => {
  const file = join(dir, 'credentials.json');
  mkdirSync(dir, { recursive: true });
  try {
    // Fails if the file is there, so that two starts at once agree on one key.
    writeFileSync(file, `${JSON.stringify({ key: randomBytes(32).toString('hex') })}\n`, {
      mode: 0o600,
      flag: 'wx',
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const { key } = JSON.parse(readFileSync(file, 'utf8')) as { key?: string };
  if (!key || !/^[0-9a-f]{64}$/.test(key))
    throw new Error(`${file} holds no key: remove it to have a new one made`);
  return Buffer.from(key, 'hex');
};

/** @param options `dir`: where the random key is kept (made if absent); `account`: 12 digits. */
export const createCredentials = (options: {
  readonly dir: string;
  readonly account: string;
}): Credentials => {
  const key = readKey(options.dir);
  const mac = (purpose: string, data: string): Buffer =>
    createHmac('sha256', key).update(`${options.account}/${purpose}/${data}`).digest();

  const secretOf = (accessKeyId: string): string =>
    mac('secret', accessKeyId).toString('base64').slice(0, 40);
  // The first half is free, the second proves that we issued it: an unknown key differs from a wrong token.
  const keyIdFrom = (free: string): string => `ASIA${free}${base32(mac('key', free), 8)}`;
  const seal = (accessKeyId: string, text: string): string =>
    mac('token', `${accessKeyId}/${text}`).toString('base64url');

  const rootId = `AKIA${base32(mac('root', ''), 16)}`;
  const root: KeyPair = { accessKeyId: rootId, secretAccessKey: secretOf(rootId) };

  return {
    root,
    issue(caller) {
      if (caller.kind !== 'role') throw new Error(`no session keys for a caller of kind ${caller.kind}`);
      const accessKeyId = keyIdFrom(base32(randomBytes(8), 8));
      const text = Buffer.from(JSON.stringify(caller)).toString('base64url');
      const sessionToken = `${text}.${seal(accessKeyId, text)}`;
      return { accessKeyId, secretAccessKey: secretOf(accessKeyId), sessionToken };
    },
    find(accessKeyId, sessionToken) {
      if (accessKeyId === rootId)
        return sessionToken
          ? 'invalid-token'
          : { secretAccessKey: root.secretAccessKey, caller: { kind: 'root' } };
      if (accessKeyId !== keyIdFrom(accessKeyId.slice(4, 12))) return undefined;
      const [text, given] = (sessionToken ?? '').split('.');
      if (!text || !given) return 'invalid-token';
      const [expected, received] = [Buffer.from(seal(accessKeyId, text)), Buffer.from(given)];
      if (expected.length !== received.length || !timingSafeEqual(expected, received)) return 'invalid-token';
      const caller = JSON.parse(Buffer.from(text, 'base64url').toString()) as Caller;
      return { secretAccessKey: secretOf(accessKeyId), sessionToken: sessionToken as string, caller };
    },
  };
};
