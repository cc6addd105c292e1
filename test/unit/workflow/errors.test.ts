import { describe, expect, test } from '@jest/globals';
import {
  failureForClient,
  isFinal,
  isPassing,
  PartsMissing,
  PassingFault,
} from '../../../lambdas/workflow/errors.ts';

const named = (name: string): Error => Object.assign(new Error('x'), { name });
const coded = (code: string): Error => Object.assign(new Error('x'), { code });

describe('a fault passes', () => {
  test.each([
    'SlowDown',
    'ThrottlingException',
    'Throttling',
    'TooManyRequestsException',
    'KMS.ThrottlingException',
  ])('when it is called %s', (name) => expect(isPassing(named(name))).toBe(true));

  test.each(['ECONNRESET', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'])(
    'when the network says %s',
    (code) => expect(isPassing(coded(code))).toBe(true),
  );

  test.each([
    [429, true],
    [500, true],
    [503, true],
    [400, false],
    [403, false],
    [404, false],
  ])('with status %d: %s', (httpStatusCode, passes) => {
    expect(isPassing(Object.assign(new Error('x'), { $metadata: { httpStatusCode } }))).toBe(passes);
  });

  test('but not what is no error, nor what says that parts are missing', () => {
    expect(isPassing('SlowDown')).toBe(false);
    expect(isPassing(named('AccessDenied'))).toBe(false);
    expect(isPassing(new PartsMissing('x'))).toBe(false);
  });
});

describe('a failure', () => {
  test.each([
    ['PassingFault', false],
    ['AccessDenied', false],
    ['States.Timeout', false],
    ['Lambda.TooManyRequestsException', false],
    ['TypeError', false],
    ['MultipartUploadGone', true],
    ['ContentMismatch', true],
    ['ABORTED', true],
  ])('by %s is final: %s', (error, final) => expect(isFinal({ error })).toBe(final));

  test('is told to the client only where it is about its file', () => {
    const cause = 'User arn:aws:sts::1:assumed-role/x is not authorized';
    expect(failureForClient({ error: 'AccessDenied', cause })).toEqual({ error: 'AccessDenied', cause: '' });
    expect(failureForClient({ error: new PassingFault('x').name, cause })).toMatchObject({ cause: '' });
    expect(failureForClient({ error: 'ContentMismatch', cause: 'It is HTML.' })).toEqual({
      error: 'ContentMismatch',
      cause: 'It is HTML.',
    });
  });
});
