/**
 * `npm start`: the whole stack on this machine.
 *
 * PORT                 of the API and the pages. Default 3000; 0: any.
 * LOCAL_DIR            where all state lives. Default .local
 * AUTH                 none (default), jwt or iam
 * UPLOADS_APP          another CDK app than infra/app.ts, for example one of examples/
 * S3_ENDPOINT, S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY, DYNAMODB_ENDPOINT
 *                      real engines in place of the built-in ones
 * LOCAL_SCHEDULES      off: the watchdog runs only when it is invoked
 * LOCAL_RETRY_SCALE    multiplies the pauses before AWS services try again; tests set it below 1. Default 1
 */
import { join, relative, resolve } from 'node:path';
import { type LocalStack, startLocalStack } from './stack.ts';
import { synthesise } from './synth.ts';

const root = join(import.meta.dirname, '..');
const startedAt = performance.now();

/** A stack that does not close by then is ended all the same. */
const CLOSE_TIMEOUT_MS = 5000;

async function main(): Promise<void> {
  const { env } = process;
  const dir = resolve(env.LOCAL_DIR || '.local');
  const port = readPort(env.PORT);
  const outDir = join(dir, 'cdk.out');
  const stack = await startLocalStack({
    dir,
    port,
    outDir: async (apiUrl) => {
      const environment = { UPLOADS_LOCAL: '1', UPLOADS_LOCAL_URL: apiUrl, AUTH: env.AUTH || 'none' };
      await synthesise({ root, app: env.UPLOADS_APP || undefined, outDir, environment });
      return outDir;
    },
    s3: readS3(env),
    dynamodbEndpoint: env.DYNAMODB_ENDPOINT || undefined,
    retryTimeScale: readScale(env.LOCAL_RETRY_SCALE),
    schedules: env.LOCAL_SCHEDULES !== 'off',
    log: (line) => process.stderr.write(`${line}\n`),
  });
  stopOnSignals(stack);
  process.stdout.write(`${describe(stack, dir)}\n`);
}

function readPort(text: string | undefined): number {
  const port = Number(text || 3000);
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new Error(`PORT is "${text}"; write 0 to 65535`);
  return port;
}

function readScale(text: string | undefined): number {
  const scale = Number(text || 1);
  if (!(scale >= 0)) throw new Error(`LOCAL_RETRY_SCALE is "${text}"; write a number from 0`);
  return scale;
}

function readS3(env: NodeJS.ProcessEnv) {
  const { S3_ENDPOINT, S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY } = env;
  if (!S3_ENDPOINT) return undefined;
  if (!S3_ACCESS_KEY_ID || !S3_SECRET_ACCESS_KEY) {
    throw new Error('S3_ENDPOINT needs S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY');
  }
  return { endpoint: S3_ENDPOINT, accessKeyId: S3_ACCESS_KEY_ID, secretAccessKey: S3_SECRET_ACCESS_KEY };
}

function describe({ apiUrl, awsEndpointUrl, description }: LocalStack, dir: string): string {
  const folder = relative(process.cwd(), dir) || '.';
  return [
    `Ready in ${((performance.now() - startedAt) / 1000).toFixed(1)} s.`,
    '',
    `  Page          ${apiUrl}/`,
    `  Console       ${apiUrl}/console`,
    `  API           ${apiUrl}/uploads`,
    `  AWS endpoint  ${awsEndpointUrl}`,
    `  State, logs   ${folder}/ (keys and names in ${join(folder, 'stack.json')})`,
    '',
    '  Send a file   npm run upload -- FILE',
    ...(description.jwt ? ['  Get a token   npm run token -- alice'] : []),
    '',
    'Ctrl-C stops.',
  ].join('\n');
}

function stopOnSignals(stack: LocalStack): void {
  let stopping = false;
  const stop = () => {
    // A second Ctrl-C means it.
    if (stopping) process.exit(1);
    stopping = true;
    setTimeout(() => {
      process.stderr.write('Some parts did not stop in time.\n');
      process.exit(1);
    }, CLOSE_TIMEOUT_MS).unref();
    stack.close().then(
      () => process.exit(0),
      (error: Error) => fail(error),
    );
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
}

/** People see the sentence; who looks for a defect asks for the stack trace. */
function fail(error: Error): never {
  process.stderr.write(`${process.env.DEBUG ? error.stack : error.message}\n`);
  process.exit(1);
}

main().catch(fail);
