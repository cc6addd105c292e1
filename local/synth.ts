import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface SynthOptions {
  /** The project's root. */
  readonly root: string;
  /** The CDK app, below the root. @default infra/app.ts */
  readonly app?: string | undefined;
  /** The folder to write; what was there is replaced. */
  readonly outDir: string;
  /** Added to this process's environment for the app. */
  readonly environment: Readonly<Record<string, string>>;
}

/** All that the template and its bundles are made from, `environment` and Node's version apart. */
const inputs = [
  'examples/**/*',
  'infra/**/*',
  'lambdas/**/*',
  'statemachine/**/*',
  // `uploads.config.json`, `cdk.json`, the lock file …
  '*.json',
];

const KEY_FILE = 'made-from.txt';

/**
 * Synthesises the CDK app with a child process, unless the folder already holds what it would make: synthesis is
 * the slow part of a start.
 *
 * @returns whether the app ran
 * @throws an Error with the app's own words where it fails
 */
export async function synthesise({
  root,
  app = 'infra/app.ts',
  outDir,
  environment,
}: SynthOptions): Promise<boolean> {
  const key = digestInputs(root, app, environment);
  const keyFile = join(outDir, KEY_FILE);
  if (existsSync(keyFile) && readFileSync(keyFile, 'utf8') === key) return false;
  // Old assets would pile up otherwise.
  rmSync(outDir, { recursive: true, force: true });
  await run(root, app, { ...environment, CDK_OUTDIR: outDir });
  writeFileSync(keyFile, key);
  return true;
}

function digestInputs(root: string, app: string, environment: Readonly<Record<string, string>>): string {
  const hash = createHash('sha256').update(JSON.stringify([process.version, app, environment]));
  for (const entry of globSync(inputs, { cwd: root, withFileTypes: true }).filter((one) => one.isFile())) {
    const path = join(entry.parentPath, entry.name);
    hash.update(`\0${path}\0`).update(readFileSync(path));
  }
  return hash.digest('hex');
}

function run(root: string, path: string, environment: Readonly<Record<string, string>>): Promise<void> {
  return new Promise((resolve, reject) => {
    const app = spawn(process.execPath, [join(root, path)], {
      cwd: root,
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [app.stdout, app.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output = (output + text).slice(-20_000);
      });
    }
    app.once('error', reject);
    app.once('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`the CDK app could not be synthesised (exit ${code}):\n${output.trim()}`));
    });
  });
}
