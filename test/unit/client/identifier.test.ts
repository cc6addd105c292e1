import { expect, test } from '@jest/globals';
import { fileIdentifier } from '../../../client/identifier.ts';

const file = (name: string, content = 'abc', lastModified = 1) => new File([content], name, { lastModified });

test('is the same for the same file, and plain in every place that it goes to', async () => {
  const identifier = await fileIdentifier(file('映画.mp4'));
  expect(identifier).toMatch(/^[0-9a-f]{40}$/);
  expect(await fileIdentifier(file('映画.mp4'))).toBe(identifier);
});

test('tells apart what Resumable.js takes for one file', async () => {
  const identifiers = await Promise.all(
    [file('映画.mp4'), file('日本.mp4'), file('a.b.mp4'), file('ab.mp4')].map(fileIdentifier),
  );
  expect(new Set(identifiers).size).toBe(4);
});

test('tells apart equal names and sizes by time and by content at either end', async () => {
  const middle = 'x'.repeat(200_000);
  const identifiers = await Promise.all(
    [
      file('a.mp4', `1${middle}1`),
      file('a.mp4', `2${middle}1`),
      file('a.mp4', `1${middle}2`),
      file('a.mp4', `1${middle}1`, 2),
    ].map(fileIdentifier),
  );
  expect(new Set(identifiers).size).toBe(4);
});

test('reads at most both ends of a large file', async () => {
  const read: number[] = [];
  const large = {
    name: 'large.mp4',
    size: 5e12,
    lastModified: 1,
    slice(start: number, end = 5e12) {
      read.push(end - start);
      return new Blob(['bytes']);
    },
  };
  await fileIdentifier(large as unknown as File);
  expect(Math.max(...read)).toBeLessThanOrEqual(65_536);
});
