import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { firstMissing, toRanges } from '../../../lambdas/parts/ranges.ts';

test('numbers in any order become runs', () => {
  expect(toRanges([])).toEqual([]);
  expect(toRanges([7, 3, 1, 2])).toEqual([
    [1, 3],
    [7, 7],
  ]);
});

test('what is missing and what is there make up the whole', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 300 }),
      fc.array(fc.integer({ min: 1, max: 300 })),
      (count, some) => {
        const there = new Set(some.filter((number) => number <= count));
        const missing = firstMissing(toRanges(there), count, count);
        expect([...there, ...missing].sort((a, b) => a - b)).toEqual(
          Array.from({ length: count }, (_, index) => index + 1),
        );
      },
    ),
  );
});

test('the first missing come first, up to the limit', () => {
  expect(
    firstMissing(
      [
        [1, 2],
        [4, 4],
      ],
      10,
      3,
    ),
  ).toEqual([3, 5, 6]);
  expect(firstMissing([[1, 10]], 10, 3)).toEqual([]);
});
