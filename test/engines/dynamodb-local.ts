import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync } from 'node:fs';
import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { freePort, spawnTied, waitUntil } from './tied-process.ts';

const run = promisify(execFile);

/** AWS's own jar, as an npm package carries it; taken as a tarball, since installing it brings 180 MB more. */
const source = {
  name: 'amplify-dynamodb-simulator',
  version: '2.9.30',
  integrity:
    'sha512-xTeeRLvzEfqyd5lh3bH4c0kHvSHHmmhD5ZDsHFKAQ5g2Zl6JqlFdutaQhCLHzxEp6Ry1o7TB6niIoXuQAnSewQ==',
} as const;

const cache = fileURLToPath(new URL('../../.engines/', import.meta.url));

/**
 * Starts AWS's DynamoDB Local, in memory. Takes 2 to 4 s, and once a download.
 *
 * @throws Error naming what to install where Java is missing
 */
export async function startDynamoDbLocal(): Promise<{ readonly endpoint: string; stop(): Promise<void> }> {
  try {
    await run('java', ['-version']);
  } catch {
    throw new Error(
      'Java 11 or newer is not installed: apt-get install --no-install-recommends default-jre-headless',
    );
  }
  const emulator = await fetchEmulator();
  const scratch = mkdtempSync(join(tmpdir(), 'dynamodb-local-'));
  const port = await freePort();
  const program = spawnTied(
    'dynamodb-local',
    [
      'java',
      `-Djava.library.path=${join(emulator, 'DynamoDBLocal_lib')}`,
      '-jar',
      join(emulator, 'DynamoDBLocal.jar'),
      '-inMemory',
      '-port',
      String(port),
    ],
    { scratch },
  );
  const endpoint = `http://127.0.0.1:${port}`;
  const stop = async (): Promise<void> => {
    await program.stop();
    await rm(scratch, { recursive: true, force: true, maxRetries: 5 });
  };
  const answers = async (): Promise<boolean> => {
    try {
      // It answers unsigned requests with an error of its own: that is enough to know that it runs.
      return (await fetch(endpoint)).status > 0;
    } catch {
      return false;
    }
  };
  try {
    await Promise.race([waitUntil('DynamoDB Local answering', answers, 60_000), program.failed]);
  } catch (error) {
    await stop();
    throw error;
  }
  return { endpoint, stop };
}

/** The folder with the jar, from the cache or the npm registry. */
async function fetchEmulator(): Promise<string> {
  const folder = join(cache, `${source.name}-${source.version}`);
  if (existsSync(folder)) return join(folder, 'emulator');

  await mkdir(cache, { recursive: true });
  const scratch = mkdtempSync(join(cache, 'download-'));
  try {
    const { stdout } = await run(
      'npm',
      ['pack', '--json', '--pack-destination', scratch, `${source.name}@${source.version}`],
      { cwd: scratch, maxBuffer: 64 * 1024 * 1024 },
    );
    const [packed] = JSON.parse(stdout) as [{ filename: string }];
    const tarball = join(scratch, packed.filename);
    const integrity = `sha512-${createHash('sha512')
      .update(await readFile(tarball))
      .digest('base64')}`;
    if (integrity !== source.integrity) {
      throw new Error(`${source.name}@${source.version} is not the package that was pinned: ${integrity}`);
    }
    const unpacked = join(scratch, 'unpacked');
    await mkdir(unpacked);
    await run('tar', ['-xzf', tarball, '-C', unpacked, '--strip-components=1', 'package/emulator']);
    // Another process may have been faster; its copy is the same.
    if (!existsSync(folder)) await rename(unpacked, folder);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  return join(folder, 'emulator');
}
