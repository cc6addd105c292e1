import { globSync, readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';

const root = new URL('../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');

test('every test that docs/reliability.md names exists', () => {
  const text = read('docs/reliability.md');
  const named = [...text.matchAll(/`([^`\n]{20,})`/g)]
    .map(([, name = '']) => name)
    .filter((name) => name.includes(' ') && !name.startsWith('npm '));
  const sources = globSync(['test/**/*.test.ts', 'test/support/scenarios.ts'], { cwd: root.pathname })
    .filter((path) => !path.endsWith('-document.test.ts'))
    .map(read)
    .join('\n');
  expect(named.length).toBeGreaterThan(20);
  expect(
    named.filter((name) => ![`'${name}'`, `"${name}"`].some((title) => sources.includes(title))),
  ).toEqual([]);
});
