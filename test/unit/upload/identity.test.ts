import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  executionName,
  isUploadId,
  newAttempt,
  ownerSlug,
  type UploadIdentity,
  uploadIdOf,
} from '../../../lambdas/upload/identity.ts';

const identity: UploadIdentity = {
  owner: 'alice',
  mode: 'proxy',
  identifier: '10-amp4',
  totalSize: 10,
  chunkSize: 1024,
  fileName: 'a.mp4',
};

describe('an upload id', () => {
  test('is the same for the same file of the same owner, from wherever it comes', () => {
    expect(uploadIdOf(identity)).toBe(uploadIdOf({ ...identity }));
    expect(isUploadId(uploadIdOf(identity))).toBe(true);
  });

  test('differs when anything of the identity differs', () => {
    const others: UploadIdentity[] = [
      { ...identity, owner: 'bob' },
      { ...identity, mode: 'presigned' },
      { ...identity, identifier: '10-bmp4' },
      { ...identity, totalSize: 11 },
      { ...identity, chunkSize: 2048 },
      { ...identity, fileName: '日本語.mp4' },
    ];
    expect(new Set([identity, ...others].map(uploadIdOf)).size).toBe(7);
  });

  test('cannot be made equal by moving text from one field to the next', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string({ minLength: 1 }), (a, b, moved) => {
        expect(uploadIdOf({ ...identity, identifier: a + moved, fileName: b })).not.toBe(
          uploadIdOf({ ...identity, identifier: a, fileName: moved + b }),
        );
      }),
    );
  });
});

describe('an attempt', () => {
  test('sorts after the one it replaces, even when the clock went back', () => {
    const first = newAttempt(Date.UTC(2026, 0, 1));
    expect(newAttempt(Date.UTC(2026, 0, 2)) > first).toBe(true);
    expect(newAttempt(Date.UTC(2025, 0, 1), first) > first).toBe(true);
  });

  test('gives an execution a name that Step Functions and CloudWatch take', () => {
    const attempt = newAttempt(Date.now());
    const name = executionName({ uploadId: uploadIdOf(identity), attempt, run: 5 });
    expect(attempt).toMatch(/^[0-9a-z]{14}$/);
    expect(name).toMatch(/^[0-9A-Za-z_-]{1,80}$/);
  });
});

describe('an owner in a key', () => {
  test('stays readable when plain', () => {
    expect(ownerSlug('a1b2-c3_D4')).toBe('a1b2-c3_D4');
  });

  test('is a digest when it could mean more than itself', () => {
    fc.assert(
      fc.property(fc.string(), (principal) => {
        expect(ownerSlug(principal)).toMatch(/^[A-Za-z0-9_-]{1,64}$|^~[0-9a-f]{32}$/);
      }),
    );
    expect(ownerSlug('auth0|1')).not.toBe(ownerSlug('auth0/1'));
    expect(ownerSlug('~'.padEnd(33, '0'))).not.toBe('~'.padEnd(33, '0'));
  });
});
