import { parseArgs } from 'node:util';
import { ApiError } from '../client/api.ts';
import { formatBytes } from '../client/format.ts';
import { connect } from './connection.ts';
import { openLocalFile } from './local-file.ts';
import { presignedSender } from './presigned-sender.ts';
import { ProgressLine } from './progress-line.ts';
import { proxySender } from './proxy-sender.ts';
import { transfer } from './transfer.ts';

const USAGE = `Uploads files, several parts at once, and goes on where an earlier run stopped.

  npm run upload -- FILE… [options]

  --mode presigned|proxy  straight to S3 (default), or through the API
  --api URL               the API; else $UPLOADS_API, else the local stack that runs in $LOCAL_DIR (.local)
  --token TOKEN           sent as "Authorization: Bearer TOKEN"; else $UPLOADS_TOKEN
  --iam                   sign requests to the API with $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY
  --type TYPE             content type, for example video/mp4; else by the file's ending
  --parallel N            parts at once, 1 to 16 (default 4)
  --help

Exit codes: 0 all uploaded, 1 an upload failed, 2 wrong arguments, 130 interrupted.`;

class UsageError extends Error {}

function readArguments(args: string[]) {
  try {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        mode: { type: 'string', default: 'presigned' },
        api: { type: 'string' },
        token: { type: 'string' },
        iam: { type: 'boolean', default: false },
        type: { type: 'string' },
        parallel: { type: 'string', default: '4' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    const { mode } = values;
    const parallel = Number(values.parallel);
    if (mode !== 'presigned' && mode !== 'proxy') throw new UsageError('--mode must be presigned or proxy.');
    if (!Number.isInteger(parallel) || parallel < 1 || parallel > 16)
      throw new UsageError('--parallel must be a whole number from 1 to 16.');
    if (positionals.length === 0 && !values.help) throw new UsageError('Name at least one file.');
    return { ...values, mode, parallel, files: positionals };
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError((error as Error).message); // parseArgs: an unknown or malformed option
  }
}

async function main(): Promise<number> {
  let args: ReturnType<typeof readArguments>;
  try {
    args = readArguments(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\n\n${USAGE}`);
    return 2;
  }
  if (args.help) {
    console.log(USAGE);
    return 0;
  }

  const interrupted = new AbortController();
  process.once('SIGINT', () => interrupted.abort());
  let failed = false;
  for (const path of args.files) {
    try {
      await upload(path, args, interrupted.signal);
    } catch (error) {
      if (interrupted.signal.aborted) {
        console.error('\nStopped. What has arrived is kept: run the same command again to go on.');
        return 130;
      }
      failed = true;
      console.error(`${path}: ${sentence(error)}`);
    }
  }
  return failed ? 1 : 0;
}

async function upload(
  path: string,
  args: ReturnType<typeof readArguments>,
  signal: AbortSignal,
): Promise<void> {
  const connection = await connect(args, process.env);
  await using file = await openLocalFile(path, args.type);
  const sender = await (args.mode === 'presigned' ? presignedSender : proxySender)(connection, file, signal);
  if (sender.resumedBytes > 0)
    console.error(
      `${file.name}: ${formatBytes(sender.resumedBytes)} of ${formatBytes(file.size)} are there already.`,
    );

  const line = new ProgressLine(file.name, file.size, process.stderr);
  try {
    const done = await transfer({ sender, connection, file, parallel: args.parallel, signal, line });
    line.end();
    console.log(`${file.name}: uploaded`);
    console.log(`  key        ${done.key}`);
    console.log(`  size       ${done.totalBytes} bytes`);
    console.log(`  ETag       ${done.etag}`);
    if (done.executionName) console.log(`  execution  ${done.executionName}`);
  } finally {
    line.end();
  }
}

function sentence(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error instanceof ApiError && error.status === 401)
    return `${error.message} Give a token with --token or $UPLOADS_TOKEN, or sign with --iam.`;
  return error.message;
}

process.exitCode = await main();
