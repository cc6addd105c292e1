import { expect, test } from '@jest/globals';
import { PartUrls } from '../../../client/part-urls.ts';

function setUp({ count = 100, batchSize = 10, expires = 3600 } = {}) {
  const signed: number[][] = [];
  const clock = { now: 1_000_000 };
  let serial = 0;
  const urls = new PartUrls({
    sign: async (partNumbers) => {
      signed.push([...partNumbers]);
      return partNumbers.map((partNumber) => ({
        partNumber,
        url: `https://s3/${partNumber}?X-Amz-Expires=${expires}&n=${++serial}`,
        size: 1,
        expiresAt: '2000-01-01T00:00:00Z', // By a server whose clock is not ours.
      }));
    },
    *upcoming(partNumber) {
      for (let next = partNumber + 1; next <= count; next++) yield next;
    },
    now: () => clock.now,
    batchSize,
  });
  return { urls, signed, clock };
}

test('parts asked for at the same time share one request', async () => {
  const { urls, signed } = setUp();
  await Promise.all([1, 2, 3].map((part) => urls.get(part)));
  expect(signed).toEqual([[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]]);
});

test('signs the next batch when half of the last is used up', async () => {
  const { urls, signed } = setUp();
  for (const part of [1, 2, 3, 4, 5]) await urls.get(part);
  expect(signed.length).toBe(1);
  await urls.get(6);
  expect(signed[1]).toEqual([11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
});

test('signs each part of a whole file once', async () => {
  const { urls, signed } = setUp({ count: 95 });
  for (let part = 1; part <= 95; part++) await urls.get(part);
  expect(signed.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: 95 }, (_, index) => index + 1));
  expect(signed.length).toBe(10);
});

test('signs again shortly before expiry, by its own clock', async () => {
  const { urls, clock, signed } = setUp({ count: 1 });
  const first = await urls.get(1);
  clock.now += 3500 * 1000;
  expect(await urls.get(1)).toBe(first);
  clock.now += 60 * 1000;
  expect(await urls.get(1)).not.toBe(first);
  expect(signed).toEqual([[1], [1]]);
});

test('signs again what was discarded', async () => {
  const { urls } = setUp({ count: 1 });
  const first = await urls.get(1);
  urls.discard(1);
  expect(await urls.get(1)).not.toBe(first);
});

test('tells the one who needs a URL when signing fails, and tries anew for the next', async () => {
  let fail = true;
  const urls = new PartUrls({
    sign: async (partNumbers) => {
      if (fail) throw new Error('no');
      return partNumbers.map((partNumber) => ({
        partNumber,
        url: 'u?X-Amz-Expires=9',
        size: 1,
        expiresAt: '',
      }));
    },
    upcoming: () => [],
    now: () => 0,
  });
  await expect(urls.get(1)).rejects.toThrow('no');
  fail = false;
  expect(await urls.get(1)).toBe('u?X-Amz-Expires=9');
});
