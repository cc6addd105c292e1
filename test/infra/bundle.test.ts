import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Bundle, bundleFunctions } from '../../infra/bundle.ts';
import { uploadFunctions } from '../../infra/function-map.ts';

const names = uploadFunctions().map(([name]) => name);
const optional = ['create-upload', 'gather-parts', 'receive-chunk'];

describe('bundles', () => {
  let outDir: string;
  let bundles: ReadonlyMap<string, Bundle>;
  beforeAll(async () => {
    outDir = await mkdtemp(join(tmpdir(), 'uploads-bundles-'));
    bundles = bundleFunctions(names, { outDir });
  });
  afterAll(() => rmSync(outDir, { recursive: true, force: true }));

  test.each(names)('%s is one file with a handler, small enough to start fast', (name) => {
    const folder = bundles.get(name)?.folder ?? '';
    expect(readdirSync(folder)).toEqual(['index.mjs']);
    const file = join(folder, 'index.mjs');
    expect(readFileSync(file, 'utf8')).toMatch(/export\s*\{[^}]*\bas handler\b[^}]*\}/);
    expect(statSync(file).size).toBe(bundles.get(name)?.bytes);
    // A minimal one with the S3 and DynamoDB clients and the logger is 490 KB. What is for options only (128 KB of
    // Lambda's client, 72 KB that know magic numbers) is in the file, and is not run before it is needed.
    expect(bundles.get(name)?.bytes).toBeLessThan(optional.includes(name) ? 800_000 : 700_000);
  });

  test('are the same for the same sources, so that nothing deploys anew', () => {
    const again = bundleFunctions(names, { outDir, sourceMaps: false });
    for (const name of names) expect(again.get(name)?.folder).toBe(bundles.get(name)?.folder);
    expect(readdirSync(join(outDir, 'watchdog'))).toHaveLength(1);
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
