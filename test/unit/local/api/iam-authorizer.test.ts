import { expect, test } from '@jest/globals';
import type { ApiRequest } from '../../../../local/api/event.ts';
import { createIamAuthorizer, type IamAuthorizerOptions } from '../../../../local/api/iam-authorizer.ts';
import type { Caller } from '../../../../local/types.ts';

const request: ApiRequest = {
  method: 'POST',
  path: '/uploads',
  query: 'a=1',
  rawHeaders: ['Host', 'api', 'Authorization', 'AWS4-HMAC-SHA256 …'],
  protocol: 'HTTP/1.1',
  sourceIp: '127.0.0.1',
  body: Buffer.from('abc'),
};
const role: Caller = {
  kind: 'role',
  roleLogicalId: 'R',
  roleArn: 'arn:aws:iam::111122223333:role/path/Uploader',
};

const authorize = (caller: Caller | undefined, options: Partial<IamAuthorizerOptions> = {}) =>
  createIamAuthorizer({
    account: '111122223333',
    verify: () => caller && { accessKeyId: 'AKIA1', caller },
    allows: () => true,
    ...options,
  })(request, 'arn:aws:execute-api:eu-west-1:111122223333:api/$default/POST/uploads');

test('verifies the request as it came, with the hash of its body', async () => {
  const seen: unknown[] = [];
  await authorize(undefined, { verify: (signed) => void seen.push(signed) });
  expect(seen).toEqual([
    {
      method: 'POST',
      url: '/uploads?a=1',
      headers: { host: 'api', authorization: 'AWS4-HMAC-SHA256 …' },
      payloadHash: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    },
  ]);
});

test('tells the function who calls, as IAM names them', async () => {
  expect(await authorize({ kind: 'root' })).toMatchObject({
    ok: true,
    authorizer: {
      iam: { accessKey: 'AKIA1', userId: '111122223333', userArn: 'arn:aws:iam::111122223333:root' },
    },
  });
  expect(await authorize(role)).toMatchObject({
    ok: true,
    authorizer: {
      iam: {
        userId: expect.stringMatching(/^AROA[0-9A-F]{16}:session$/),
        userArn: 'arn:aws:sts::111122223333:assumed-role/Uploader/session',
      },
    },
  });
});

test.each([
  ['an unsigned or badly signed request', undefined, {}],
  ['a caller whose policies do not allow it', role, { allows: () => false }],
  ['nobody in particular', { kind: 'anonymous' } as const, {}],
])('answers 403 to %s', async (_, caller, options) => {
  expect(await authorize(caller, options)).toEqual({ ok: false, status: 403 });
});
