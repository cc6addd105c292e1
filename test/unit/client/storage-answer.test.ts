import { expect, test } from '@jest/globals';
import { StorageJudge } from '../../../client/storage-answer.ts';

const expired = () => ({ status: 403, body: '<Code>AccessDenied</Code>' });

test('a part may be refused four times, whatever else fails it, and other parts as often', () => {
  const judge = new StorageJudge();
  for (let time = 1; time <= 4; time++) {
    expect(judge.judge(1, expired())).toBe('sign again');
    expect(judge.judge(2, expired())).toBe('sign again');
    for (let cut = 0; cut < 10; cut++) expect(judge.judge(1, { status: 0, body: '' })).toBe('wait');
  }
  expect(() => judge.judge(1, expired())).toThrow('Storage refuses a part of this file (AccessDenied).');
});

test('one refusal that is looked at twice counts once', () => {
  const judge = new StorageJudge();
  const refusal = expired();
  for (let look = 0; look < 10; look++) expect(judge.judge(1, refusal)).toBe('sign again');
});
