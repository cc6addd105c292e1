import { expect, test } from '@jest/globals';
import { bar, ProgressLine, shorten } from '../../../cli/progress-line.ts';

function setUp(isTTY: boolean) {
  const written: string[] = [];
  const clock = { now: 0 };
  const output = { isTTY, columns: 90, write: (text: string) => written.push(text) };
  return { written, clock, line: new ProgressLine('a.mp4', 100_000_000, output, () => clock.now) };
}

test('a terminal gets one line that redraws itself, with speed and time left', () => {
  const { written, clock, line } = setUp(true);
  line.update(0);
  clock.now = 2000;
  line.update(50_000_000);
  line.end();
  expect(written.at(-2)).toMatch(/^\r.*a\.mp4 █+░+ {2,}50 % {2}50 MB of 100 MB {2}25 MB\/s {2}2 s left$/);
  expect(written.at(-1)).toBe('\n');
  for (const text of written) expect(text.length).toBeLessThan(90 + 5);
});

test('a terminal is not redrawn for every byte', () => {
  const { written, clock, line } = setUp(true);
  for (clock.now = 0; clock.now < 1000; clock.now += 10) line.update(clock.now);
  expect(written.length).toBe(5);
});

test('a log gets a plain line every ten seconds, and the last', () => {
  const { written, clock, line } = setUp(false);
  for (clock.now = 0; clock.now <= 25_000; clock.now += 100) line.update(clock.now * 1000);
  line.update(100_000_000);
  line.end();
  expect(written.length).toBe(4);
  for (const drawing of ['\r', '\u001b', '█']) expect(written.join('')).not.toContain(drawing);
});

test('bars and names keep their width', () => {
  expect([bar(0, 8), bar(0.5, 8), bar(7, 8), bar(0.5, 2)]).toEqual(['░░░░░░░░', '████░░░░', '████████', '']);
  expect(shorten('a-very-long-name.mp4', 10)).toBe('a-ver….mp4');
  expect(shorten('short.mp4', 10)).toBe('short.mp4');
});
