import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { createCredentials } from '../../../../local/aws/credentials.ts';
import { account, roleCaller } from './fakes.ts';

const dir = mkdtempSync(join(tmpdir(), 'credentials-'));
afterAll(() => rmSync(dir, { recursive: true }));
const caller = roleCaller('R', { functionName: 'f', workerId: 3 });

test('root and session keys stay good over a restart and know their caller', () => {
  const before = createCredentials({ dir, account });
  const keys = before.issue(caller);
  const after = createCredentials({ dir, account });
  expect(after.root).toEqual(before.root);
  expect(after.find(before.root.accessKeyId)).toEqual({
    secretAccessKey: before.root.secretAccessKey,
    caller: { kind: 'root' },
  });
  expect(after.find(keys.accessKeyId, keys.sessionToken)).toEqual({
    secretAccessKey: keys.secretAccessKey,
    sessionToken: keys.sessionToken,
    caller,
  });
});

test('each worker has keys of its own, and a token is good only with its key', () => {
  const credentials = createCredentials({ dir, account });
  const [one, two] = [credentials.issue(caller), credentials.issue(caller)];
  expect(one.accessKeyId).not.toBe(two.accessKeyId);
  expect(one.secretAccessKey).not.toBe(two.secretAccessKey);
  expect(credentials.find(one.accessKeyId, two.sessionToken)).toBe('invalid-token');
  expect(credentials.find(one.accessKeyId)).toBe('invalid-token');
  expect(credentials.find(credentials.root.accessKeyId, one.sessionToken)).toBe('invalid-token');
  const [text, seal] = one.sessionToken.split('.');
  const forged = Buffer.from(JSON.stringify({ kind: 'root' })).toString('base64url');
  expect(credentials.find(one.accessKeyId, `${forged}.${seal}`)).toBe('invalid-token');
  expect(credentials.find(one.accessKeyId, `${text}.x`)).toBe('invalid-token');
});

test('a key that was never issued is unknown, also one of another stack', () => {
  const credentials = createCredentials({ dir, account });
  const elsewhere = createCredentials({ dir: join(dir, 'other'), account });
  expect(credentials.find('ASIAAAAAAAAAAAAAAAAA', 'x')).toBeUndefined();
  expect(credentials.find('', undefined)).toBeUndefined();
  const { accessKeyId, sessionToken } = elsewhere.issue(caller);
  expect(credentials.find(accessKeyId, sessionToken)).toBeUndefined();
});

test('only roles get session keys, and a broken key file is named', () => {
  const credentials = createCredentials({ dir, account });
  expect(() => credentials.issue({ kind: 'root' })).toThrow('root');
  const broken = mkdtempSync(join(dir, 'broken-'));
  writeFileSync(join(broken, 'credentials.json'), '{}');
  expect(() => createCredentials({ dir: broken, account })).toThrow('credentials.json holds no key');
});
