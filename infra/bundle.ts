import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type * as Esbuild from 'esbuild';

export interface BundleOptions {
  /**
   * Adds source maps, and so some hundred KB to what Lambda loads at a cold start.
   * @default false
   */
  readonly sourceMaps?: boolean;
  /** Where `<name>/<hash>/index.mjs` goes. @default .build/lambdas beside the sources */
  readonly outDir?: string;
}

export interface Bundle {
  /** The folder that holds `index.mjs`, and what that loads. */
  readonly folder: string;
  /** Of what is loaded at a cold start. */
  readonly bytes: number;
  /** The source files inside, relative to the project. Absent for a bundle that came with the package. */
  readonly inputs?: readonly string[];
}

const lambdas = fileURLToPath(new URL('../lambdas/', import.meta.url));
const project = dirname(lambdas);

/**
 * Bundles every function into a folder of its own. Where the package is installed without its sources, the bundles
 * that came with it are taken.
 *
 * A folder is named by its content and written at once, so that two runs at a time never meet half a file.
 */
export function bundleFunctions(
  names: readonly string[],
  options: BundleOptions = {},
): ReadonlyMap<string, Bundle> {
  const prebuilt = names.map((name) => join(lambdas, name, 'index.mjs'));
  if (prebuilt.every((file) => existsSync(file))) {
    return new Map(
      names.map((name, index) => [
        name,
        { folder: join(lambdas, name), bytes: statSync(prebuilt[index] ?? '').size },
      ]),
    );
  }
  const wanted = JSON.stringify([names, options]);
  const bundles = built.get(wanted) ?? build(names, options);
  built.set(wanted, bundles);
  return bundles;
}

/** An app can hold several stacks: each process bundles once. */
const built = new Map<string, ReadonlyMap<string, Bundle>>();

/**
 * Builds what is not built yet. What is there of the very same sources, dependencies and options is taken, also where
 * another process made it: bundling takes seconds, and whoever starts the local stack or a test waits for it.
 */
function build(names: readonly string[], options: BundleOptions): ReadonlyMap<string, Bundle> {
  const outDir = options.outDir ?? join(project, '.build', 'lambdas');
  const { sourceMaps = false } = options;
  const sources = digestSources();
  return new Map(
    names.map((name) => {
      const key = createHash('sha256')
        .update(JSON.stringify([sources, name, sourceMaps]))
        .digest('hex');
      const record = join(outDir, name, `${key.slice(0, 32)}.json`);
      if (existsSync(record)) {
        const { folder, ...bundle } = JSON.parse(readFileSync(record, 'utf8')) as Bundle;
        const place = join(outDir, name, folder);
        if (existsSync(place)) return [name, { ...bundle, folder: place }];
      }
      const bundle = buildOne(name, sourceMaps, outDir);
      writeAtOnce(record, JSON.stringify({ ...bundle, folder: basename(bundle.folder) }));
      return [name, bundle];
    }),
  );
}

/** Of all that a bundle is made from. */
function digestSources(): string {
  const hash = createHash('sha256');
  const files = [
    ...readdirSync(lambdas, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts'))
      .map((path) => join(lambdas, path)),
    join(project, 'package-lock.json'),
    fileURLToPath(import.meta.url),
  ];
  for (const path of files.sort()) hash.update(`${path}\0`).update(readFileSync(path));
  return hash.digest('hex');
}

/** One file, and beside it one for each module that the function loads when it first needs it. */
function buildOne(name: string, sourceMaps: boolean, outDir: string): Bundle {
  // Loaded here: where bundles came with the package, esbuild is not installed.
  const esbuild = createRequire(import.meta.url)('esbuild') as typeof Esbuild;
  const { outputFiles, metafile } = esbuild.buildSync({
    absWorkingDir: project,
    entryPoints: { index: join(lambdas, `${name}.ts`) },
    outdir: join(project, '.build'),
    outExtension: { '.js': '.mjs' },
    bundle: true,
    // What `import()` names is a file of its own, which costs nothing at a cold start.
    splitting: true,
    chunkNames: '[name]-[hash]',
    write: false,
    metafile: true,
    minify: true,
    // Error names are compared in the workflow's retry rules, and stack traces are read.
    keepNames: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    mainFields: ['module', 'main'],
    charset: 'utf8',
    legalComments: 'none',
    sourcemap: sourceMaps ? 'inline' : false,
    // CommonJS modules inside an ES module still call require for what comes with Node.
    banner: { js: "import{createRequire}from'node:module';const require=createRequire(import.meta.url);" },
    logLevel: 'silent',
  });
  const files = outputFiles.map(({ path, contents }) => ({ name: basename(path), contents }));
  const atStart = files.filter((file) => isLoadedAtStart(file.name, metafile));
  return {
    folder: write(join(outDir, name), files),
    bytes: atStart.reduce((sum, { contents }) => sum + contents.byteLength, 0),
    inputs: Object.values(metafile.outputs).flatMap((output) => Object.keys(output.inputs)),
  };
}

/** Whether a file is the function's own, or one that it imports other than by `import()`. */
function isLoadedAtStart(name: string, { outputs }: Esbuild.Metafile): boolean {
  const seen = new Set<string>();
  const queue = Object.keys(outputs).filter((path) => basename(path) === 'index.mjs');
  for (const path of queue) {
    if (seen.has(path)) continue;
    seen.add(path);
    for (const one of outputs[path]?.imports ?? []) {
      if (one.kind === 'import-statement' && !one.external) queue.push(one.path);
    }
  }
  return [...seen].some((path) => basename(path) === name);
}

function write(parent: string, files: readonly { name: string; contents: Uint8Array }[]): string {
  const hash = createHash('sha256');
  for (const { name, contents } of files) hash.update(`${name}\0`).update(contents);
  const folder = join(parent, hash.digest('hex').slice(0, 16));
  if (existsSync(folder)) return folder;
  mkdirSync(parent, { recursive: true });
  const draft = mkdtempSync(join(parent, '.draft-'));
  for (const { name, contents } of files) writeFileSync(join(draft, name), contents);
  try {
    renameSync(draft, folder);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    // Another run has just written the very same content.
    if (!existsSync(folder)) throw error;
  }
  return folder;
}

function writeAtOnce(path: string, content: string): void {
  const draft = `${path}.${process.pid}.draft`;
  writeFileSync(draft, content);
  renameSync(draft, path);
}
