import { DynamoDBClient, GetItemCommand } from '@aws-sdk/client-dynamodb';
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import {
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  type SignedRequest,
  sha256Hex,
  sign,
  verify,
  verifyExecuteApi,
} from '../../../../local/aws/sigv4.ts';
import { recordWire, send, type WireRequest } from './wire.ts';

const credentials = {
  accessKeyId: 'ASIAEXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCY',
  sessionToken: 'token/with+odd=characters',
};
const region = 'us-east-1';
const keys = [
  'plain.mp4',
  'a b/c+d~e.mp4',
  "it's (1)!*.mp4",
  '日本語/映画.mp4',
  'a%2Fb%20c.mp4',
  'trailing/',
  'a=b&c?d#e;f@g:h,$.mp4',
  'dots/../here',
];

let wire: Awaited<ReturnType<typeof recordWire>>;
let s3: S3Client;
beforeAll(async () => {
  wire = await recordWire();
  const options = { endpoint: wire.url, region, credentials, maxAttempts: 1 };
  s3 = new S3Client({ ...options, forcePathStyle: true, requestChecksumCalculation: 'WHEN_REQUIRED' });
});
afterAll(async () => {
  s3.destroy();
  await wire.close();
});

const lookup = (id: string) => (id === credentials.accessKeyId ? credentials : undefined);
const s3Context = (now = Date.now()) => ({ region, service: 's3', now, lookup });
const jsonContext = (service: string, body: Buffer, now = Date.now()) => ({
  region,
  service,
  now,
  lookup,
  payloadHash: sha256Hex(body),
});
const take = (): WireRequest => {
  const request = wire.requests.pop();
  if (!request) throw new Error('nothing was sent');
  return request;
};
const code = (result: ReturnType<typeof verify>) => (result?.ok === false ? result.code : result?.ok);

describe('requests as the SDK signs them', () => {
  test.each(keys)('an S3 header signature over the key %s is good', async (Key) => {
    await s3.send(
      new PutObjectCommand({ Bucket: 'bucket', Key, Body: 'x', Metadata: { name: '  two  blanks ' } }),
    );
    expect(verify(take(), s3Context())).toMatchObject({ ok: true, presigned: false });
  });

  test.each(keys)('an S3 presigned URL with the key %s is good', async (Key) => {
    const url = await getSignedUrl(
      s3,
      new UploadPartCommand({ Bucket: 'bucket', Key, UploadId: 'a+b/c=', PartNumber: 3, ContentLength: 4 }),
      { expiresIn: 60 },
    );
    await send(url, { method: 'PUT', body: 'four', headers: { 'content-length': '4' } });
    expect(verify(take(), s3Context())).toMatchObject({ ok: true, presigned: true });
  });

  test('query parameters with unicode and reserved characters are good', async () => {
    await s3.send(
      new ListObjectsV2Command({ Bucket: 'bucket', Prefix: "ü b+c~*'", Delimiter: '/', StartAfter: '日本' }),
    );
    expect(code(verify(take(), s3Context()))).toBe(true);
  });

  test('a DynamoDB call is good', async () => {
    const client = new DynamoDBClient({ endpoint: wire.url, region, credentials });
    await client.send(new GetItemCommand({ TableName: 'table', Key: { pk: { S: 'ü' } } }));
    client.destroy();
    const request = take();
    expect(code(verify(request, jsonContext('dynamodb', request.body)))).toBe(true);
  });

  test('a Lambda path with an ARN in it, encoded twice, is good', async () => {
    const client = new LambdaClient({ endpoint: wire.url, region, credentials });
    const FunctionName = 'arn:aws:lambda:us-east-1:000000000000:function:some-function';
    await client.send(new InvokeCommand({ FunctionName, Payload: '{"a":1}' }));
    client.destroy();
    const request = take();
    expect(code(verify(request, jsonContext('lambda', request.body)))).toBe(true);
  });
});

describe('what was changed after signing', () => {
  const presigned = async (): Promise<WireRequest> => {
    const command = new UploadPartCommand({
      Bucket: 'bucket',
      Key: 'a b.mp4',
      UploadId: 'id',
      PartNumber: 1,
      ContentLength: 4,
    });
    await send(await getSignedUrl(s3, command, { expiresIn: 60 }), { method: 'PUT', body: 'four' });
    return take();
  };
  const signed = async (): Promise<WireRequest> => {
    await s3.send(
      new PutObjectCommand({ Bucket: 'bucket', Key: 'a b.mp4', Body: 'four', ContentType: 'video/mp4' }),
    );
    return take();
  };
  const withHeaders = (request: WireRequest, headers: SignedRequest['headers']): WireRequest => ({
    ...request,
    headers: { ...request.headers, ...headers },
  });
  const withUrl = (request: WireRequest, from: string | RegExp, to: string): WireRequest => {
    const url = request.url.replace(from, to);
    expect(url).not.toBe(request.url);
    return { ...request, url };
  };

  test.each<[string, (request: WireRequest) => WireRequest, string]>([
    ['the method', (r) => ({ ...r, method: 'GET' }), 'SignatureDoesNotMatch'],
    ['the key', (r) => withUrl(r, 'a%20b', 'a%20c'), 'SignatureDoesNotMatch'],
    ['the bucket', (r) => withUrl(r, '/bucket/', '/other/'), 'SignatureDoesNotMatch'],
    ['the part number', (r) => withUrl(r, 'partNumber=1', 'partNumber=2'), 'SignatureDoesNotMatch'],
    [
      'a query parameter added',
      (r) => ({ ...r, url: `${r.url}&resumableChunkNumber=1` }),
      'SignatureDoesNotMatch',
    ],
    ['a query parameter taken away', (r) => withUrl(r, /&x-id=UploadPart/, ''), 'SignatureDoesNotMatch'],
    ['the expiry', (r) => withUrl(r, 'X-Amz-Expires=60', 'X-Amz-Expires=61'), 'SignatureDoesNotMatch'],
    ['the signed content-length', (r) => withHeaders(r, { 'content-length': '5' }), 'SignatureDoesNotMatch'],
    [
      'the signed content-length left out',
      (r) => withHeaders(r, { 'content-length': undefined }),
      'SignatureDoesNotMatch',
    ],
    ['the host', (r) => withHeaders(r, { host: 'elsewhere' }), 'SignatureDoesNotMatch'],
    ['the signature', (r) => withUrl(r, /X-Amz-Signature=./, 'X-Amz-Signature=x'), 'SignatureDoesNotMatch'],
    ['a shorter signature', (r) => withUrl(r, /(X-Amz-Signature=.{10})[^&]*/, '$1'), 'SignatureDoesNotMatch'],
    ['another known-looking key', (r) => withUrl(r, 'ASIAEXAMPLE', 'ASIAEXAMPLF'), 'InvalidAccessKeyId'],
    ['the session token', (r) => withUrl(r, 'odd', 'even'), 'InvalidToken'],
    ['the session token taken away', (r) => withUrl(r, /X-Amz-Security-Token=[^&]*&/, ''), 'InvalidToken'],
    ['the region', (r) => withUrl(r, 'us-east-1', 'eu-west-1'), 'AuthorizationQueryParametersError'],
    ['the service', (r) => withUrl(r, '%2Fs3%2F', '%2Fsqs%2F'), 'AuthorizationQueryParametersError'],
    [
      'a longer life than a week',
      (r) => withUrl(r, 'Expires=60', 'Expires=604801'),
      'AuthorizationQueryParametersError',
    ],
    ['host out of the signed headers', (r) => withUrl(r, '%3Bhost', ''), 'AccessDenied'],
    ['an x-amz header added', (r) => withHeaders(r, { 'x-amz-acl': 'public-read' }), 'AccessDenied'],
    [
      'an Authorization header added',
      (r) => withHeaders(r, { authorization: 'Bearer x' }),
      'InvalidArgument',
    ],
    ['a malformed escape', (r) => withUrl(r, 'a%20b', 'a%2'), 'InvalidURI'],
  ])('presigned, %s: refused', async (_what, change, expected) => {
    const request = await presigned();
    expect(code(verify(request, s3Context()))).toBe(true);
    expect(code(verify(change(request), s3Context()))).toBe(expected);
  });

  test.each<[string, (request: WireRequest) => WireRequest, string]>([
    ['the key', (r) => withUrl(r, 'a%20b', 'a%20c'), 'SignatureDoesNotMatch'],
    [
      'the declared hash',
      (r) => withHeaders(r, { 'x-amz-content-sha256': sha256Hex('five') }),
      'SignatureDoesNotMatch',
    ],
    ['the content type', (r) => withHeaders(r, { 'content-type': 'text/html' }), 'SignatureDoesNotMatch'],
    ['a header unsigned', (r) => withHeaders(r, { 'x-amz-tagging': 'a=b' }), 'AccessDenied'],
    ['the token', (r) => withHeaders(r, { 'x-amz-security-token': 'other' }), 'InvalidToken'],
    ['the date', (r) => withHeaders(r, { 'x-amz-date': undefined }), 'AccessDenied'],
    [
      'the scheme',
      (r) => withHeaders(r, { authorization: 'AWS ID:signature' }),
      'AuthorizationHeaderMalformed',
    ],
  ])('in the header, %s: refused', async (_what, change, expected) => {
    const request = await signed();
    expect(code(verify(request, s3Context()))).toBe(true);
    expect(code(verify(change(request), s3Context()))).toBe(expected);
  });

  test('the body of a JSON call: refused', async () => {
    const client = new DynamoDBClient({ endpoint: wire.url, region, credentials });
    await client.send(new GetItemCommand({ TableName: 'table', Key: { pk: { S: 'a' } } }));
    client.destroy();
    const request = take();
    const other = Buffer.from(request.body.toString().replace('"a"', '"b"'));
    expect(verify(request, jsonContext('dynamodb', other))).toMatchObject({
      code: 'InvalidSignatureException',
      status: 400,
    });
    expect(code(verify(request, jsonContext('states', request.body)))).toBe('InvalidSignatureException');
    expect(code(verify(request, { ...jsonContext('dynamodb', request.body), lookup: () => undefined }))).toBe(
      'UnrecognizedClientException',
    );
  });
});

describe('time', () => {
  test('a presigned URL works to its last second and then says when it expired', async () => {
    const signingDate = new Date('2026-01-02T03:04:05Z');
    const url = await getSignedUrl(s3, new GetObjectCommand({ Bucket: 'bucket', Key: 'k' }), {
      expiresIn: 3600,
      signingDate,
    });
    await send(url);
    const request = take();
    const end = signingDate.getTime() + 3_600_000;
    expect(code(verify(request, s3Context(end)))).toBe(true);
    expect(verify(request, s3Context(end + 1000))).toEqual({
      ok: false,
      status: 403,
      code: 'AccessDenied',
      message: 'Request has expired',
      details: {
        'X-Amz-Expires': '3600',
        Expires: '2026-01-02T04:04:05Z',
        ServerTime: '2026-01-02T04:04:06Z',
      },
    });
    expect(code(verify(request, s3Context(signingDate.getTime() - 16 * 60_000)))).toBe('AccessDenied');
  });

  test('a header signature is good for 15 minutes either way', async () => {
    await s3.send(new GetObjectCommand({ Bucket: 'bucket', Key: 'k' }));
    const request = take();
    const minutes = (count: number) => s3Context(Date.now() + count * 60_000);
    expect(code(verify(request, minutes(14)))).toBe(true);
    expect(code(verify(request, minutes(-14)))).toBe(true);
    expect(verify(request, minutes(16))).toMatchObject({ code: 'RequestTimeTooSkewed', status: 403 });
    expect(verify(request, minutes(-16))).toMatchObject({ code: 'RequestTimeTooSkewed', status: 403 });
  });
});

describe('own signatures', () => {
  test('what sign() signs, verify() takes', () => {
    const now = Date.parse('2026-05-06T07:08:09Z');
    const request = {
      method: 'PUT',
      url: '/bucket/a%20b?partNumber=1&uploadId=x',
      headers: { host: 'localhost:1' },
    };
    const added = sign(request, { service: 's3', region, now, credentials, payloadHash: 'UNSIGNED-PAYLOAD' });
    const sent = { ...request, headers: { ...request.headers, ...added } };
    expect(code(verify(sent, s3Context(now)))).toBe(true);
    expect(code(verify({ ...sent, url: '/bucket/a%20c?partNumber=1&uploadId=x' }, s3Context(now)))).toBe(
      'SignatureDoesNotMatch',
    );
  });

  test('an API call signed for execute-api is good, and an unsigned or changed one is not', () => {
    const now = Date.parse('2026-05-06T07:08:09Z');
    const payloadHash = sha256Hex('{}');
    const request = { method: 'POST', url: '/uploads/a%20b?x=1', headers: { host: 'localhost:3000' } };
    const added = sign(request, { service: 'execute-api', region, now, credentials, payloadHash });
    const sent = { ...request, headers: { ...request.headers, ...added } };
    const context = { region, now, lookup, payloadHash };
    expect(verifyExecuteApi(sent, context)).toMatchObject({ ok: true, credentials });
    expect(verifyExecuteApi(request, context)).toMatchObject({ code: 'MissingAuthenticationTokenException' });
    expect(verifyExecuteApi(sent, { ...context, payloadHash: sha256Hex('{"a":1}') })).toMatchObject({
      ok: false,
      status: 403,
    });
  });

  test('an anonymous request has no signature to verify', () => {
    expect(
      verify({ method: 'GET', url: '/bucket/key', headers: { host: 'x' } }, s3Context()),
    ).toBeUndefined();
  });
});

test('the example of the AWS documentation gives the documented signature', () => {
  // https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
  const request = {
    method: 'GET',
    url: '/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404',
    headers: { host: 'examplebucket.s3.amazonaws.com' },
  };
  const known = { secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' };
  const result = verify(request, {
    region,
    service: 's3',
    now: Date.parse('2013-05-24T01:00:00Z'),
    lookup: () => known,
  });
  expect(result).toMatchObject({ ok: true, accessKeyId: 'AKIAIOSFODNN7EXAMPLE' });
});
