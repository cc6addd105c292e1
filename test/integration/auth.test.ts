import { createHash, createHmac, generateKeyPairSync, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { SignatureV4 } from '@smithy/signature-v4';
import { exportSPKI, generateKeyPair, importJWK } from 'jose';
import {
  chunksOf,
  createBody,
  createPresigned,
  describeUpload,
  partBytes,
  postChunk,
  putPart,
  sendChunks,
  sendPresigned,
  sourceFile,
  testChunk,
  untilStatus,
} from '../support/clients.ts';
import { expectCompleted } from '../support/outcome.ts';
import { as, bearer, issuerKey, routes, token } from '../support/owners.ts';
import { TestStack } from '../support/stack.ts';

const MiB = 1024 * 1024;
const PART = 5 * MiB;
const CHUNK = 64 * 1024;
const UNKNOWN = 'f'.repeat(32);

/** A body that each route would take from somebody who may. */
function bodyFor(method: string, path: string): unknown {
  if (method !== 'POST') return undefined;
  if (path.endsWith('/part-urls')) return { partNumbers: [1] };
  if (path.endsWith('/parts')) return { parts: [{ partNumber: 1, etag: 'a'.repeat(32) }] };
  return { fileName: 'a.mp4', size: 10 };
}

const base64url = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('with tokens', () => {
  const stack = new TestStack({ env: { AUTH: 'jwt' }, context: { partSize: PART } });
  let alice: TestStack;
  let bob: TestStack;
  beforeAll(async () => {
    await stack.start();
    [alice, bob] = [await as(stack, 'alice'), await as(stack, 'bob')];
  }, 180_000);
  afterAll(async () => await stack.stop(), 60_000);

  /** What is no good token, each for its own reason. */
  async function badTokens(): Promise<Record<string, Record<string, string>>> {
    const good = await token(stack, 'alice');
    const [head = '', payload = '', signature = ''] = good.split('.');
    const { privateKey } = await generateKeyPair('RS256');
    const publicKey = await importJWK({ ...issuerKey(stack), d: undefined } as never, 'RS256', {
      extractable: true,
    });
    const pem = await exportSPKI(publicKey as CryptoKey);
    const symmetric = `${base64url({ alg: 'HS256', kid: issuerKey(stack).kid, typ: 'JWT' })}.${payload}`;
    const own = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'jwk' });
    const asBob = base64url({ ...JSON.parse(Buffer.from(payload, 'base64url').toString()), sub: 'bob' });
    return {
      'no token': {},
      'an empty token': bearer(''),
      'something else': bearer('x'),
      'the scheme Basic': { authorization: `Basic ${Buffer.from('alice:secret').toString('base64')}` },
      'an expired one': bearer(await token(stack, 'alice', { expiresIn: -1 })),
      'one that is not valid yet': bearer(await token(stack, 'alice', { notBefore: 600 })),
      'one for another audience': bearer(await token(stack, 'alice', { audience: 'another' })),
      'one of another issuer': bearer(await token(stack, 'alice', { issuer: 'https://evil.example' })),
      'one signed with another key': bearer(await token(stack, 'alice', { key: privateKey })),
      'alg none': bearer(`${base64url({ alg: 'none', typ: 'JWT' })}.${payload}.`),
      'alg none with the signature': bearer(`${base64url({ alg: 'none' })}.${payload}.${signature}`),
      'HS256 signed with the public key': bearer(
        `${symmetric}.${createHmac('sha256', pem).update(symmetric).digest('base64url')}`,
      ),
      'another subject under the old signature': bearer(`${head}.${asBob}.${signature}`),
      'a key of its own in the header': bearer(
        `${base64url({ alg: 'RS256', jwk: own, typ: 'JWT' })}.${payload}.${signature}`,
      ),
    };
  }

  test('every route refuses every request without a good token, and calls nothing for it', async () => {
    const all = routes(stack);
    expect(all.length).toBeGreaterThanOrEqual(12);
    const tokens = await badTokens();
    await stack.clearCalls();
    const let_through: string[] = [];
    for (const { method, path } of all)
      for (const [what, headers] of Object.entries(tokens)) {
        const response = await stack.api(
          method,
          path.replace('{uploadId}', UNKNOWN),
          bodyFor(method, path),
          headers,
        );
        const text = await response.text();
        if (response.status !== 401 || !['', '{"message":"Unauthorized"}'].includes(text))
          let_through.push(`${method} ${path} with ${what}: ${response.status} ${text}`);
      }
    expect(let_through).toEqual([]);
    expect(await stack.calls()).toEqual([]);
    expect(await stack.items()).toEqual([]);
  }, 120_000);

  test('a good token opens every route', async () => {
    for (const { method, path } of routes(stack)) {
      const response = await alice.api(method, path.replace('{uploadId}', UNKNOWN), bodyFor(method, path));
      expect([200, 201, 400, 404, 405, 415]).toContain(response.status);
    }
  });

  test("another owner's id is answered like an unknown one: same words, same work", async () => {
    const file = sourceFile(3 * PART);
    const presigned = await createPresigned(alice, file);
    const proxied = await sendChunks(stack, sourceFile(3 * CHUNK), [{ number: 1, start: 0, end: CHUNK }], {
      chunkSize: CHUNK,
      headers: bearer(await token(stack, 'alice')),
    });
    const ofUploads = routes(stack).filter(({ path }) => path.includes('{uploadId}'));
    expect(ofUploads).toHaveLength(4);

    const ask = async (method: string, path: string, uploadId: string) => {
      await stack.clearCalls();
      const response = await bob.api(method, path.replace('{uploadId}', uploadId), bodyFor(method, path));
      const { 'apigw-requestid': _, date: __, ...headers } = Object.fromEntries(response.headers);
      return {
        status: response.status,
        headers,
        body: await response.text(),
        calls: (await stack.calls()).map(({ service, operation, functionName, status, readUnits }) => ({
          service,
          operation,
          functionName,
          status,
          readUnits,
        })),
      };
    };
    for (const { method, path } of ofUploads) {
      const unknown = await ask(method, path, UNKNOWN);
      expect(unknown).toMatchObject({ status: 404, calls: [{ operation: 'GetItem' }] });
      for (const uploadId of [presigned.uploadId, proxied.uploadId])
        expect(await ask(method, path, uploadId)).toEqual(unknown);
      for (const guess of ['0', 'alice', `alice%23${presigned.uploadId}`, '..%2f..', '%00', 'A'.repeat(32)]) {
        const { status, calls } = await ask(method, path, guess);
        expect([404, 405]).toContain(status);
        expect(calls).toEqual([]);
      }
    }
    expect(await describeUpload(alice, presigned.uploadId)).toMatchObject({ status: 'uploading' });
    expect(await describeUpload(alice, proxied.uploadId)).toMatchObject({ status: 'uploading' });
  }, 60_000);

  test('two owners with the same file never meet, in either mode', async () => {
    const file = sourceFile(3 * CHUNK + 5);
    const chunks = chunksOf(file.bytes.byteLength, { chunkSize: CHUNK });
    const [first, ...rest] = chunks;
    if (!first) throw new Error('There should be chunks.');
    const of = async (owner: string) => ({
      chunkSize: CHUNK,
      headers: bearer(await token(stack, owner)),
    });
    await sendChunks(stack, file, [first], await of('alice'));
    expect(await testChunk(stack, file, first, await of('alice'))).toBe(200);
    expect(await testChunk(stack, file, first, await of('bob'))).toBe(204);
    const ofBob = await sendChunks(stack, file, chunks, await of('bob'));
    const ofAlice = await sendChunks(stack, file, rest, await of('alice'));
    const presignedOfAlice = await sendPresigned(alice, file);
    const presignedOfBob = await sendPresigned(bob, file);

    const ids: string[] = [];
    for (const [user, owner, { uploadId }] of [
      [alice, 'alice', ofAlice],
      [bob, 'bob', ofBob],
      [alice, 'alice', presignedOfAlice],
      [bob, 'bob', presignedOfBob],
    ] as const) {
      await expectCompleted(user, uploadId, file);
      ids.push(uploadId);
      for (const { detail } of await stack.events(uploadId)) {
        expect(detail.owner).toBe(owner);
        expect(String(detail.key)).toMatch(new RegExp(`^uploads/${owner}/${uploadId}/`));
      }
    }
    expect(new Set(ids).size).toBe(4);
  }, 120_000);

  test('a subject that could reach into a key is known by its digest, and by nobody else', async () => {
    for (const subject of ['../alice', 'alice#', 'auth0|alice', 'a/b', 'ALICE ', 'x'.repeat(300), 'ü']) {
      const user = await as(stack, subject);
      const { key } = await createPresigned(user, sourceFile(10));
      const digest = createHash('sha256').update(subject).digest('hex').slice(0, 32);
      expect(key.split('/').slice(0, 2)).toEqual(['uploads', `~${digest}`]);
    }
  });

  test('a URL stores its own part of its own length, whoever holds it, and nothing once it has expired', async () => {
    const file = sourceFile(2 * PART + 100);
    const { partUrls, uploadId } = await createPresigned(alice, file);
    const [first, second, third] = partUrls.map(({ url }) => url);
    if (!first || !second || !third) throw new Error('There should be three URLs.');
    const other = await createPresigned(bob, sourceFile(2 * PART));
    const url = new URL(first);
    const changed = (name: string, value: string): string => {
      const copy = new URL(url);
      copy.searchParams.set(name, value);
      return String(copy);
    };
    const bytes = partBytes(file, PART, 1);
    for (const [spoiled, body] of [
      [changed('partNumber', '2'), bytes],
      [changed('uploadId', new URL(other.partUrls[0]?.url ?? '').searchParams.get('uploadId') ?? ''), bytes],
      [changed('X-Amz-Expires', '604800'), bytes],
      [first.replace('/uploads/alice/', '/uploads/bob/'), bytes],
      [changed('X-Amz-Signature', '0'.repeat(64)), bytes],
      [first, bytes.subarray(1)],
      [first, Buffer.concat([bytes, Buffer.from('x')])],
      [third, bytes],
    ] as const)
      await expect(putPart(spoiled, body)).rejects.toMatchObject({ status: 403 });
    for (const method of ['GET', 'HEAD', 'DELETE', 'POST'])
      expect((await fetch(first, { method })).status).toBe(403);

    expect(await putPart(first, bytes)).toMatch(/^"[0-9a-f]{32}"$/);
    await stack.advance(3601);
    await expect(putPart(second, partBytes(file, PART, 2))).rejects.toMatchObject({ status: 403 });
    const later = await as(stack, 'alice', { clockOffset: 3601 });
    expect(await describeUpload(later, uploadId)).toMatchObject({ status: 'uploading' });
    await sendPresigned(later, file);
    await untilStatus(later, uploadId, 'completed');
  }, 60_000);
});

describe('with signatures of AWS credentials', () => {
  const stack = new TestStack({ env: { AUTH: 'iam' }, context: { partSize: PART } });
  beforeAll(async () => {
    await stack.start();
  }, 180_000);
  afterAll(async () => await stack.stop(), 60_000);

  class Sha256 {
    readonly #hash = createHash('sha256');
    readonly #key: string | Uint8Array | undefined;
    #parts: Uint8Array[] = [];
    constructor(key?: string | Uint8Array) {
      this.#key = key;
    }
    update(data: string | Uint8Array): void {
      this.#parts.push(Buffer.from(data as string));
    }
    async digest(): Promise<Uint8Array> {
      const hash = this.#key === undefined ? this.#hash : createHmac('sha256', this.#key);
      for (const part of this.#parts) hash.update(part);
      return hash.digest();
    }
    reset(): void {
      this.#parts = [];
    }
  }

  async function signed(
    method: string,
    path: string,
    body: unknown,
    spoil: { secret?: string; service?: string; ageSeconds?: number } = {},
  ): Promise<Record<string, string>> {
    const signer = new SignatureV4({
      service: spoil.service ?? 'execute-api',
      region: stack.region,
      credentials: {
        accessKeyId: stack.accessKeyId,
        secretAccessKey: spoil.secret ?? stack.secretAccessKey,
      },
      sha256: Sha256 as never,
    });
    const { host, hostname, port } = new URL(stack.apiUrl);
    const { headers } = await signer.sign(
      {
        method,
        protocol: 'http:',
        hostname,
        port: Number(port),
        path,
        query: {},
        headers: { host, ...(body !== undefined && { 'content-type': 'application/json' }) },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      },
      { signingDate: new Date(Date.now() - (spoil.ageSeconds ?? 0) * 1000) },
    );
    const { host: _, ...rest } = headers;
    return rest;
  }

  test('every route refuses what is unsigned, wrongly signed or signed for something else', async () => {
    await stack.clearCalls();
    const let_through: string[] = [];
    for (const route of routes(stack)) {
      const { method } = route;
      const path = route.path.replace('{uploadId}', UNKNOWN);
      const body = bodyFor(method, route.path);
      const other = path === '/uploads' ? '/upload' : '/uploads';
      const attempts: Record<string, Record<string, string>> = {
        unsigned: {},
        'a token': bearer('x'),
        'another secret': await signed(method, path, body, { secret: randomBytes(20).toString('base64') }),
        'another service': await signed(method, path, body, { service: 's3' }),
        'an old date': await signed(method, path, body, { ageSeconds: 3600 }),
        'another path': await signed(method, other, body),
        ...(body !== undefined && { 'another body': await signed(method, path, { size: 1 }) }),
      };
      for (const [what, headers] of Object.entries(attempts)) {
        const response = await stack.api(method, path, body, headers);
        if (response.status !== 403)
          let_through.push(`${method} ${path}, ${what}: ${response.status} ${await response.text()}`);
      }
    }
    expect(let_through).toEqual([]);
    expect(await stack.calls()).toEqual([]);
  }, 120_000);

  test('a signed request is served, and its principal owns the upload', async () => {
    const file = sourceFile(100);
    const body = createBody(file);
    const response = await stack.api('POST', '/uploads', body, await signed('POST', '/uploads', body));
    expect(response.status).toBe(201);
    const { key } = (await response.json()) as { key: string };
    expect(key).toMatch(/^uploads\/000000000000\//);
  });

  test('a chunk is not taken without a signature', async () => {
    const file = sourceFile(100);
    const response = await postChunk(stack, file, { number: 1, start: 0, end: 100 }, { chunkSize: CHUNK });
    expect(response.status).toBe(403);
  });
});
