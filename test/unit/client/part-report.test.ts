import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { PartReport } from '../../../client/part-report.ts';

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

const part = (partNumber: number) => ({ partNumber, etag: `"${partNumber}"` });

function setUp(isLast = () => false) {
  const sent: number[][] = [];
  const report = new PartReport({
    send: async (parts) => {
      sent.push(parts.map(({ partNumber }) => partNumber));
      return sent.length;
    },
    isLast,
  });
  return { report, sent };
}

test('gathers parts for a minute', async () => {
  const { report, sent } = setUp();
  const first = report.add(part(1));
  jest.advanceTimersByTime(45_000);
  void report.add(part(2));
  expect(sent).toEqual([]);
  jest.advanceTimersByTime(15_000);
  expect(sent).toEqual([[1, 2]]);
  expect(await first).toBe(1);
});

test('does not wait when fifty have gathered, nor for company that will not come', () => {
  const { report, sent } = setUp();
  for (let number = 1; number <= 50; number++) void report.add(part(number));
  expect(sent.map((numbers) => numbers.length)).toEqual([50]);
  const last = setUp(() => true);
  void last.report.add(part(1));
  expect(last.sent).toEqual([[1]]);
});

test('a failed report fails its own parts only', async () => {
  let fail = true;
  const report = new PartReport({
    send: async () => {
      if (fail) throw new Error('refused');
      return 'ok';
    },
    isLast: () => true,
  });
  await expect(report.add(part(1))).rejects.toThrow('refused');
  fail = false;
  expect(await report.add(part(2))).toBe('ok');
});

test('sends nothing when nothing has gathered', () => {
  const { report, sent } = setUp();
  report.flush();
  expect(sent).toEqual([]);
});

test('is settled when every part has its answer, good or bad', async () => {
  const answers: PromiseWithResolvers<string>[] = [];
  const report = new PartReport({
    send: () => {
      const answer = Promise.withResolvers<string>();
      answers.push(answer);
      return answer.promise;
    },
    isLast: () => true,
  });
  const first = report.add(part(1));
  const second = report.add(part(2));
  expect(report.isSettled).toBe(false);
  answers[0]?.resolve('ok');
  await first;
  expect(report.isSettled).toBe(false);
  answers[1]?.reject(new Error('refused'));
  await expect(second).rejects.toThrow('refused');
  expect(report.isSettled).toBe(true);
});

test('what was discarded is never sent', async () => {
  const { report, sent } = setUp();
  const discarded = report.add(part(1));
  report.discard();
  await expect(discarded).rejects.toThrow('cancelled');
  expect(report.isSettled).toBe(true);
  jest.advanceTimersByTime(10_000);
  expect(sent).toEqual([]);
});
