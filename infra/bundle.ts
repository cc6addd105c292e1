import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
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
  /** The folder that holds `index.mjs`. */
  readonly folder: string;
  readonly bytes: number;
  /** The source files inside, relative to the project. Absent for a bundle that came with the package. */
  readonly inputs?: readonly string[];
}

const lambdas = fileURLToPath(new URL('../lambdas/', import.meta.url));
const project = dirname(lambdas);

/**
 * Bundles every function into one file each. Where the package is installed without its sources, the bundles
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

function build(names: readonly string[], options: BundleOptions): ReadonlyMap<string, Bundle> {
  // Loaded here: where bundles came with the package, esbuild is not installed.
  const esbuild = createRequire(import.meta.url)('esbuild') as typeof Esbuild;
  const { outputFiles, metafile } = esbuild.buildSync({
    absWorkingDir: project,
    entryPoints: Object.fromEntries(names.map((name) => [name, join(lambdas, `${name}.ts`)])),
    outdir: join(project, '.build'),
    outExtension: { '.js': '.mjs' },
    bundle: true,
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
    sourcemap: options.sourceMaps ? 'inline' : false,
    // CommonJS modules inside an ES module still call require for what comes with Node.
    banner: { js: "import{createRequire}from'node:module';const require=createRequire(import.meta.url);" },
    logLevel: 'silent',
  });
  const outDir = options.outDir ?? join(project, '.build', 'lambdas');
  return new Map(
    names.map((name) => {
      const file = outputFiles.find(
        ({ path }) => path.endsWith(`/${name}.mjs`) || path.endsWith(`\\${name}.mjs`),
      );
      if (!file) throw new Error(`esbuild made no bundle of ${name}.`);
      const [, output] =
        Object.entries(metafile.outputs).find(([path]) => path.endsWith(`/${name}.mjs`)) ?? [];
      const bundle: Bundle = {
        folder: write(join(outDir, name), file.contents),
        bytes: file.contents.byteLength,
        inputs: Object.keys(output?.inputs ?? {}),
      };
      return [name, bundle];
    }),
  );
}

function write(parent: string, contents: Uint8Array): string {
  const folder = join(parent, createHash('sha256').update(contents).digest('hex').slice(0, 16));
  if (existsSync(folder)) return folder;
  mkdirSync(parent, { recursive: true });
  const draft = mkdtempSync(join(parent, '.draft-'));
  writeFileSync(join(draft, 'index.mjs'), contents);
  try {
    renameSync(draft, folder);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    // Another run has just written the very same content.
    if (!existsSync(folder)) throw error;
  }
  return folder;
}
