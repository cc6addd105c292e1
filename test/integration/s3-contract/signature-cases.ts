import { GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { type ContractCase, must, verdict } from './case.ts';
import type { Target } from './target.ts';

/** For engines that check who sends a request. */
const presignedPut = async (target: Target, key: string, length: number, age = 0): Promise<string> => {
  const command = new PutObjectCommand({ Bucket: target.bucket, Key: key, ContentLength: length });
  const signingDate = new Date(Date.now() - age * 1000);
  const url = new URL(
    await getSignedUrl(target.client, command, {
      expiresIn: 60,
      signingDate,
      signableHeaders: new Set(['host', 'content-length']),
    }),
  );
  return url.pathname + url.search;
};

const body = Buffer.from('presigned');

export const signatureCases: readonly ContractCase[] = [
  {
    name: 'a presigned PUT and GET',
    expected: { put: 200, get: 200, body: 'presigned' },
    async run(target, key) {
      const put = await target.sendAsIs('PUT', await presignedPut(target, key, body.length), {}, body);
      const command = new GetObjectCommand({ Bucket: target.bucket, Key: key });
      const url = new URL(await getSignedUrl(target.client, command, { expiresIn: 60 }));
      const get = await target.sendAsIs('GET', url.pathname + url.search);
      return { put: put.status, get: get.status, body: get.text };
    },
  },
  {
    name: 'a presigned PUT after its time',
    expected: { status: 403, code: 'AccessDenied' },
    run: async (target, key) =>
      verdict(await target.sendAsIs('PUT', await presignedPut(target, key, body.length, 120), {}, body)),
  },
  {
    name: 'a presigned PUT with a query parameter more',
    expected: { status: 403, code: 'SignatureDoesNotMatch' },
    run: async (target, key) =>
      verdict(
        await target.sendAsIs('PUT', `${await presignedPut(target, key, body.length)}&chunk=1`, {}, body),
      ),
  },
  {
    name: 'a presigned PUT of another length',
    expected: { status: 403, code: 'SignatureDoesNotMatch' },
    run: async (target, key) =>
      verdict(await target.sendAsIs('PUT', await presignedPut(target, key, body.length + 1), {}, body)),
  },
  {
    name: 'a presigned PUT for another key',
    expected: { status: 403, code: 'SignatureDoesNotMatch' },
    async run(target, key) {
      const url = (await presignedPut(target, key, body.length)).replace('?', '-other?');
      return verdict(await target.sendAsIs('PUT', url, {}, body));
    },
  },
  {
    name: 'a signed request whose signature was changed',
    expected: { status: 403, code: 'SignatureDoesNotMatch' },
    async run(target, key) {
      const { url, headers } = target.signed('GET', key);
      const authorization = headers.authorization?.replace(/Signature=./, (start) =>
        start.endsWith('0') ? 'Signature=1' : 'Signature=0',
      );
      return verdict(await target.sendAsIs('GET', url, { ...headers, authorization: authorization ?? '' }));
    },
  },
  {
    name: 'an unknown access key',
    expected: { status: 403, code: 'InvalidAccessKeyId' },
    async run(target, key) {
      const { url, headers } = target.signed('GET', key);
      const authorization = headers.authorization?.replace(
        `Credential=${target.credentials.accessKeyId}`,
        'Credential=AKIAUNKNOWNUNKNOWN00',
      );
      return verdict(await target.sendAsIs('GET', url, { ...headers, authorization: authorization ?? '' }));
    },
  },
  {
    name: 'no signature at all',
    expected: { status: 403, code: 'AccessDenied' },
    async run(target, key) {
      must(await target.send('PUT', key, { body: 'x' }), 'put');
      return verdict(await target.sendAsIs('GET', `/${target.bucket}/${key}`));
    },
  },
];
