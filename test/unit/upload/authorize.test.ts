import { describe, expect, test } from '@jest/globals';
import {
  type AuthorizeUploadRequest,
  authorizeUpload,
  readAnswer,
} from '../../../lambdas/upload/authorize.ts';
import { objectKey, objectPrefix } from '../../../lambdas/upload/record.ts';

const request: AuthorizeUploadRequest = {
  version: '1',
  owner: 'alice',
  mode: 'presigned',
  fileName: 'a.mp4',
  size: 10,
  contentType: 'video/mp4',
  metadata: {},
};

describe("the authorizing function's answer", () => {
  test.each([
    ['{"allow":true}', { allow: true }],
    ['{"allow":true,"keyPrefix":"tenants/acme-1"}', { allow: true, keyPrefix: 'tenants/acme-1' }],
    ['{"allow":true,"keyPrefix":""}', { allow: true }],
    ['{"allow":true,"metadata":{"a":"b"},"more":1}', { allow: true, metadata: { a: 'b' } }],
    ['{"allow":false,"reason":"No."}', { allow: false, reason: 'No.' }],
    ['{"allow":false}', { allow: false, reason: 'This upload is not allowed.' }],
    ['{"allow":false,"reason":"a\\r\\nb\\u202ec"}', { allow: false, reason: 'a b c' }],
  ])('%s is understood', (text, answer) => {
    expect(readAnswer(text)).toEqual(answer);
  });

  test.each([
    '',
    'null',
    '[]',
    '{}',
    'true',
    '{"allow":"true"}',
    '{"allow":1}',
    '{"allow":true,"keyPrefix":7}',
    '{"allow":true,"keyPrefix":".."}',
    '{"allow":true,"keyPrefix":"a/../b"}',
    '{"allow":true,"keyPrefix":"/a"}',
    '{"allow":true,"keyPrefix":"a/"}',
    '{"allow":true,"keyPrefix":"a//b"}',
    '{"allow":true,"keyPrefix":"a b"}',
    '{"allow":true,"keyPrefix":".hidden"}',
    `{"allow":true,"keyPrefix":"${'a'.repeat(201)}"}`,
    '{"allow":true,"metadata":{"a":1}}',
    '{"allow":true,"metadata":[]}',
    '{"allow":true,"metadata":{"__proto__":"x"}}',
  ])('%s lets nothing begin', (text) => {
    expect(() => readAnswer(text)).toThrow(/authorizing function/);
  });

  test('that refuses is told with its reason, at a status where the client stops', async () => {
    const refuse = async (): Promise<string> => '{"allow":false,"reason":"Not today."}';
    await expect(authorizeUpload(refuse, request)).rejects.toMatchObject({
      problem: 'upload-refused',
      status: 403,
      message: 'Not today.',
    });
    await expect(authorizeUpload(refuse, { ...request, mode: 'proxy' })).rejects.toMatchObject({
      problem: 'upload-refused',
      status: 400,
    });
  });
});

test('the longest prefix, owner and name still make a key of S3', () => {
  const upload = {
    owner: 'o'.repeat(64),
    uploadId: '0'.repeat(32),
    attempt: '0'.repeat(14),
    fileName: '日'.repeat(1000),
    keyPrefix: 'p'.repeat(200),
  };
  expect(Buffer.byteLength(objectKey(upload))).toBeLessThan(1024);
  expect(objectKey(upload).startsWith(objectPrefix(upload))).toBe(true);
});
