/**
 * `npm run build`: makes the package in dist/ as others install it: JavaScript with types, the functions' bundles, the
 * workflow. Node runs no TypeScript from node_modules, and who deploys our construct needs neither our sources nor
 * esbuild.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleFunctions } from './bundle.ts';
import { UPLOAD_FUNCTIONS } from './function-map.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');

rmSync(dist, { recursive: true, force: true });
execFileSync(join(root, 'node_modules/.bin/tsc'), ['--project', 'tsconfig.build.json'], {
  cwd: root,
  stdio: 'inherit',
});
cpSync(join(root, 'statemachine'), join(dist, 'statemachine'), { recursive: true });
for (const [name, { folder }] of bundleFunctions(Object.keys(UPLOAD_FUNCTIONS)))
  cpSync(folder, join(dist, 'lambdas', name), { recursive: true });
