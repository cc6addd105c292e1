import { createHash } from 'node:crypto';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { type ContractCase, must, type Outcome, verdict } from './case.ts';
import { element, elements, md5, md5Base64, type RawAnswer, type RawRequest, type Target } from './target.ts';

const mebibyte = 1024 ** 2;
/** The smallest part that is not the last. */
const big = Buffer.alloc(5 * mebibyte, 'a');
const other = Buffer.alloc(5 * mebibyte, 'b');
const small = Buffer.from('the end');

interface Listed {
  readonly number: number;
  readonly etag: string;
}

/** One multipart upload of a target, in steps. */
async function begin(target: Target, key: string, headers: Record<string, string> = {}) {
  const created = must(await target.send('POST', key, { query: { uploads: '' }, headers }), 'create');
  const uploadId = element(created.text, 'UploadId') ?? '';
  return {
    uploadId,
    created,
    part: (number: number | string, body: Buffer | string, request: RawRequest = {}): Promise<RawAnswer> =>
      target.send('PUT', key, { ...request, query: { partNumber: String(number), uploadId }, body }),
    async listed(number: number, body: Buffer | string): Promise<Listed> {
      const { headers: answer } = must(await this.part(number, body), `part ${number}`);
      return { number, etag: answer.etag ?? '' };
    },
    complete: (parts: readonly Listed[], request: RawRequest = {}): Promise<RawAnswer> =>
      target.send('POST', key, { query: { uploadId }, body: completion(parts), ...request }),
    abort: (): Promise<RawAnswer> => target.send('DELETE', key, { query: { uploadId } }),
    list: (query: Record<string, string> = {}): Promise<RawAnswer> =>
      target.send('GET', key, { query: { uploadId, ...query } }),
  };
}

const completion = (parts: readonly Listed[]): string =>
  `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${parts
    .map(({ number, etag }) => `<Part><PartNumber>${number}</PartNumber><ETag>${etag}</ETag></Part>`)
    .join('')}</CompleteMultipartUpload>`;

const multipartEtag = (...parts: readonly Buffer[]): string =>
  `"${md5(Buffer.concat(parts.map((part) => createHash('md5').update(part).digest())))}-${parts.length}"`;

/** A completion that is refused, and leaves the upload as it was. */
const refused = (
  name: string,
  expected: Outcome,
  attempt: (upload: Awaited<ReturnType<typeof begin>>) => Promise<RawAnswer>,
): ContractCase => ({
  name: `CompleteMultipartUpload ${name}`,
  expected: { ...expected, uploadStays: 200 },
  async run(target, key) {
    const upload = await begin(target, key);
    const answer = await attempt(upload);
    const list = await upload.list();
    await upload.abort();
    return { ...verdict(answer), uploadStays: list.status };
  },
});

export const multipartCases: readonly ContractCase[] = [
  {
    name: 'a multipart upload by the SDK becomes one object with its headers',
    expected: {
      etag: multipartEtag(big, other, small),
      length: big.length + other.length + small.length,
      type: 'video/mp4',
      meta: 'Ada',
      digest: md5(Buffer.concat([big, other, small])),
    },
    async run({ client, bucket: Bucket }, Key) {
      const { UploadId } = await client.send(
        new CreateMultipartUploadCommand({
          Bucket,
          Key,
          ContentType: 'video/mp4',
          Metadata: { author: 'Ada' },
        }),
      );
      const Parts = await Promise.all(
        [big, other, small].map(async (Body, index) => {
          const PartNumber = index + 1;
          const { ETag } = await client.send(
            new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body }),
          );
          return { PartNumber, ETag };
        }),
      );
      const { ETag } = await client.send(
        new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }),
      );
      const read = await client.send(new GetObjectCommand({ Bucket, Key }));
      const bytes = Buffer.from((await read.Body?.transformToByteArray()) ?? []);
      return {
        etag: ETag,
        length: read.ContentLength,
        type: read.ContentType,
        meta: read.Metadata?.author,
        digest: md5(bytes),
      };
    },
  },
  {
    name: 'ranges read across the parts of an object',
    expected: { status: 206, body: 'aaabbb' },
    async run(target, key) {
      const upload = await begin(target, key);
      const parts = [await upload.listed(1, big), await upload.listed(2, other)];
      must(await upload.complete(parts), 'complete');
      const range = `bytes=${big.length - 3}-${big.length + 2}`;
      const answer = await target.send('GET', key, { headers: { range } });
      return { status: answer.status, body: answer.text };
    },
  },
  {
    name: 'a single small part is enough, with any number up to 10,000',
    expected: { status: 200, etag: multipartEtag(small) },
    async run(target, key) {
      const upload = await begin(target, key);
      const answer = await upload.complete([await upload.listed(10_000, small)]);
      return { status: answer.status, etag: element(answer.text, 'ETag') };
    },
  },
  {
    name: 'parts that are not listed are left out',
    expected: { status: 200, body: small.toString() },
    async run(target, key) {
      const upload = await begin(target, key);
      await upload.listed(1, big);
      const answer = await upload.complete([await upload.listed(2, small)]);
      const read = await target.send('GET', key);
      return { status: answer.status, body: read.status === 200 ? read.text : undefined };
    },
  },
  {
    name: 'CompleteMultipartUpload takes ETags without quotes',
    expected: { status: 200, code: '' },
    async run(target, key) {
      const upload = await begin(target, key);
      const { number, etag } = await upload.listed(1, small);
      return verdict(await upload.complete([{ number, etag: etag.replaceAll('"', '') }]));
    },
  },
  refused(
    'with a part below 5 MiB that is not the last',
    { status: 400, code: 'EntityTooSmall' },
    async (u) => u.complete([await u.listed(1, small), await u.listed(2, small)]),
  ),
  refused('with a part that was not sent', { status: 400, code: 'InvalidPart' }, async (u) =>
    u.complete([await u.listed(1, small), { number: 2, etag: `"${md5(small)}"` }]),
  ),
  refused('with another ETag', { status: 400, code: 'InvalidPart' }, async (u) => {
    await u.listed(1, small);
    return u.complete([{ number: 1, etag: `"${md5('other')}"` }]);
  }),
  refused('with parts out of order', { status: 400, code: 'InvalidPartOrder' }, async (u) =>
    u.complete([await u.listed(2, big), await u.listed(1, big)]),
  ),
  refused('with a part listed twice', { status: 400, code: 'InvalidPartOrder' }, async (u) => {
    const part = await u.listed(1, big);
    return u.complete([part, part]);
  }),
  refused('without parts', { status: 400, code: 'MalformedXML' }, async (u) => u.complete([])),
  refused('with a document that is none', { status: 400, code: 'MalformedXML' }, async (u) =>
    u.complete([], { body: '<CompleteMultipartUpload><Part>' }),
  ),
  refused('with a document type and entities', { status: 400, code: 'MalformedXML' }, async (u) => {
    const { etag } = await u.listed(1, small);
    const body = `<!DOCTYPE x [<!ENTITY n "1">]>${completion([{ number: 1, etag }]).replace('>1<', '>&n;<')}`;
    return u.complete([], { body });
  }),
  refused(
    'with another object size than the parts have',
    { status: 400, code: 'InvalidRequest' },
    async (u) => u.complete([await u.listed(1, small)], { headers: { 'x-amz-mp-object-size': '8' } }),
  ),
  {
    name: 'CompleteMultipartUpload with the right object size',
    expected: { status: 200, code: '' },
    async run(target, key) {
      const upload = await begin(target, key);
      const parts = [await upload.listed(1, small)];
      const headers = { 'x-amz-mp-object-size': String(small.length) };
      return verdict(await upload.complete(parts, { headers }));
    },
  },
  {
    name: 'CompleteMultipartUpload with If-None-Match: * on a key that exists',
    expected: { status: 412, code: 'PreconditionFailed' },
    async run(target, key) {
      must(await target.send('PUT', key, { body: small }), 'put');
      const upload = await begin(target, key);
      const parts = [await upload.listed(1, small)];
      return verdict(await upload.complete(parts, { headers: { 'if-none-match': '*' } }));
    },
  },
  {
    name: 'CompleteMultipartUpload repeated answers the same success',
    expected: { status: 200, sameEtag: true },
    async run(target, key) {
      const upload = await begin(target, key);
      const parts = [await upload.listed(1, small)];
      const first = must(await upload.complete(parts), 'complete');
      const second = await upload.complete(parts);
      return {
        status: second.status,
        sameEtag: element(first.text, 'ETag') === element(second.text, 'ETag'),
      };
    },
  },
  {
    name: 'CompleteMultipartUpload repeated after the object was deleted',
    expected: { status: 404, code: 'NoSuchUpload' },
    async run(target, key) {
      const upload = await begin(target, key);
      const parts = [await upload.listed(1, small)];
      must(await upload.complete(parts), 'complete');
      must(await target.send('DELETE', key), 'delete');
      return verdict(await upload.complete(parts));
    },
  },
  {
    name: 'an upload id that never was',
    expected: { part: 'NoSuchUpload', complete: 'NoSuchUpload', abort: 'NoSuchUpload', list: 'NoSuchUpload' },
    async run(target, key) {
      const uploadId = '2~not-an-upload';
      const query = { uploadId };
      const part = await target.send('PUT', key, { query: { ...query, partNumber: '1' }, body: small });
      const body = completion([{ number: 1, etag: `"${md5(small)}"` }]);
      return {
        part: part.code,
        complete: (await target.send('POST', key, { query, body })).code,
        abort: (await target.send('DELETE', key, { query })).code,
        list: (await target.send('GET', key, { query })).code,
      };
    },
  },
  {
    name: "another key's upload id",
    expected: { status: 404, code: 'NoSuchUpload' },
    async run(target, key) {
      const { uploadId } = await begin(target, key);
      const query = { uploadId, partNumber: '1' };
      return verdict(await target.send('PUT', `${key}/other`, { query, body: small }));
    },
  },
  {
    name: 'AbortMultipartUpload forgets the parts, for good',
    expected: { first: 204, second: 'NoSuchUpload', part: 'NoSuchUpload', complete: 'NoSuchUpload' },
    async run(target, key) {
      const upload = await begin(target, key);
      const parts = [await upload.listed(1, small)];
      const first = await upload.abort();
      return {
        first: first.status,
        second: (await upload.abort()).code,
        part: (await upload.part(1, small)).code,
        complete: (await upload.complete(parts)).code,
      };
    },
  },
  {
    name: 'AbortMultipartUpload by the SDK throws an error named NoSuchUpload the second time',
    expected: { name: 'NoSuchUpload' },
    async run({ client, bucket: Bucket }, Key) {
      const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }));
      await client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }));
      try {
        await client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }));
        return { name: 'no error' };
      } catch (error) {
        return { name: (error as Error).name };
      }
    },
  },
  {
    name: 'part numbers 0, 10,001 and words are refused',
    expected: { zero: 'InvalidArgument', beyond: 'InvalidArgument', word: 'InvalidArgument' },
    async run(target, key) {
      const upload = await begin(target, key);
      return {
        zero: (await upload.part(0, small)).code,
        beyond: (await upload.part(10_001, small)).code,
        word: (await upload.part('one', small)).code,
      };
    },
  },
  {
    name: 'a part sent again replaces the first: its old ETag no longer counts',
    expected: { old: 'InvalidPart', current: 200, body: 'second' },
    async run(target, key) {
      const upload = await begin(target, key);
      const first = await upload.listed(1, 'first');
      const second = await upload.listed(1, 'second');
      const old = await upload.complete([first]);
      const current = await upload.complete([second]);
      return { old: old.code, current: current.status, body: (await target.send('GET', key)).text };
    },
  },
  {
    name: 'UploadPart without a length',
    expected: { status: 411, code: 'MissingContentLength' },
    async run(target, key) {
      const { uploadId } = await begin(target, key);
      const query = { partNumber: '1', uploadId };
      return verdict(await target.sendBytes('PUT', key, { query, bytes: Buffer.alloc(0) }));
    },
  },
  {
    name: 'UploadPart cut in its body leaves no part',
    expected: { parts: 0 },
    async run(target, key) {
      const { uploadId, list } = await begin(target, key);
      await target.sendBytes('PUT', key, {
        query: { partNumber: '1', uploadId },
        headers: { 'content-length': '1000000' },
        bytes: Buffer.alloc(500_000, 'x'),
        cut: true,
      });
      await new Promise((resolve) => setTimeout(resolve, 300));
      return { parts: elements((await list()).text, 'PartNumber').length };
    },
  },
  {
    name: 'UploadPart with a wrong Content-MD5 leaves no part',
    expected: { status: 400, code: 'BadDigest', parts: 0 },
    async run(target, key) {
      const upload = await begin(target, key);
      const answer = await upload.part(1, small, { headers: { 'content-md5': md5Base64('other') } });
      return { ...verdict(answer), parts: elements((await upload.list()).text, 'PartNumber').length };
    },
  },
  {
    name: 'UploadPart answers an MD5 ETag',
    expected: { etag: `"${md5(small)}"` },
    async run(target, key) {
      const upload = await begin(target, key);
      return { etag: (await upload.part(1, small)).headers.etag };
    },
  },
  {
    name: 'ListParts gives parts in their order, page by page',
    expected: {
      first: { numbers: ['1', '2'], truncated: 'true', next: '2' },
      second: { numbers: ['5'], truncated: 'false' },
      sizes: ['1', '2'],
    },
    async run(target, key) {
      const upload = await begin(target, key);
      for (const [number, body] of [
        [5, 'five5'],
        [1, '1'],
        [2, '22'],
      ] as const) {
        await upload.listed(number, body);
      }
      const first = (await upload.list({ 'max-parts': '2' })).text;
      const second = (await upload.list({ 'part-number-marker': '2' })).text;
      return {
        first: {
          numbers: elements(first, 'PartNumber'),
          truncated: element(first, 'IsTruncated'),
          next: element(first, 'NextPartNumberMarker'),
        },
        second: { numbers: elements(second, 'PartNumber'), truncated: element(second, 'IsTruncated') },
        sizes: elements(first, 'Size'),
      };
    },
  },
  {
    // So the SDK's paginateListParts, which looks at the marker alone, never ends: loops must look at IsTruncated.
    name: 'ListParts names a next marker on the last page, too, and 0 after it',
    expected: {
      last: { numbers: ['1', '2'], truncated: 'false', next: '2' },
      after: { numbers: [], truncated: 'false', next: '0' },
    },
    async run(target, key) {
      const upload = await begin(target, key);
      for (const number of [1, 2]) await upload.listed(number, small);
      const page = async (query: Record<string, string>): Promise<Outcome> => {
        const { text } = await upload.list(query);
        return {
          numbers: elements(text, 'PartNumber'),
          truncated: element(text, 'IsTruncated'),
          next: element(text, 'NextPartNumberMarker'),
        };
      };
      return { last: await page({}), after: await page({ 'part-number-marker': '2' }) };
    },
  },
  {
    name: 'ListMultipartUploads gives open uploads by prefix, page by page',
    expected: { pages: [['/a'], ['/a'], ['/b']], afterAbort: ['/a', '/a'] },
    async run(target, key) {
      await begin(target, `${key}/a`);
      await begin(target, `${key}/a`);
      const last = await begin(target, `${key}/b`);
      const pages: string[][] = [];
      let markers: Record<string, string> = {};
      for (let page = 0; page < 10; page++) {
        const { text } = await target.send('GET', '', {
          query: { uploads: '', prefix: `${key}/`, 'max-uploads': '1', ...markers },
        });
        pages.push(elements(text, 'Key').map((name) => name.slice(key.length)));
        if (element(text, 'IsTruncated') !== 'true') break;
        markers = {
          'key-marker': element(text, 'NextKeyMarker') ?? '',
          'upload-id-marker': element(text, 'NextUploadIdMarker') ?? '',
        };
      }
      await last.abort();
      const { text } = await target.send('GET', '', { query: { uploads: '', prefix: `${key}/` } });
      return { pages, afterAbort: elements(text, 'Key').map((name) => name.slice(key.length)) };
    },
  },
  {
    name: 'UploadPartCopy takes a whole object or a range of it',
    expected: { whole: `"${md5('0123456789')}"`, range: `"${md5('234')}"`, body: '234' },
    async run(target, key) {
      must(await target.send('PUT', `${key}/source`, { body: '0123456789' }), 'put');
      const source = { 'x-amz-copy-source': `/${target.bucket}/${key}/source` };
      const whole = await (await begin(target, `${key}/whole`)).part(1, '', { headers: source });
      const upload = await begin(target, key);
      const headers = { ...source, 'x-amz-copy-source-range': 'bytes=2-4' };
      const range = await upload.part(1, '', { headers });
      const etag = element(range.text, 'ETag') ?? '';
      must(await upload.complete([{ number: 1, etag }]), 'complete');
      return {
        whole: element(whole.text, 'ETag'),
        range: etag,
        body: (await target.send('GET', key)).text,
      };
    },
  },
  {
    name: 'UploadPartCopy with a range beyond the source',
    expected: { status: 400, code: 'InvalidArgument' },
    async run(target, key) {
      must(await target.send('PUT', `${key}/source`, { body: '0123456789' }), 'put');
      const upload = await begin(target, key);
      const headers = {
        'x-amz-copy-source': `/${target.bucket}/${key}/source`,
        'x-amz-copy-source-range': 'bytes=5-10',
      };
      return verdict(await upload.part(1, '', { headers }));
    },
  },
  {
    name: 'a CRC64NVME declared at the start covers the whole object',
    expected: { declared: 'FULL_OBJECT', checksum: 'rosUhgp5mIg=', type: 'FULL_OBJECT' },
    async run(target, key) {
      const upload = await begin(target, key, { 'x-amz-checksum-algorithm': 'CRC64NVME' });
      // The check value of this CRC: over the digits from 1 to 9.
      const done = must(await upload.complete([await upload.listed(1, '123456789')]), 'complete');
      return {
        declared: upload.created.headers['x-amz-checksum-type'],
        checksum: element(done.text, 'ChecksumCRC64NVME'),
        type: element(done.text, 'ChecksumType'),
      };
    },
  },
  {
    name: 'a composite CRC32 declared at the start is demanded of every part',
    expected: { status: 400, code: 'InvalidRequest' },
    async run(target, key) {
      const upload = await begin(target, key, { 'x-amz-checksum-algorithm': 'CRC32' });
      return verdict(await upload.part(1, small));
    },
  },
  {
    name: 'GetObject by part number',
    expected: { status: 206, body: small.toString(), parts: '2' },
    async run(target, key) {
      const upload = await begin(target, key);
      must(await upload.complete([await upload.listed(1, big), await upload.listed(2, small)]), 'complete');
      const answer = await target.send('GET', key, { query: { partNumber: '2' } });
      return {
        status: answer.status,
        body: answer.text.slice(0, 100),
        parts: answer.headers['x-amz-mp-parts-count'],
      };
    },
  },
];
