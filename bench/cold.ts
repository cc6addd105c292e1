/**
 * npm run bench:cold
 *
 * How long each function's bundle takes to initialise in a fresh Node process, beside the least that it could be:
 * the SDK's S3 and DynamoDB clients and the logger, bundled the same way.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { buildSync } from 'esbuild';
import { bundleFunctions } from '../infra/bundle.ts';
import { uploadFunctions } from '../infra/function-map.ts';

const ROUNDS = 11;
const BASELINE = 'bare SDK clients';

const ENVIRONMENT = {
  PATH: process.env.PATH ?? '',
  AWS_REGION: 'us-east-1',
  AWS_ACCESS_KEY_ID: 'none',
  AWS_SECRET_ACCESS_KEY: 'none',
  TABLE_NAME: 'table',
  BUCKET_NAME: 'bucket',
  STATE_MACHINE_ARN: 'arn:aws:states:us-east-1:000000000000:stateMachine:uploads',
  EVENT_BUS_NAME: 'bus',
  SETTINGS: '{}',
};

/**
 * From the start of the import to its end: what Lambda's INIT phase does once the runtime is up. CPU time is of all
 * threads; on a busy machine it is the steadier figure, and on Lambda, where a function has a share of a core, it is
 * what counts.
 */
const IMPORT_ONCE = `
  const [from, cpuFrom] = [performance.now(), process.cpuUsage()];
  await import(process.argv[1]);
  const { user, system } = process.cpuUsage(cpuFrom);
  process.stdout.write(JSON.stringify({ ms: performance.now() - from, cpuMs: (user + system) / 1000 }));`;

interface Initialisation {
  readonly ms: number;
  readonly cpuMs: number;
}

function initialise(file: string): Initialisation {
  const url = pathToFileURL(file).href;
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', IMPORT_ONCE, url], {
    env: ENVIRONMENT,
    encoding: 'utf8',
  });
  return JSON.parse(output) as Initialisation;
}

function buildBaseline(folder: string): { file: string; bytes: number } {
  const { outputFiles, metafile } = buildSync({
    stdin: {
      contents: `
        import { S3Client, GetObjectCommand } from '@aws-sdk/client-s3';
        import { DynamoDBClient, GetItemCommand } from '@aws-sdk/client-dynamodb';
        import { Logger } from '@aws-lambda-powertools/logger';
        const s3 = new S3Client({}), dynamodb = new DynamoDBClient({}), log = new Logger();
        export const handler = async (event) => {
          log.info('get');
          await s3.send(new GetObjectCommand(event));
          await dynamodb.send(new GetItemCommand(event));
        };`,
      resolveDir: import.meta.dirname,
    },
    // As infra/bundle.ts has it.
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    metafile: true,
    write: false,
    minify: true,
    keepNames: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    mainFields: ['module', 'main'],
    banner: { js: "import{createRequire}from'node:module';const require=createRequire(import.meta.url);" },
  });
  for (const { path, contents } of outputFiles) writeFileSync(path, contents);
  // Files that are loaded at the start: the first, and what is imported other than by `import()`.
  const loaded = new Set(Object.keys(metafile.outputs).filter((path) => path.endsWith('stdin.mjs')));
  for (const path of loaded)
    for (const { kind, path: imported, external } of metafile.outputs[path]?.imports ?? [])
      if (kind === 'import-statement' && !external) loaded.add(imported);
  const bytes = [...loaded].reduce((sum, path) => sum + (metafile.outputs[path]?.bytes ?? 0), 0);
  return { file: join(folder, 'stdin.mjs'), bytes };
}

const median = (numbers: readonly number[]): number =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;

function main(): void {
  const folder = mkdtempSync(join(tmpdir(), 'cold-'));
  try {
    const bundles = bundleFunctions(uploadFunctions().map(([name]) => name));
    const subjects = [
      { name: BASELINE, ...buildBaseline(folder) },
      ...[...bundles].map(([name, { folder: place, bytes }]) => ({
        name: name as string,
        file: join(place, 'index.mjs'),
        bytes,
      })),
    ];
    const times = new Map(subjects.map(({ name }) => [name, [] as Initialisation[]]));
    // Round by round, so that a busy moment of the machine meets all alike; the first only warms the disk's cache.
    for (let round = 0; round <= ROUNDS; round++)
      for (const { name, file } of subjects) {
        const once = initialise(file);
        if (round > 0) times.get(name)?.push(once);
      }
    const medianOf = (name: string, figure: keyof Initialisation): number =>
      median((times.get(name) ?? []).map((once) => once[figure]));
    console.log(
      `Node ${process.versions.node}, ${process.arch}, ${availableParallelism()} cores, ${new Date().toISOString().slice(0, 10)}; medians of ${ROUNDS} fresh processes.\n`,
    );
    console.log('| function | loaded, KB | initialisation, ms | of CPU, ms | CPU × bare SDK |');
    console.log('| --- | ---: | ---: | ---: | ---: |');
    for (const { name, bytes } of subjects) {
      const cpuMs = medianOf(name, 'cpuMs');
      const ratio = cpuMs / medianOf(BASELINE, 'cpuMs');
      console.log(
        `| ${name} | ${Math.round(bytes / 1000)} | ${medianOf(name, 'ms').toFixed(0)} | ${cpuMs.toFixed(0)} | ${ratio.toFixed(2)} |`,
      );
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

main();
