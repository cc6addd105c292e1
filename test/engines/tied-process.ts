import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';

/**
 * Runs a program and kills it as soon as our end of its standard input closes: also when this process is killed
 * and can clean up nothing. The last to go removes the scratch folder; a program that ended by itself leaves it, for
 * the others and for its log.
 */
const supervisor = `
exec 3<&0
"$@" </dev/null 3<&- &
child=$!
{ cat <&3; kill -KILL $child && sleep 0.3 && rm -rf -- "$SCRATCH"; } >/dev/null 2>&1 &
exec 3<&-
wait $child
`;

export interface TiedProcess {
  /** Rejects when the program ends before it was stopped; never resolves otherwise. */
  readonly failed: Promise<never>;
  stop(): Promise<void>;
}

/**
 * @param scratch is removed when the program ends with this process; its log is `<scratch>/<name>.log`.
 */
export function spawnTied(
  name: string,
  command: readonly string[],
  options: { readonly scratch: string; readonly cwd?: string; readonly env?: Record<string, string> },
): TiedProcess {
  const logFile = `${options.scratch}/${name}.log`;
  const log = openSync(logFile, 'w');
  const child = spawn('sh', ['-c', supervisor, name, ...command], {
    stdio: ['pipe', log, log],
    cwd: options.cwd ?? options.scratch,
    env: { ...process.env, ...options.env, SCRATCH: options.scratch },
  });
  closeSync(log);
  let stopped = false;
  const exited = new Promise<string>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('exit', (code, signal) => resolve(`exit ${code ?? signal}`));
  });
  const failed = exited.then((how) => {
    if (stopped) return new Promise<never>(() => undefined);
    throw new Error(`${name} ended early (${how}):\n${readFileSync(logFile, 'utf8').slice(-2000)}`);
  });
  // Whoever starts the program races this against its readiness; later it may be looked at or not.
  failed.catch(() => undefined);
  return {
    failed,
    async stop() {
      stopped = true;
      child.stdin?.destroy();
      await exited;
    },
  };
}

/** A port that was free a moment ago, chosen by the operating system. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** Asks again every 100 ms until the answer is true. */
export async function waitUntil(
  what: string,
  check: () => Promise<boolean>,
  timeoutMs: number,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error(`${what} did not happen within ${timeoutMs / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
