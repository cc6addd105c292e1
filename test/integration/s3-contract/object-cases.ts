import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { type ContractCase, must, verdict } from './case.ts';
import { element, elements, md5, md5Base64, type RawAnswer, type Target } from './target.ts';

const text = 'Hello, uploads!';
const put = async (target: Target, key: string, body: string | Buffer = text): Promise<RawAnswer> =>
  must(await target.send('PUT', key, { body }), 'PutObject');

const readWithRange = (name: string, range: string, expected: ContractCase['expected']): ContractCase => ({
  name: `GetObject with range ${name}`,
  expected,
  async run(target, key) {
    await put(target, key, '0123456789');
    const answer = await target.send('GET', key, { headers: { range } });
    return {
      status: answer.status,
      code: answer.code,
      ...(answer.status < 300 ? { body: answer.text, contentRange: answer.headers['content-range'] } : {}),
    };
  },
});

const crcOf = (body: string): string => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc32(body));
  return bytes.toString('base64');
};

/** A body in `aws-chunked` framing with a CRC32 trailer. */
const framed = (body: string, checksum: string): string =>
  `${body.length.toString(16)}\r\n${body}\r\n0\r\nx-amz-checksum-crc32:${checksum}\r\n\r\n`;
const framedRequest = (body: string, checksum = crcOf(body)) => ({
  body: framed(body, checksum),
  payloadHash: 'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
  headers: {
    'content-encoding': 'aws-chunked',
    'x-amz-decoded-content-length': String(body.length),
    'x-amz-trailer': 'x-amz-checksum-crc32',
  },
});

const deletion = (keys: readonly string[]): string =>
  `<Delete>${keys.map((key) => `<Object><Key>${key}</Key></Object>`).join('')}</Delete>`;

export const objectCases: readonly ContractCase[] = [
  {
    name: 'PutObject and GetObject give back bytes, type, metadata and an MD5 ETag',
    expected: {
      etag: `"${md5(text)}"`,
      status: 200,
      body: text,
      readEtag: `"${md5(text)}"`,
      type: 'video/mp4',
      meta: 'Ada',
      disposition: 'attachment; filename="a.mp4"',
      length: String(text.length),
      ranges: 'bytes',
    },
    async run(target, key) {
      const headers = {
        'content-type': 'video/mp4',
        'x-amz-meta-author': 'Ada',
        'content-disposition': 'attachment; filename="a.mp4"',
      };
      const stored = must(await target.send('PUT', key, { body: text, headers }), 'PutObject');
      const read = await target.send('GET', key);
      return {
        etag: stored.headers.etag,
        status: read.status,
        body: read.text,
        readEtag: read.headers.etag,
        type: read.headers['content-type'],
        meta: read.headers['x-amz-meta-author'],
        disposition: read.headers['content-disposition'],
        length: read.headers['content-length'],
        ranges: read.headers['accept-ranges'],
      };
    },
  },
  {
    name: 'PutObject without a content type stores binary/octet-stream',
    expected: { type: 'binary/octet-stream' },
    async run(target, key) {
      await put(target, key);
      return { type: (await target.send('HEAD', key)).headers['content-type'] };
    },
  },
  {
    name: 'PutObject stores an empty object',
    expected: { etag: `"${md5('')}"`, status: 200, length: '0' },
    async run(target, key) {
      const stored = await put(target, key, '');
      const head = await target.send('HEAD', key);
      return { etag: stored.headers.etag, status: head.status, length: head.headers['content-length'] };
    },
  },
  {
    name: 'keys keep spaces, plus signs, percent signs, non-ASCII letters and dots',
    expected: { status: 200, listed: true },
    async run(target, key) {
      const odd = `${key}/a b+c%25é日本 & 'quoted'/..x/.hidden/file (1).mp4`;
      await put(target, odd);
      const read = await target.send('GET', odd);
      const list = await target.send('GET', '', { query: { 'list-type': '2', prefix: key } });
      const listed = element(list.text, 'Key')?.replaceAll('&amp;', '&').replaceAll('&apos;', "'");
      return { status: read.status, listed: listed === odd };
    },
  },
  {
    name: 'a key of 1,024 bytes is stored, one of 1,025 is refused',
    expected: { longest: 200, status: 400, code: 'KeyTooLongError' },
    async run(target, key) {
      const longest = await target.send('PUT', `${key}${'k'.repeat(1024 - key.length)}`, { body: text });
      const longer = await target.send('PUT', `${key}${'k'.repeat(1025 - key.length)}`, { body: text });
      return { longest: longest.status, ...verdict(longer) };
    },
  },
  {
    name: 'GetObject of a missing key',
    expected: { status: 404, code: 'NoSuchKey' },
    run: async (target, key) => verdict(await target.send('GET', key)),
  },
  {
    name: 'HeadObject of a missing key has no body',
    expected: { status: 404, body: '' },
    async run(target, key) {
      const { status, text: body } = await target.send('HEAD', key);
      return { status, body };
    },
  },
  {
    name: 'an object in a missing bucket',
    expected: { status: 404, code: 'NoSuchBucket' },
    run: async (target) => verdict(await target.send('GET', '/no-such-bucket-here/key')),
  },
  {
    name: 'HeadBucket',
    expected: { status: 200, missing: 404 },
    async run(target) {
      const found = await target.send('HEAD', '');
      const missing = await target.send('HEAD', '/no-such-bucket-here');
      return { status: found.status, missing: missing.status };
    },
  },
  readWithRange('of the first byte', 'bytes=0-0', {
    status: 206,
    code: '',
    body: '0',
    contentRange: 'bytes 0-0/10',
  }),
  readWithRange('of the last bytes', 'bytes=-3', {
    status: 206,
    code: '',
    body: '789',
    contentRange: 'bytes 7-9/10',
  }),
  readWithRange('without an end', 'bytes=5-', {
    status: 206,
    code: '',
    body: '56789',
    contentRange: 'bytes 5-9/10',
  }),
  readWithRange('past the end', 'bytes=8-100', {
    status: 206,
    code: '',
    body: '89',
    contentRange: 'bytes 8-9/10',
  }),
  readWithRange('after the end', 'bytes=10-', { status: 416, code: 'InvalidRange' }),
  {
    name: 'GetObject with If-None-Match of the same ETag',
    expected: { status: 304, body: '' },
    async run(target, key) {
      const { etag } = (await put(target, key)).headers;
      const answer = await target.send('GET', key, { headers: { 'if-none-match': etag ?? '' } });
      return { status: answer.status, body: answer.text };
    },
  },
  {
    name: 'GetObject with If-Match of another ETag',
    expected: { status: 412, code: 'PreconditionFailed' },
    async run(target, key) {
      await put(target, key);
      return verdict(await target.send('GET', key, { headers: { 'if-match': `"${md5('other')}"` } }));
    },
  },
  {
    name: 'GetObject with response-content-disposition',
    expected: { disposition: 'attachment; filename="b.mp4"', type: 'text/plain' },
    async run(target, key) {
      await put(target, key);
      const query = {
        'response-content-disposition': 'attachment; filename="b.mp4"',
        'response-content-type': 'text/plain',
      };
      const { headers } = await target.send('GET', key, { query });
      return { disposition: headers['content-disposition'], type: headers['content-type'] };
    },
  },
  {
    name: 'PutObject without a length',
    expected: { status: 411, code: 'MissingContentLength' },
    run: async (target, key) => verdict(await target.sendBytes('PUT', key, { bytes: Buffer.alloc(0) })),
  },
  {
    name: 'PutObject with Transfer-Encoding: chunked and no length',
    expected: { status: 501, code: 'NotImplemented' },
    run: async (target, key) =>
      verdict(
        await target.sendBytes('PUT', key, {
          headers: { 'transfer-encoding': 'chunked' },
          bytes: Buffer.from('5\r\nhello\r\n0\r\n\r\n'),
        }),
      ),
  },
  {
    name: 'PutObject cut in its body stores nothing',
    expected: { status: 404, code: 'NoSuchKey' },
    async run(target, key) {
      await target.sendBytes('PUT', key, {
        headers: { 'content-length': '1000000' },
        bytes: Buffer.alloc(500_000, 'x'),
        cut: true,
      });
      await new Promise((resolve) => setTimeout(resolve, 300));
      return verdict(await target.send('GET', key));
    },
  },
  {
    name: 'PutObject with the right Content-MD5',
    expected: { status: 200, code: '' },
    run: async (target, key) =>
      verdict(await target.send('PUT', key, { body: text, headers: { 'content-md5': md5Base64(text) } })),
  },
  {
    name: 'PutObject with a wrong Content-MD5 stores nothing',
    expected: { status: 400, code: 'BadDigest', after: 404 },
    async run(target, key) {
      const headers = { 'content-md5': md5Base64('other') };
      const answer = await target.send('PUT', key, { body: text, headers });
      return { ...verdict(answer), after: (await target.send('GET', key)).status };
    },
  },
  {
    name: 'PutObject with a Content-MD5 that is no MD5',
    expected: { status: 400, code: 'InvalidDigest' },
    run: async (target, key) =>
      verdict(await target.send('PUT', key, { body: text, headers: { 'content-md5': 'bm9wZQ==' } })),
  },
  {
    name: "PutObject with another body's x-amz-content-sha256 stores nothing",
    expected: { status: 400, code: 'XAmzContentSHA256Mismatch', after: 404 },
    async run(target, key) {
      const payloadHash = createHash('sha256').update('other').digest('hex');
      const answer = await target.send('PUT', key, { body: text, payloadHash });
      return { ...verdict(answer), after: (await target.send('GET', key)).status };
    },
  },
  {
    name: 'PutObject with a right CRC32 answers it',
    expected: { status: 200, checksum: crcOf(text) },
    async run(target, key) {
      const headers = { 'x-amz-checksum-crc32': crcOf(text) };
      const answer = await target.send('PUT', key, { body: text, headers });
      return { status: answer.status, checksum: answer.headers['x-amz-checksum-crc32'] };
    },
  },
  {
    name: 'PutObject with a wrong CRC32',
    expected: { status: 400, code: 'BadDigest' },
    run: async (target, key) =>
      verdict(
        await target.send('PUT', key, { body: text, headers: { 'x-amz-checksum-crc32': crcOf('other') } }),
      ),
  },
  {
    name: 'PutObject with a CRC32 that is none',
    expected: { status: 400, code: 'InvalidRequest' },
    run: async (target, key) =>
      verdict(await target.send('PUT', key, { body: text, headers: { 'x-amz-checksum-crc32': 'nonsense' } })),
  },
  {
    name: 'PutObject in aws-chunked framing stores the bytes without it',
    expected: { status: 200, body: text, encoding: undefined },
    async run(target, key) {
      const answer = await target.send('PUT', key, framedRequest(text));
      const read = await target.send('GET', key);
      return {
        status: answer.status,
        body: read.status === 200 ? read.text : undefined,
        encoding: read.headers['content-encoding'],
      };
    },
  },
  {
    name: 'PutObject in aws-chunked framing with a wrong trailer',
    expected: { status: 400, code: 'BadDigest' },
    run: async (target, key) => verdict(await target.send('PUT', key, framedRequest(text, crcOf('other')))),
  },
  {
    name: 'PutObject with If-None-Match: * creates but does not replace',
    expected: { created: 200, status: 412, code: 'PreconditionFailed', body: text },
    async run(target, key) {
      const headers = { 'if-none-match': '*' };
      const created = await target.send('PUT', key, { body: text, headers });
      const again = await target.send('PUT', key, { body: 'other', headers });
      return {
        created: created.status,
        ...verdict(again),
        body: (await target.send('GET', key)).text,
      };
    },
  },
  {
    name: 'PutObject with If-Match replaces only what it names',
    expected: { wrong: 412, right: 200, missing: 404 },
    async run(target, key) {
      const { etag = '' } = (await put(target, key)).headers;
      const wrong = await target.send('PUT', key, {
        body: 'b',
        headers: { 'if-match': `"${md5('other')}"` },
      });
      const right = await target.send('PUT', key, { body: 'b', headers: { 'if-match': etag } });
      const missing = await target.send('PUT', `${key}/missing`, {
        body: 'b',
        headers: { 'if-match': etag },
      });
      return { wrong: wrong.status, right: right.status, missing: missing.status };
    },
  },
  {
    name: 'user metadata above 2 KB is refused',
    expected: { status: 400, code: 'MetadataTooLarge' },
    run: async (target, key) =>
      verdict(
        await target.send('PUT', key, { body: text, headers: { 'x-amz-meta-long': 'm'.repeat(2100) } }),
      ),
  },
  {
    name: 'DeleteObject removes, and a second time answers the same',
    expected: { first: 204, second: 204, after: 404 },
    async run(target, key) {
      await put(target, key);
      const first = await target.send('DELETE', key);
      const second = await target.send('DELETE', key);
      return {
        first: first.status,
        second: second.status,
        after: (await target.send('GET', key)).status,
      };
    },
  },
  {
    name: 'DeleteObjects removes what is there and answers for every key',
    expected: { status: 200, deleted: 2, after: 404 },
    async run(target, key) {
      await put(target, `${key}/1`);
      const body = deletion([`${key}/1`, `${key}/missing`]);
      const headers = { 'content-md5': md5Base64(body) };
      const answer = await target.send('POST', '', { query: { delete: '' }, body, headers });
      return {
        status: answer.status,
        deleted: elements(answer.text, 'Key').length,
        after: (await target.send('GET', `${key}/1`)).status,
      };
    },
  },
  {
    name: 'DeleteObjects without any checksum of its body',
    expected: { status: 400, code: 'InvalidRequest' },
    run: async (target, key) =>
      verdict(await target.send('POST', '', { query: { delete: '' }, body: deletion([key]) })),
  },
  {
    name: 'DeleteObjects with a document that is none',
    expected: { status: 400, code: 'MalformedXML' },
    async run(target) {
      const body = '<Delete><Object>';
      const headers = { 'content-md5': md5Base64(body) };
      return verdict(await target.send('POST', '', { query: { delete: '' }, body, headers }));
    },
  },
  {
    name: 'ListObjectsV2 lists by prefix in the order of bytes',
    expected: { keys: ['/B', '/a', '/a/1', '/é'], count: '4', truncated: 'false' },
    async run(target, key) {
      for (const name of ['/é', '/a/1', '/B', '/a']) await put(target, key + name);
      const query = { 'list-type': '2', prefix: `${key}/` };
      const { text: list } = await target.send('GET', '', { query });
      return {
        keys: elements(list, 'Key').map((name) => name.slice(key.length)),
        count: element(list, 'KeyCount'),
        truncated: element(list, 'IsTruncated'),
      };
    },
  },
  {
    name: 'ListObjectsV2 rolls up by delimiter, over pages',
    expected: { pages: [['/a'], ['/b/'], ['/c/'], ['/d']] },
    async run(target, key) {
      for (const name of ['/a', '/b/1', '/b/2', '/c/1', '/c/2', '/c/3', '/d']) await put(target, key + name);
      const pages: string[][] = [];
      let token: string | undefined;
      do {
        const { text: list } = await target.send('GET', '', {
          query: {
            'list-type': '2',
            prefix: `${key}/`,
            delimiter: '/',
            'max-keys': '1',
            ...(token === undefined ? {} : { 'continuation-token': token }),
          },
        });
        const groups = list.split('<CommonPrefixes>').slice(1);
        pages.push(
          [...elements(list, 'Key'), ...groups.map((group) => element(group, 'Prefix') ?? '')].map((name) =>
            name.slice(key.length),
          ),
        );
        token = element(list, 'NextContinuationToken');
      } while (token !== undefined && pages.length < 10);
      return { pages };
    },
  },
  {
    name: 'ListObjectsV2 starts after a key',
    expected: { keys: ['/2', '/3'] },
    async run(target, key) {
      for (const name of ['/1', '/2', '/3']) await put(target, key + name);
      const query = { 'list-type': '2', prefix: `${key}/`, 'start-after': `${key}/1` };
      const { text: list } = await target.send('GET', '', { query });
      return { keys: elements(list, 'Key').map((name) => name.slice(key.length)) };
    },
  },
  {
    name: 'ListObjectsV2 with a max-keys that is no number',
    expected: { status: 400, code: 'InvalidArgument' },
    run: async (target) =>
      verdict(await target.send('GET', '', { query: { 'list-type': '2', 'max-keys': 'many' } })),
  },
  {
    name: 'CopyObject copies bytes and metadata',
    expected: { status: 200, etag: `"${md5(text)}"`, body: text, meta: 'Ada', type: 'video/mp4' },
    async run(target, key) {
      const headers = { 'content-type': 'video/mp4', 'x-amz-meta-author': 'Ada' };
      must(await target.send('PUT', key, { body: text, headers }), 'PutObject');
      const copied = await target.send('PUT', `${key}/copy`, {
        headers: { 'x-amz-copy-source': `/${target.bucket}/${key}` },
      });
      const read = await target.send('GET', `${key}/copy`);
      return {
        status: copied.status,
        etag: element(copied.text, 'ETag'),
        body: read.text,
        meta: read.headers['x-amz-meta-author'],
        type: read.headers['content-type'],
      };
    },
  },
  {
    name: 'CopyObject replaces metadata where it is asked to',
    expected: { status: 200, meta: 'Eve', type: 'text/plain' },
    async run(target, key) {
      must(
        await target.send('PUT', key, { body: text, headers: { 'x-amz-meta-author': 'Ada' } }),
        'PutObject',
      );
      const copied = await target.send('PUT', key, {
        headers: {
          'x-amz-copy-source': `/${target.bucket}/${key}`,
          'x-amz-metadata-directive': 'REPLACE',
          'x-amz-meta-author': 'Eve',
          'content-type': 'text/plain',
        },
      });
      const { headers } = await target.send('HEAD', key);
      return {
        status: copied.status,
        meta: headers['x-amz-meta-author'],
        type: headers['content-type'],
      };
    },
  },
  {
    name: 'CopyObject onto itself without a change',
    expected: { status: 400, code: 'InvalidRequest' },
    async run(target, key) {
      await put(target, key);
      const headers = { 'x-amz-copy-source': `/${target.bucket}/${key}` };
      return verdict(await target.send('PUT', key, { headers }));
    },
  },
  {
    name: 'CopyObject from a missing key',
    expected: { status: 404, code: 'NoSuchKey' },
    run: async (target, key) =>
      verdict(
        await target.send('PUT', key, {
          headers: { 'x-amz-copy-source': `/${target.bucket}/${key}/missing` },
        }),
      ),
  },
];
