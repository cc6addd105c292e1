import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';

test('the documented examples type-check in an application that imports npm’s resumablejs', () => {
  const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
  const tsc = path('../../../node_modules/typescript/bin/tsc');
  const { stdout } = spawnSync(process.execPath, [tsc, '-p', path('consumer/tsconfig.json')], {
    encoding: 'utf8',
  });
  expect(stdout).toBe('');
}, 120_000);
