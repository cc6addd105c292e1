import { Logger } from '@aws-lambda-powertools/logger';
import { describe, expect, test } from '@jest/globals';
import type { Context } from 'aws-lambda';
import { type ApiEvent, apiHandler, ownerOf } from '../../../lambdas/http/handler.ts';

const event = { requestContext: { requestId: 'r' } } as ApiEvent;
const context = (left: number) => ({ awsRequestId: 'a', getRemainingTimeInMillis: () => left }) as Context;
const log = new Logger({ logLevel: 'SILENT' });

describe('a request', () => {
  test('that is not done in time is to be sent again, and is no 500', async () => {
    const handler = apiHandler(log, async () => await new Promise(() => undefined));
    const { statusCode, headers, body } = await handler(event, context(1_050));
    expect(statusCode).toBe(503);
    expect(headers).toMatchObject({ 'retry-after': '1', 'content-type': 'application/problem+json' });
    expect(JSON.parse(body ?? '')).toMatchObject({ type: 'urn:resumable-uploads:problem:try-again' });
  });

  test('that is done in time is answered, and what fails too late is nobody’s error', async () => {
    const handler = apiHandler(log, async () => ({ status: 204 }));
    expect(await handler(event, context(1_050))).toMatchObject({ statusCode: 204 });
    const late = apiHandler(
      log,
      async () => await new Promise((_, reject) => setTimeout(() => reject(new Error('late')), 100)),
    );
    expect(await late(event, context(1_010))).toMatchObject({ statusCode: 503 });
    await new Promise((resolve) => setTimeout(resolve, 150));
  });
});

describe('the owner of a request signed for IAM', () => {
  const owner = (iam: Record<string, unknown>): string =>
    ownerOf({ authorizer: { iam } } as unknown as Parameters<typeof ownerOf>[0]);

  test('is the role, in whichever session', () => {
    expect(owner({ userId: 'AROAEXAMPLE:one' })).toBe(owner({ userId: 'AROAEXAMPLE:two' }));
    expect(owner({ userId: 'AROAEXAMPLE:one' })).not.toBe(owner({ userId: 'AROAOTHER:one' }));
  });

  test('is the user, or the federated user: of one account there are many', () => {
    expect(owner({ userId: '123456789012:ann' })).not.toBe(owner({ userId: '123456789012:ben' }));
    expect(owner({ userId: 'AIDAEXAMPLE' })).toBe(owner({ userId: 'AIDAEXAMPLE' }));
  });

  test('with Cognito is the identity', () => {
    const cognitoIdentity = { identityId: 'eu-west-1:1' };
    expect(owner({ userId: 'AROAEXAMPLE:CognitoIdentityCredentials', cognitoIdentity })).toBe(
      owner({ userId: 'AROAOTHER:CognitoIdentityCredentials', cognitoIdentity }),
    );
  });
});
