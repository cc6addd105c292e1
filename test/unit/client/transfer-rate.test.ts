import { expect, test } from '@jest/globals';
import { TransferRate } from '../../../client/transfer-rate.ts';

function rateOf(...samples: readonly (readonly [at: number, bytes: number])[]): TransferRate {
  const rate = new TransferRate();
  for (const [at, bytes] of samples) rate.add(bytes, at);
  return rate;
}

test('says nothing before there is something to go by', () => {
  expect(rateOf([0, 0]).bytesPerSecond).toBeUndefined();
  expect(rateOf([0, 0], [200, 5000]).secondsLeft(10_000)).toBeUndefined();
});

test('tells speed and time left', () => {
  const rate = rateOf([0, 0], [1000, 2000], [2000, 4000]);
  expect(rate.bytesPerSecond).toBe(2000);
  expect(rate.secondsLeft(10_000)).toBe(3);
});

test('bytes that were there at the start are no speed', () => {
  expect(rateOf([0, 1_000_000], [1000, 1_000_500]).bytesPerSecond).toBe(500);
});

test('follows a change of speed within some ten seconds', () => {
  const rate = new TransferRate();
  for (let second = 0; second <= 30; second++) rate.add(second * 1000, second * 1000);
  for (let second = 31; second <= 41; second++) rate.add(30_000 + (second - 30) * 10, second * 1000);
  expect(rate.bytesPerSecond).toBeLessThan(120);
});

test('does not know the time left while nothing moves', () => {
  expect(rateOf([0, 500], [3000, 500]).secondsLeft(1000)).toBeUndefined();
});

test('begins anew when bytes are lost, and after a restart', () => {
  const rate = rateOf([0, 0], [1000, 5000], [2000, 1000]);
  expect(rate.bytesPerSecond).toBeUndefined();
  rate.add(2000, 3000);
  expect(rate.bytesPerSecond).toBe(1000);
  rate.restart();
  expect(rate.bytesPerSecond).toBeUndefined();
});
