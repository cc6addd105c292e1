import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { lockFolder } from '../../../local/lock.ts';
import { newFolder } from './small-template.ts';

test('a folder has one owner at a time', () => {
  const dir = newFolder();
  const unlock = lockFolder(dir);
  expect(() => lockFolder(dir)).toThrow(`a local stack already runs on ${dir} (process ${process.pid})`);
  unlock();
  lockFolder(dir)();
  expect(existsSync(join(dir, 'lock'))).toBe(false);
});

test('the lock of a killed process is taken over', async () => {
  const dir = newFolder();
  const lockModule = join(import.meta.dirname, '../../../local/lock.ts');
  const code = `import { lockFolder } from ${JSON.stringify(lockModule)}; lockFolder(${JSON.stringify(dir)});
    console.log('locked'); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  expect(() => lockFolder(dir)).toThrow(`process ${child.pid}`);
  child.kill('SIGKILL');
  await once(child, 'exit');
  lockFolder(dir)();
});

test.each([
  ['was cut off', '{"pid":'],
  [
    "belongs to an earlier process of another one's number",
    JSON.stringify({ pid: process.pid, started: '1' }),
  ],
])('a lock that %s is taken over', (_, content) => {
  const dir = newFolder();
  writeFileSync(join(dir, 'lock'), content);
  lockFolder(dir)();
});
