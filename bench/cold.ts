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

/** Milliseconds from the start of the import to its end: what Lambda's INIT phase does after the runtime is up. */
const IMPORT_ONCE =
  'const from = performance.now(); await import(process.argv[1]); process.stdout.write(String(performance.now() - from));';

function initialise(file: string): number {
  const url = pathToFileURL(file).href;
  return Number(
    execFileSync(process.execPath, ['--input-type=module', '-e', IMPORT_ONCE, url], { env: ENVIRONMENT }),
  );
}

function buildBaseline(folder: string): { file: string; bytes: number } {
  const { outputFiles } = buildSync({
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
    bundle: true,
    write: false,
    minify: true,
    keepNames: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    mainFields: ['module', 'main'],
    banner: { js: "import{createRequire}from'node:module';const require=createRequire(import.meta.url);" },
  });
  const contents = outputFiles[0]?.contents ?? new Uint8Array();
  const file = join(folder, 'index.mjs');
  writeFileSync(file, contents);
  return { file, bytes: contents.byteLength };
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
    const times = new Map(subjects.map(({ name }) => [name, [] as number[]]));
    // Round by round, so that a busy moment of the machine meets all alike; the first only warms the disk's cache.
    for (let round = 0; round <= ROUNDS; round++)
      for (const { name, file } of subjects) {
        const ms = initialise(file);
        if (round > 0) times.get(name)?.push(ms);
      }
    const floor = median(times.get(BASELINE) ?? []);
    console.log(
      `Node ${process.versions.node}, ${process.arch}, ${availableParallelism()} cores, ${new Date().toISOString().slice(0, 10)}; medians of ${ROUNDS} fresh processes.\n`,
    );
    console.log('| function | bundle, KB | initialisation, ms | × bare SDK |\n|---|---:|---:|---:|');
    for (const { name, bytes } of subjects) {
      const ms = median(times.get(name) ?? []);
      console.log(
        `| ${name} | ${Math.round(bytes / 1000)} | ${ms.toFixed(0)} | ${(ms / floor).toFixed(2)} |`,
      );
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

main();
