import { globSync, readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';

const root = new URL('../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');

/** What the table of threats says is shown by which tests: the code spans of its last column. */
const quoted = read('docs/security.md')
  .split('\n')
  .filter((line) => line.startsWith('| ') && line.split(' | ').length === 3)
  .flatMap((line) => [...(line.split(' | ')[2] ?? '').matchAll(/`([^`]{20,})`/g)])
  .map(([, name = '']) => name);

test('every test that the threat model names exists', () => {
  const sources = globSync('test/**/*.test.ts', { cwd: root.pathname })
    .filter((path) => !path.endsWith('security-document.test.ts'))
    .map(read)
    .join('\n');
  expect(quoted.length).toBeGreaterThan(25);
  expect(
    quoted.filter((name) => ![`'${name}'`, `"${name}"`].some((title) => sources.includes(title))),
  ).toEqual([]);
});
