import { describe, expect, test } from '@jest/globals';
import { LIMITS, THOUSAND } from '../../../bench/scale.ts';
import { historyEvents, largestPlan, RETRY_EVENTS } from '../../../bench/simulation/bounds.ts';
import { QUOTAS } from '../../../bench/simulation/quotas.ts';
import { type Scenario, simulate } from '../../../bench/simulation/scenario.ts';
import { MAX_ASSEMBLED_PARTS } from '../../../lambdas/parts/geometry.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

const many: Scenario = {
  mode: 'proxy',
  uploads: 16,
  withinSeconds: 1,
  fileBytes: 20 * 64 * KiB,
  pieceBytes: 64 * KiB,
  atOnce: 3,
  bitsPerSecond: 10_000_000,
  owners: 'one',
};

describe('many uploads at once', () => {
  test('no item is hot in proxy mode: each upload writes its own, a few units a second', async () => {
    const { meter } = await simulate(many);
    expect(meter.total('executions started')).toBe(16);
    expect(meter.total('events')).toBe(16);
    // Three chunks at once on one page, as fast as the client's line takes them.
    expect(meter.peak('item writes')).toBeLessThanOrEqual(20);
    expect(meter.peak('partition writes')).toBeLessThanOrEqual(24);
    // 16 new uploads in the index's 16 partitions.
    expect(meter.peak('index partition writes')).toBeLessThanOrEqual(10);
  }, 60_000);

  test('no item is hot in presigned mode, also where all uploads are of one owner', async () => {
    const { meter } = await simulate({
      ...many,
      mode: 'presigned',
      fileBytes: 40 * 5 * MiB,
      pieceBytes: 16 * MiB,
      bitsPerSecond: 100_000_000,
    });
    expect(meter.total('events')).toBe(16);
    expect(meter.peak('item writes')).toBeLessThanOrEqual(5);
    expect(meter.peak('partition writes')).toBeLessThanOrEqual(6);
  }, 60_000);

  test('a lack of functions delays uploads and loses none', async () => {
    const { meter } = await simulate({ ...many, concurrency: 3 });
    expect(meter.total('throttled')).toBeGreaterThan(0);
    expect(meter.peak('in flight')).toBeLessThanOrEqual(3);
    expect(meter.total('events')).toBe(16);
  }, 60_000);
});

describe('a thousand uploads at once', () => {
  // `npm run bench:scale` sends larger files, which takes minutes; the thousand of them meet all the same.
  const modes: [Scenario['mode'], Scenario][] = [
    ['proxy', { ...THOUSAND, mode: 'proxy', fileBytes: 6 * MiB, pieceBytes: 2 * MiB, owners: 'many' }],
    [
      'presigned',
      { ...THOUSAND, mode: 'presigned', fileBytes: 40 * MiB, pieceBytes: 16 * MiB, owners: 'one' },
    ],
  ];

  test.each(modes)(
    'stay below every quota of AWS in %s mode, and all are completed',
    async (mode, scenario) => {
      const { meter } = await simulate(scenario);
      expect(meter.total('events')).toBe(1000);
      const peaks = LIMITS.map(([what, quota, peak]) => ({ what, quota, peak: peak(meter) }));
      expect(peaks.filter(({ peak, quota }) => peak >= quota)).toEqual([]);
      // What nobody counts would be below any quota. Nothing is assembled, and so read, in presigned mode.
      const uncounted = peaks.filter(({ peak }) => peak === 0).map(({ what }) => what);
      expect(uncounted).toEqual(mode === 'proxy' ? [] : ['S3 reads a second, one prefix']);
    },
    300_000,
  );
});

describe('the largest execution', () => {
  test('has a third of the history that Step Functions keeps, so that each part may be retried', () => {
    const events = historyEvents(MAX_ASSEMBLED_PARTS);
    expect(events).toBeLessThan(QUOTAS.historyEvents / 3);
    expect(events + 5 * RETRY_EVENTS * MAX_ASSEMBLED_PARTS).toBeLessThan(QUOTAS.historyEvents);
  });

  test('passes a state on that is far from the limit', () => {
    const plan = largestPlan();
    expect(plan.parts).toHaveLength(MAX_ASSEMBLED_PARTS);
    expect(JSON.stringify(plan).length).toBeLessThan(QUOTAS.stateBytes / 20);
  });
});
