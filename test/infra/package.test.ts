import { execFileSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, test } from '@jest/globals';

/** The package as others install it: built, packed, and put into an app that has none of our sources. */

interface Manifest {
  readonly name: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string | { readonly types: string; readonly default: string }>>;
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Manifest;
const app = mkdtempSync(join(tmpdir(), 'uploads-consumer-'));
const modules = join(app, 'node_modules');
const installed = join(modules, manifest.name);

function run(cwd: string, command: string, ...args: string[]): string {
  const { NODE_OPTIONS: _, ...env } = process.env;
  try {
    return execFileSync(command, args, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${command} ${args.join(' ')}\n${stdout}\n${stderr}`, { cause: error });
  }
}

/** What a module of the app prints, run by Node without any flag: no types are stripped in node_modules. */
function runModule(name: string, code: string): unknown {
  writeFileSync(join(app, name), code);
  return JSON.parse(run(app, process.execPath, name));
}

const link = (name: string): void => {
  mkdirSync(dirname(join(modules, name)), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules', name), join(modules, name));
};

beforeAll(() => {
  // Of a copy, since it replaces dist/. `npm pack` runs what `npm publish` would run before.
  const copy = mkdtempSync(join(tmpdir(), 'uploads-package-'));
  for (const name of readdirSync(ROOT).filter(
    (one) => !/^(\.|node_modules$|dist$|cdk\.out$|coverage$)/.test(one),
  ))
    cpSync(join(ROOT, name), join(copy, name), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  run(copy, 'npm', 'pack', '--offline', '--no-update-notifier');
  const archive = readdirSync(copy).find((name) => name.endsWith('.tgz')) ?? '';
  mkdirSync(installed, { recursive: true });
  run(copy, 'tar', '-xzf', archive, '-C', installed, '--strip-components=1');
  // Only what the package asks for: what it uses besides is not found.
  for (const name of Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })) link(name);
  writeFileSync(join(app, 'package.json'), '{"type": "module"}');
}, 300_000);

test('it holds what is exported, and neither sources nor tests', () => {
  const files = readdirSync(installed, { recursive: true, encoding: 'utf8' });
  expect(files.filter((path) => /\.ts$/.test(path) && !path.endsWith('.d.ts'))).toEqual([]);
  expect(files.filter((path) => /^(test|local|bench|cli|infra|lambdas|\.)/.test(path))).toEqual([]);
  for (const target of Object.values(manifest.exports))
    for (const path of typeof target === 'string' ? [target] : [target.types, target.default])
      if (!path.includes('*')) expect(files).toContain(path.slice(2));
});

test('an app deploys the construct, with functions and workflow that came along', () => {
  const resources = runModule(
    'app.js',
    `import { App, Stack } from 'aws-cdk-lib';
     import { ResumableUploads, UploadAuth, UploadEncryption } from 'resumable-uploads';
     const app = new App();
     new ResumableUploads(new Stack(app, 'Videos'), 'Uploads', {
       auth: UploadAuth.jwt({ issuer: 'https://login.example.com', audience: 'uploads' }),
       encryption: UploadEncryption.kms(),
     });
     const { Resources } = app.synth().getStackByName('Videos').template;
     console.log(JSON.stringify(Object.values(Resources).map(({ Type }) => Type)));`,
  ) as string[];
  const count = (type: string): number => resources.filter((one) => one === type).length;
  expect(count('AWS::Lambda::Function')).toBe(13);
  expect(count('AWS::StepFunctions::StateMachine')).toBe(1);
}, 120_000);

/** How a consumer gets each entry of `exports`, and what it finds there. */
const ENTRIES: Readonly<Record<string, () => void>> = {
  '.': () =>
    expect(namesIn('resumable-uploads')).toEqual([
      'InvalidOption',
      'ResumableUploads',
      'UploadAuth',
      'UploadEncryption',
    ]),
  './client': () =>
    expect(namesIn('resumable-uploads/client')).toEqual(expect.arrayContaining(['waitUntilCompleted'])),
  './events': () => expect(namesIn('resumable-uploads/events')).toContain('DETAIL_TYPES'),
  './schemas/*': () => {
    for (const name of readdirSync(join(ROOT, 'docs/schemas')))
      expect(JSON.parse(contentOf(`resumable-uploads/schemas/${name}`))).toHaveProperty('$schema');
  },
  './openapi.yaml': () => expect(contentOf('resumable-uploads/openapi.yaml')).toMatch(/^openapi: 3/m),
};

test.each(Object.keys(manifest.exports))(
  'the entry %s is there',
  (entry) => {
    const look = ENTRIES[entry];
    if (!look) throw new Error(`No test imports ${entry}.`);
    look();
  },
  60_000,
);

const namesIn = (entry: string): unknown =>
  runModule('names.js', `console.log(JSON.stringify(Object.keys(await import('${entry}')).sort()));`);

const contentOf = (entry: string): string =>
  readFileSync(
    fileURLToPath(
      String(runModule('path.js', `console.log(JSON.stringify(import.meta.resolve('${entry}')));`)),
    ),
    'utf8',
  );

test('its types are whole: a consumer compiles, and what is wrong does not', () => {
  link('@types/node');
  writeFileSync(
    join(app, 'consumer.ts'),
    `import { App, Size, Stack } from 'aws-cdk-lib';
     import { type AuthorizeUploadAnswer, ResumableUploads } from 'resumable-uploads';
     import { waitUntilCompleted } from 'resumable-uploads/client';
     import type { UploadCompletedDetail } from 'resumable-uploads/events';
     export const uploads = new ResumableUploads(new Stack(new App(), 'S'), 'U', { partSize: Size.mebibytes(8) });
     // @ts-expect-error: a size is no text
     export const wrong = new ResumableUploads(new Stack(new App(), 'S'), 'U', { partSize: '8 MiB' });
     // @ts-expect-error: an answer allows or does not
     export const answer: AuthorizeUploadAnswer = { allow: 'perhaps' };
     export const keyOf = ({ key }: UploadCompletedDetail): string => key;
     export const wait = waitUntilCompleted;`,
  );
  const options = ['--noEmit', '--strict', '--target', 'es2024', '--module', 'nodenext', '--types', 'node'];
  run(app, process.execPath, join(ROOT, 'node_modules/typescript/bin/tsc'), ...options, 'consumer.ts');
}, 120_000);
