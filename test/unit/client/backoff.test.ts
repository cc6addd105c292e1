import { describe, expect, test } from '@jest/globals';
import { retryAfterMs, sleep, waitBeforeRetry } from '../../../client/backoff.ts';

describe('waitBeforeRetry', () => {
  test('lies anywhere between nothing and a bound that doubles', () => {
    const longest = [0, 1, 2, 3].map((retry) => waitBeforeRetry(retry, () => 0.9999999));
    expect(longest).toEqual([500, 1000, 2000, 4000]);
    expect(waitBeforeRetry(3, () => 0)).toBe(0);
    expect(waitBeforeRetry(3, () => 0.5)).toBe(2000);
  });

  test('never exceeds the cap, however often it was tried', () => {
    expect(waitBeforeRetry(5000, () => 0.9999999, { capMs: 7000 })).toBe(7000);
  });

  test('is never shorter than what the server asked for', () => {
    expect(waitBeforeRetry(0, () => 0, {}, 3000)).toBe(3000);
  });
});

describe('retryAfterMs', () => {
  const now = Date.parse('2026-11-22T12:00:00Z');
  test.each([
    ['2', 2000],
    ['Sun, 22 Nov 2026 12:00:05 GMT', 5000],
    ['Sun, 22 Nov 2026 11:00:00 GMT', 0],
    ['soon', 0],
    ['-3', 0],
    ['999999', 600_000],
    [null, 0],
  ])('reads %p as %p ms', (header, expected) => {
    expect(retryAfterMs(header, now)).toBe(expected);
  });
});

test('sleep ends at once with the reason when aborted', async () => {
  const stop = new AbortController();
  const sleeping = sleep(60_000, stop.signal);
  stop.abort(new Error('enough'));
  await expect(sleeping).rejects.toThrow('enough');
});
