import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { HeadObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  chunksOf,
  createBody,
  createPresigned,
  describeUpload,
  partBytes,
  postChunk,
  putPart,
  reportParts,
  sendChunks,
  sendPresigned,
  sourceFile,
  untilStatus,
} from '../support/clients.ts';
import { ApiError, conform, conformEvent } from '../support/openapi.ts';
import { as, bearer, token } from '../support/owners.ts';
import { TestStack, until } from '../support/stack.ts';

const CHUNK = 64 * 1024;
const PART = 5 * 1024 * 1024;

const stack = new TestStack({
  env: { AUTH: 'jwt' },
  context: { partSize: PART, maxUploadsPerOwner: 1000, logLevel: 'INFO' },
});
let mallory: TestStack;
let text = '';
let bystander: { uploadId: string; before: unknown };

beforeAll(async () => {
  await stack.start();
  text = await token(stack, 'mallory');
  mallory = await as(stack, 'mallory');
  const carol = await as(stack, 'carol');
  const file = sourceFile(3 * PART);
  const { uploadId, partUrls } = await createPresigned(carol, file);
  const etag = await putPart(partUrls[1]?.url ?? '', partBytes(file, PART, 2));
  await reportParts(carol, uploadId, [{ partNumber: 2, etag }]);
  bystander = { uploadId, before: await describeUpload(carol, uploadId) };
}, 180_000);
afterAll(async () => await stack.stop(), 60_000);

/** Uploads that were let begin; everything else must leave nothing. */
const begun = new Set<string>();

/**
 * Sends a request that may be anything, and holds the answer against the document.
 *
 * @returns its status
 * @throws Error for an answer that is not documented, or is a fault of the server's
 */
async function attack(method: string, route: string, path: string, init: RequestInit): Promise<number> {
  const headers = { ...bearer(text), ...(init.headers as Record<string, string>) };
  const response = await fetch(`${stack.apiUrl}${path}`, { ...init, method, headers });
  try {
    const answer = (await conform(method, route, response)) as { uploadId?: string } | undefined;
    if (answer?.uploadId) begun.add(answer.uploadId);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status >= 500) throw new Error(`${method} ${path}: ${error.message}`, { cause: error });
  }
  return response.status;
}

const json = async (path: string, route: string, body: string): Promise<number> =>
  await attack('POST', route, path, { headers: { 'content-type': 'application/json' }, body });

const HOSTILE_TEXTS = [
  '',
  ' ',
  '..',
  '../../../etc/passwd',
  '..\\..\\windows\\system32\\cmd.exe',
  '/',
  'a/b/c.mp4',
  'con.mp4',
  'NUL',
  '.htaccess',
  '...',
  'a\0b.mp4',
  'a\r\nSet-Cookie: x=1.mp4',
  '\u202Egpj.4pm',
  '\u2066a\u2069.mp4',
  '\uFEFFa.mp4',
  '\uD800.mp4',
  'e\u0301.mp4',
  'é.mp4',
  '日本語.mp4',
  '👩‍👩‍👧‍👦.mp4',
  '<script>alert(1)</script>.mp4',
  '"; filename="evil.html',
  "' OR 1=1 --",
  '${jndi:ldap://x}',
  '{{7*7}}',
  '%2e%2e%2f',
  '%00',
  'a'.repeat(1024),
  'a'.repeat(1025),
  '日'.repeat(1024),
  `${'a'.repeat(300)}.mp4`,
  '__proto__',
  'constructor',
  'toString',
  'null',
  'undefined',
  'NaN',
  'true',
  '0',
  '-1',
  '-0',
  '+1',
  '01',
  '1.5',
  '1e3',
  '0x10',
  '1_000',
  '１',
  ' 1',
  '1 ',
  '1,1',
  'Infinity',
  '9007199254740991',
  '9007199254740993',
  '99999999999999999999999999',
  'video/mp4; charset="\r\n"',
  'video/mp4\r\nx-amz-acl: public-read',
  'text/html',
];
const hostileText = fc.oneof(
  fc.constantFrom(...HOSTILE_TEXTS),
  fc.string({ unit: 'binary', maxLength: 80 }),
  fc.string({ unit: 'grapheme', maxLength: 80 }),
);
const hostileValue: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 4, arbitrary: hostileText },
  fc.constantFrom(-1, 0, 1, 1.5, 5, 2 ** 53, -(2 ** 53), 1e308, true, null, [], {}, [[]], { size: 1 }),
  fc.jsonValue({ maxDepth: 3 }),
);
const GOOD_UPLOAD: Record<string, unknown> = { fileName: 'a.mp4', size: 5 };
const runs = (numRuns: number) => ({ numRuns, endOnFailure: false, interruptAfterTimeLimit: 60_000 });

const entries = (count: number): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`n${index}`, 'x']));

describe('JSON requests', () => {
  test('with anything in their fields get a documented answer, and no fault', async () => {
    const field = hostileValue;
    await fc.assert(
      fc.asyncProperty(
        fc.record(
          { fileName: field, size: field, contentType: field, identifier: field, metadata: field },
          { requiredKeys: [] },
        ),
        fc.dictionary(hostileText, hostileValue, { maxKeys: 2 }),
        async (body, more) => {
          await json('/uploads', '/uploads', JSON.stringify({ ...GOOD_UPLOAD, ...more, ...body }));
        },
      ),
      runs(150),
    );
  }, 120_000);

  test('with hostile ids, part numbers and ETags get a documented answer, and no fault', async () => {
    const own = await createPresigned(mallory, sourceFile(2 * PART));
    begun.add(own.uploadId);
    const id = fc.oneof(fc.constantFrom(own.uploadId, bystander.uploadId, '0'.repeat(32)), hostileText);
    await fc.assert(
      fc.asyncProperty(id, hostileValue, hostileValue, async (uploadId, one, other) => {
        const segment = encodeURIComponent(uploadId.toWellFormed());
        // `.` and `..` are no ids but paths of their own.
        if (['', '.', '..'].includes(segment)) return;
        const path = `/uploads/${segment}`;
        await attack('GET', '/uploads/{uploadId}', path, {});
        await json(
          `${path}/part-urls`,
          '/uploads/{uploadId}/part-urls',
          JSON.stringify({ partNumbers: [one, other] }),
        );
        await json(
          `${path}/parts`,
          '/uploads/{uploadId}/parts',
          JSON.stringify({ parts: [{ partNumber: one, etag: other }, other] }),
        );
      }),
      runs(60),
    );
  }, 120_000);

  test.each([
    ['nothing', ''],
    ['half of it', '{"fileName":"a.mp4","si'],
    ['a list', '[{"fileName":"a.mp4","size":5}]'],
    ['prototype names', '{"__proto__":{"fileName":"a.mp4","size":5},"constructor":{"prototype":{"x":1}}}'],
    [
      'prototype names in metadata',
      '{"fileName":"a.mp4","size":5,"metadata":{"__proto__":"x","constructor":"y"}}',
    ],
    ['a depth of 10,000', `{"a":${'['.repeat(10_000)}${']'.repeat(10_000)}}`],
    ['a depth of 60,000 that does not end', '{"a":'.repeat(60_000)],
    ['a megabyte', `{"fileName":"${'a'.repeat(2 ** 20)}","size":5}`],
    ['a number of 10,000 digits', `{"fileName":"a.mp4","size":${'9'.repeat(10_000)}}`],
    ['ill-formed UTF-8', Buffer.from([0x7b, 0xff, 0xfe, 0x7d])],
    ['21 entries of metadata', JSON.stringify({ fileName: 'a', size: 5, metadata: entries(21) })],
    [
      '1,000 bytes of metadata too many',
      JSON.stringify({ fileName: 'a', size: 5, metadata: { a: 'x'.repeat(3000) } }),
    ],
  ])('of %s are refused', async (_, body) => {
    const status = await attack('POST', '/uploads', '/uploads', {
      headers: { 'content-type': 'application/json' },
      body: typeof body === 'string' ? body : new Uint8Array(body),
    });
    expect(status).toBe(400);
  });

  test('as another type, or compressed, are refused', async () => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/jsonp', 'x']) {
      const body = '{"fileName":"a.mp4","size":5}';
      expect(await attack('POST', '/uploads', '/uploads', { headers: { 'content-type': type }, body })).toBe(
        415,
      );
    }
  });
});

const PARAMETERS = [
  'resumableChunkNumber',
  'resumableChunkSize',
  'resumableCurrentChunkSize',
  'resumableTotalSize',
  'resumableType',
  'resumableIdentifier',
  'resumableFilename',
] as const;
const GOOD: Record<(typeof PARAMETERS)[number], string> = {
  resumableChunkNumber: '1',
  resumableChunkSize: String(CHUNK),
  resumableCurrentChunkSize: '5',
  resumableTotalSize: '5',
  resumableType: 'video/mp4',
  resumableIdentifier: '5-amp4',
  resumableFilename: 'a.mp4',
};

describe('chunks', () => {
  test('with anything in their parameters get a documented answer, and no fault', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.subarray([...PARAMETERS], { minLength: 1, maxLength: 3 }),
        fc.array(hostileText, { minLength: 3, maxLength: 3 }),
        fc.boolean(),
        async (names, values, isDouble) => {
          const query = new URLSearchParams(GOOD);
          names.forEach((name, index) => {
            if (!isDouble) query.delete(name);
            query.append(name, values[index] ?? '');
          });
          // The gateway takes no longer request line.
          if (String(query).length > 9000) return;
          await attack('GET', '/upload', `/upload?${query}`, {});
          await attack('POST', '/upload', `/upload?${query}`, {
            headers: { 'content-type': 'application/octet-stream' },
            body: '12345',
          });
        },
      ),
      runs(120),
    );
  }, 120_000);

  test.each([
    ['resumableChunkNumber', ['0', '-1', '01', '1.0', '1e0', '２', '2', '1000001', '']],
    ['resumableChunkSize', ['0', '-1', '65536.5', '9007199254740993', 'NaN']],
    ['resumableCurrentChunkSize', ['4', '6', '-5', '5.0', '05']],
    ['resumableTotalSize', ['0', '4', '6', '-5', '9007199254740991', '1e99', 'Infinity']],
    ['resumableFilename', ['', 'a'.repeat(1025)]],
    ['resumableIdentifier', ['', 'a'.repeat(1025)]],
    ['resumableType', ['video', 'video/', '/mp4', 'a/b/c', 'video/mp4\r\nx: y', 'video/\u0000']],
  ])('whose %s cannot be are refused where Resumable.js stops', async (name, values) => {
    for (const value of values) {
      const query = new URLSearchParams({ ...GOOD, [name]: value });
      const status = await attack('POST', '/upload', `/upload?${query}`, {
        headers: { 'content-type': 'application/octet-stream' },
        body: '12345',
      });
      expect({ value, status: [400, 415].includes(status) }).toEqual({ value, status: true });
    }
  });

  /** A form, piece by piece. */
  const part = (disposition: string, content: string): string =>
    `--B\r\nContent-Disposition: form-data; ${disposition}\r\n\r\n${content}\r\n`;
  const fields = (over: Record<string, string> = {}): string =>
    Object.entries({ ...GOOD, ...over })
      .map(([name, value]) => part(`name="${name}"`, value))
      .join('');
  const file = part('name="file"; filename="blob"', '12345');
  const FORM = 'multipart/form-data; boundary=B';

  test('as a form are taken with the fields after the file, and in the query too', async () => {
    const before = begun.size;
    const send = async (body: string, query = ''): Promise<number> =>
      await attack('POST', '/upload', `/upload${query}`, { headers: { 'content-type': FORM }, body });
    expect(await send(`${file}${fields({ resumableIdentifier: 'after' })}--B--\r\n`)).toBe(200);
    expect(
      await send(`${fields({ resumableIdentifier: 'both' })}${file}--B--\r\n`, '?resumableIdentifier=both'),
    ).toBe(200);
    expect(begun.size).toBe(before + 2);
  });

  test.each<[string, string, string, string?]>([
    ['no boundary', 'multipart/form-data', `${fields()}${file}--B--\r\n`],
    ['another boundary', 'multipart/form-data; boundary=C', `${fields()}${file}--B--\r\n`],
    ['no end', FORM, `${fields()}${file}`],
    ['an end within the file', FORM, `${fields()}${file.slice(0, -4)}`],
    ['two files', FORM, `${fields()}${file}${file}--B--\r\n`],
    ['no file', FORM, `${fields()}--B--\r\n`],
    ['a file as a text field', FORM, `${fields()}${part('name="file"', '12345')}--B--\r\n`],
    ['no fields', FORM, `${file}--B--\r\n`],
    ['a field twice', FORM, `${fields()}${part('name="resumableChunkNumber"', '2')}${file}--B--\r\n`],
    ['another value in the query', FORM, `${fields()}${file}--B--\r\n`, '?resumableChunkNumber=2'],
    [
      'a gigantic field',
      FORM,
      `${fields()}${part('name="resumableFilename"', 'a'.repeat(3_000_000))}${file}--B--\r\n`,
    ],
    ['10,000 fields', FORM, `${part('name="x"', '').repeat(10_000)}${file}--B--\r\n`],
    ['prototype names alone', FORM, `${part('name="__proto__"', 'x')}${file}--B--\r\n`],
    ['a field without a name', FORM, `${part('filename="x"', 'x')}${fields()}${file}--B--\r\n`],
    ['a file of another length', FORM, `${fields({ resumableCurrentChunkSize: '4' })}${file}--B--\r\n`],
    ['nothing at all', FORM, ''],
  ])('as a form with %s are refused', async (_, type, body, query = '') => {
    const status = await attack('POST', '/upload', `/upload${query}`, {
      headers: { 'content-type': type },
      body,
    });
    expect(status).toBe(400);
  });

  test('as mutilated forms get a documented answer, and no fault', async () => {
    const whole = `${fields({ resumableIdentifier: 'mutilated' })}${file}--B--\r\n`;
    await fc.assert(
      fc.asyncProperty(
        fc.nat(whole.length),
        fc.nat(40),
        fc.string({ unit: 'binary-ascii', maxLength: 20 }),
        async (at, removed, inserted) => {
          const body = whole.slice(0, at) + inserted + whole.slice(at + removed);
          await attack('POST', '/upload', '/upload', { headers: { 'content-type': FORM }, body });
        },
      ),
      runs(150),
    );
  }, 120_000);

  test('that are compressed, or of a type that is none, are refused', async () => {
    const query = new URLSearchParams(GOOD);
    for (const headers of [
      { 'content-type': 'application/octet-stream', 'content-encoding': 'gzip' },
      { 'content-type': 'application/octet-stream', 'content-encoding': 'br, gzip' },
      { 'content-type': 'text/html' },
      { 'content-type': 'application/json' },
      { 'content-type': 'multipart/mixed; boundary=B' },
      { 'content-type': '\t' },
    ])
      expect(await attack('POST', '/upload', `/upload?${query}`, { headers, body: '12345' })).toBe(415);
  });
});

describe('connections', () => {
  /** What comes back for bytes on a socket; empty where the server just hangs up or waits for more. */
  async function raw(request: string, patience = 1500): Promise<string> {
    const { hostname, port } = new URL(stack.apiUrl);
    return await new Promise((resolve, reject) => {
      let answer = '';
      const socket = connect(Number(port), hostname, () => socket.write(request, 'latin1'));
      const timer = setTimeout(() => socket.destroy(), patience);
      socket.on('data', (data) => {
        answer += data.toString('latin1');
      });
      socket.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') reject(error);
      });
      socket.on('close', () => {
        clearTimeout(timer);
        resolve(answer);
      });
    });
  }
  const query = new URLSearchParams({ ...GOOD, resumableIdentifier: 'raw' });
  const head = (...headers: string[]): string =>
    [
      `POST /upload?${query} HTTP/1.1`,
      'Host: localhost',
      `Authorization: Bearer ${text}`,
      'Content-Type: application/octet-stream',
      ...headers,
      '',
      '',
    ].join('\r\n');
  const statusOf = (answer: string): number => Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);

  test.each<[string, () => string, number[]]>([
    ['a Content-Length above what is sent', () => `${head('Content-Length: 100')}12345`, [0, 400, 408]],
    ['a negative Content-Length', () => `${head('Content-Length: -5')}12345`, [400]],
    ['two Content-Lengths', () => `${head('Content-Length: 5', 'Content-Length: 6')}12345`, [400]],
    [
      'both lengths and chunks',
      () => `${head('Content-Length: 5', 'Transfer-Encoding: chunked')}5\r\n12345\r\n0\r\n\r\n`,
      [400],
    ],
    ['a broken chunk', () => `${head('Transfer-Encoding: chunked')}zz\r\n12345\r\n`, [400]],
    ['a gigantic Content-Length', () => `${head('Content-Length: 99999999999')}12345`, [0, 413]],
    ['a blank in a header name', () => head('X Y: 1', 'Content-Length: 0'), [400]],
    ['a line feed in a header', () => head('X: a\nY: b\0', 'Content-Length: 0'), [400]],
    ['a head above 10,240 bytes', () => head(`X: ${'a'.repeat(11_000)}`, 'Content-Length: 0'), [431]],
    ['a head above 64 KB', () => head(`X: ${'a'.repeat(70_000)}`, 'Content-Length: 0'), [431]],
    ['a body shorter than the chunk', () => `${head('Connection: close', 'Content-Length: 4')}1234`, [400]],
    ['no HTTP', () => 'hello\r\n\r\n', [400]],
    ['a TLS handshake', () => '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', [0, 400]],
  ])('with %s come to nothing', async (_, request, statuses) => {
    expect(statuses).toContain(statusOf(await raw(request())));
  });

  test('that smuggle a second request get it answered on its own merits', async () => {
    const smuggled = 'GET /uploads/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n';
    const answer = await raw(`${head('Content-Length: 5')}1234${smuggled}`);
    // The first byte of the second belongs to the first one's body; what remains is no request of anybody's.
    expect(answer.match(/HTTP\/1\.1 \d{3}/g)?.slice(1)).not.toContain('HTTP/1.1 200');
    expect(answer).not.toContain('partUrls');
  });
});

describe('finished objects', () => {
  const FORBIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]|\.\.\/|\/\.|\\|["'<>]/u;

  test('are safe to serve, whatever their names and types are', async () => {
    const names = HOSTILE_TEXTS.filter((name) => name !== '' && name.length <= 1024);
    const taken: { uploadId: string; name: string }[] = [];
    for (const [index, name] of names.entries()) {
      const file = { ...sourceFile(5), name, type: index % 2 ? 'text/html' : 'video/mp4' };
      const response = await mallory.api('POST', '/uploads', createBody(file));
      const answer = (await response.json()) as { uploadId: string };
      begun.add(answer.uploadId);
      if (response.status === 400) {
        expect(name.isWellFormed() && !name.includes('\0')).toBe(false);
        continue;
      }
      // A chunk's parameters stand in the query, of which the gateway takes 10 KB.
      const isLong = encodeURIComponent(name).length > 2000;
      const { uploadId } = index % 2 || isLong ? await sendPresigned(mallory, file) : await byProxy(file);
      begun.add(uploadId);
      taken.push({ uploadId, name });
    }
    expect(taken.length).toBeGreaterThan(40);
    for (const { uploadId, name } of taken) {
      const { key, fileName } = await untilStatus(mallory, uploadId, 'completed');
      expect(fileName).toBe(name);
      expect(String(key)).not.toMatch(FORBIDDEN);
      expect(String(key)).toMatch(new RegExp(`^uploads/mallory/${uploadId}/[0-9a-z]{14}/[^/]+$`));
      expect(Buffer.byteLength(String(key))).toBeLessThanOrEqual(1024);
      expect(String(key).normalize('NFC')).toBe(key);
      const object = await stack.s3.send(
        new HeadObjectCommand({ Bucket: stack.bucketName, Key: String(key) }),
      );
      expect(object.ContentDisposition).toBe('attachment');
      expect(object.ContentType).toMatch(/^(text\/html|video\/mp4)$/);
      expect(object.Metadata ?? {}).toEqual({});
      const [event] = await until('the event', 20_000, async () => {
        const seen = await stack.events(uploadId);
        return seen.length > 0 ? seen : undefined;
      });
      if (event) conformEvent(event);
    }
  }, 180_000);

  async function byProxy(file: ReturnType<typeof sourceFile>): Promise<{ uploadId: string }> {
    const options = { chunkSize: CHUNK, headers: bearer(text), method: 'octet' as const };
    return await sendChunks(stack, file, chunksOf(5, options), options);
  }

  test('of the same name in another form are objects of their own', async () => {
    const [composed, decomposed] = ['é.mp4', 'e\u0301.mp4'].map((name) => ({ ...sourceFile(5), name }));
    if (!composed || !decomposed) throw new Error('There should be two.');
    const one = await createPresigned(mallory, composed);
    const other = await createPresigned(mallory, { ...decomposed, identifier: composed.identifier });
    for (const { uploadId } of [one, other]) begun.add(uploadId);
    expect(one.uploadId).not.toBe(other.uploadId);
    expect(one.key).not.toBe(other.key);
  });
});

describe('after all that', () => {
  test('nothing is kept of what was refused', async () => {
    const uploads = (await stack.items())
      .map(({ pk }) => String(pk).split('#'))
      .filter(([owner]) => owner === 'mallory')
      .map(([, id]) => id ?? '');
    expect(uploads.filter((id) => id !== 'quota' && !begun.has(id))).toEqual([]);
    const ids = [
      ...(await stack.objects()),
      ...(await stack.multipartUploads()).map((one) => one.split('?')[0] ?? ''),
    ]
      .map((key) => key.split('/'))
      .filter(([, owner]) => owner !== 'carol');
    for (const [, owner, id] of ids)
      expect({ owner, known: begun.has(id ?? '') }).toEqual({ owner: 'mallory', known: true });
  });

  test("the others' uploads are as they were", async () => {
    const carol = await as(stack, 'carol');
    expect(await describeUpload(carol, bystander.uploadId)).toEqual(bystander.before);
    const file = sourceFile(PART + 1);
    const { uploadId } = await sendPresigned(carol, file);
    await untilStatus(carol, uploadId, 'completed');
  }, 30_000);

  test('no function has failed, and none has logged a token, a signature or a name', async () => {
    const { key } = await createPresigned(mallory, { ...sourceFile(5), name: 'Dr Jane Doe, my scan.mp4' });
    expect(key).toContain('Dr Jane Doe_ my scan.mp4');
    await postChunk(
      stack,
      { ...sourceFile(7), name: 'Dr Jane Doe, my scan.mp4' },
      { number: 1, start: 0, end: 6 },
      { chunkSize: CHUNK, headers: bearer(text) },
    );
    const folder = join(stack.dir, 'logs');
    const logs = readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), 'utf8')] as const);
    expect(logs.map(([name]) => name)).toEqual(
      expect.arrayContaining(['create-upload.log', 'receive-chunk.log', 'complete-upload.log']),
    );
    const signature = text.split('.')[2] ?? '';
    for (const [name, log] of logs) {
      expect({
        name,
        faults: log.match(/request failed|"level":"ERROR"|Runtime\.|Task timed out|Unhandled/g),
      }).toEqual({
        name,
        faults: null,
      });
      for (const secret of [
        text,
        signature,
        'X-Amz-Signature',
        'X-Amz-Credential',
        'Bearer ',
        'Jane Doe',
        'etc/passwd',
      ])
        expect({ name, secret, found: log.includes(secret) }).toEqual({ name, secret, found: false });
    }
  });
});
