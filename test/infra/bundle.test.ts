import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Bundle, bundleFunctions } from '../../infra/bundle.ts';
import { uploadFunctions } from '../../infra/function-map.ts';

const names = uploadFunctions().map(([name]) => name);

/** A file and what it imports, other than by `import()`. */
function filesLoadedFrom(folder: string, file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  const code = readFileSync(join(folder, file), 'utf8');
  for (const [, path = ''] of code.matchAll(/(?:from|import)\s*"\.\/([\w-]+\.mjs)"/g))
    filesLoadedFrom(folder, path, seen);
  return seen;
}

describe('bundles', () => {
  let outDir: string;
  let bundles: ReadonlyMap<string, Bundle>;
  beforeAll(async () => {
    outDir = await mkdtemp(join(tmpdir(), 'uploads-bundles-'));
    bundles = bundleFunctions(names, { outDir });
  });
  afterAll(() => rmSync(outDir, { recursive: true, force: true }));

  test.each(names)('%s has a handler, and is small enough to start fast', (name) => {
    const folder = bundles.get(name)?.folder ?? '';
    expect(readFileSync(join(folder, 'index.mjs'), 'utf8')).toMatch(/export\s*\{[^}]*\bas handler\b[^}]*\}/);
    // What a cold start loads. A minimal one with the S3 and DynamoDB clients and the logger is 490 KB in one file.
    expect(bundles.get(name)?.bytes).toBeLessThan(550_000);
    const files = readdirSync(folder).map((file) => statSync(join(folder, file)).size);
    expect(bundles.get(name)?.bytes).toBeLessThanOrEqual(files.reduce((sum, size) => sum + size, 0));
  });

  test('leave what is for options only in files that a cold start does not load', () => {
    for (const name of ['create-upload', 'receive-chunk']) {
      const folder = bundles.get(name)?.folder ?? '';
      const loaded = filesLoadedFrom(folder, 'index.mjs');
      const rest = readdirSync(folder).filter((file) => !loaded.has(file));
      expect(rest.some((file) => file.startsWith('lambda-'))).toBe(true);
      expect([...loaded].reduce((sum, file) => sum + statSync(join(folder, file)).size, 0)).toBe(
        bundles.get(name)?.bytes,
      );
    }
  });

  test('are the same for the same sources, so that nothing deploys anew', () => {
    const again = bundleFunctions(names, { outDir, sourceMaps: false });
    for (const name of names) expect(again.get(name)?.folder).toBe(bundles.get(name)?.folder);
    expect(readdirSync(join(outDir, 'watchdog')).filter((entry) => !entry.endsWith('.json'))).toHaveLength(1);
  });

  test('carry source maps on request', () => {
    const folder = bundleFunctions(['get-options'], { outDir, sourceMaps: true }).get('get-options')?.folder;
    expect(readFileSync(join(folder ?? '', 'index.mjs'), 'utf8')).toContain('sourceMappingURL=data:');
  });

  test('hold nothing of CDK, and of tools', () => {
    for (const { inputs = [] } of bundles.values()) {
      expect(inputs.filter((path) => /aws-cdk-lib|constructs|esbuild|^infra|^test/.test(path))).toEqual([]);
    }
  });
});

test('a function without a source is named', () => {
  expect(() => bundleFunctions(['no-such-function'])).toThrow(/Could not resolve ".*no-such-function\.ts"/);
});
