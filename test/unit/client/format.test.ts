import { expect, test } from '@jest/globals';
import { formatElapsed } from '../../../client/console/times.ts';
import { formatBytes, formatDuration, formatPercent } from '../../../client/format.ts';

test.each([
  [0, '0 bytes'],
  [1, '1 byte'],
  [999, '999 bytes'],
  [1000, '1.0 KB'],
  [9_960, '10 KB'],
  [999_600, '1.0 MB'],
  [4_300_000_000, '4.3 GB'],
  [53_687_091_200_000, '54 TB'],
])('%p bytes read %p', (bytes, expected) => {
  expect(formatBytes(bytes)).toBe(expected);
});

test.each([
  [0.4, '0 s'],
  [59.4, '59 s'],
  [60, '1 min'],
  [95, '1 min 35 s'],
  [1800, '30 min'],
  [3599, '1 h'],
  [7500, '2 h 5 min'],
  [200_000, '2 d 7 h'],
])('%p seconds read %p', (seconds, expected) => {
  expect(formatDuration(seconds)).toBe(expected);
});

test('percentages never claim more than there is', () => {
  expect([0.999, 1, 1.2].map(formatPercent)).toEqual(['99 %', '100 %', '100 %']);
});

test.each([
  [340, '340 ms'],
  [2400, '2.4 s'],
  [185_000, '3 min 5 s'],
  [3_900_000, '1 h 5 min'],
])('%p ms took %p', (ms, expected) => {
  expect(formatElapsed(ms)).toBe(expected);
});
