import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { dollarsOf } from '../../../bench/bill.ts';
import { costTable, idleSentence, parseSize } from '../../../bench/cost.ts';
import { readCounted, total } from '../../../bench/counted.ts';
import { planOf, quantitiesOf, tutorialQuantities } from '../../../bench/quantities.ts';

const counted = readCounted();
const GB = 1_000_000_000;

describe('the cost of an upload', () => {
  test("the document's table and sentence are what the script prints", () => {
    const document = readFileSync(new URL('../../../docs/cost.md', import.meta.url), 'utf8');
    expect(document).toContain(costTable(counted));
    expect(document).toContain(idleSentence(counted));
  });

  test.each(counted.uploads.filter(({ pieces }) => pieces > 1 && pieces !== 1_000 && pieces !== 10_000))(
    'the line through what was counted meets the $mode upload of $pieces pieces',
    ({ mode, pieces, calls, transitions, assembledParts }) => {
      const pieceSize = mode === 'proxy' ? 64 * 1024 : 5 * 1024 ** 2;
      const plan = planOf(mode, pieces * pieceSize, { pieceSize });
      const computed = quantitiesOf(plan, counted);
      expect(Math.abs(computed.dynamodbWriteUnits - total(calls, 'writeUnits'))).toBeLessThan(2);
      expect(Math.abs(computed.dynamodbReadUnits - total(calls, 'readUnits'))).toBeLessThan(3);
      expect(computed.stateTransitions).toBeCloseTo(transitions, 6);
      expect(transitions).toBe(6 + assembledParts);
      const writes = total(calls, 'calls', (_, operation) =>
        /^s3:(Put|Upload|Create|Complete|List)/.test(operation),
      );
      expect(Math.abs(computed.s3Writes - writes)).toBeLessThan(0.01);
    },
  );

  test('ten times the file costs at most ten times as much, and a little for the watchdog', () => {
    for (const mode of ['proxy', 'presigned'] as const) {
      const cost = (bytes: number) => dollarsOf(quantitiesOf(planOf(mode, bytes), counted));
      expect(cost(100 * GB) / cost(10 * GB)).toBeLessThan(10.1);
      expect(cost(1000 * GB) / cost(100 * GB)).toBeLessThan(10.1);
    }
  });

  test("a chunk's cost does not grow with the file, as it does in the tutorials' design", () => {
    const perChunk = (bytes: number, quantities: typeof tutorialQuantities): number => {
      const plan = planOf('proxy', bytes);
      return dollarsOf(quantities(plan)) / (bytes / plan.pieceSize);
    };
    const ours = (plan: ReturnType<typeof planOf>) => quantitiesOf(plan, counted);
    expect(perChunk(1000 * GB, ours) / perChunk(10 * GB, ours)).toBeLessThan(1.05);
    expect(perChunk(1000 * GB, tutorialQuantities) / perChunk(10 * GB, tutorialQuantities)).toBeGreaterThan(
      50,
    );
  });

  test('sizes are decimal or binary, as they are written', () => {
    expect(parseSize('10GB')).toBe(10 * GB);
    expect(parseSize('16 MiB')).toBe(16 * 1024 ** 2);
    expect(parseSize('500')).toBe(500);
    for (const text of ['', 'ten', '10 XB', '-5', '1.2.3']) expect(() => parseSize(text)).toThrow('no size');
  });
});
