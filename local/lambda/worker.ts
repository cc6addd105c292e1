/**
 * What runs in a function's worker thread: the part of Lambda's Node.js runtime that code can see.
 *
 * Not modelled: Lambda freezes an instance between events. Here the thread goes on running, so that work which
 * a handler leaves behind does get done locally. Do not rely on it.
 */
import { existsSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parentPort, workerData } from 'node:worker_threads';
import { followClock } from '../clock.ts';
import type { FunctionFailure, WorkerReply, WorkerRequest, WorkerStart } from './protocol.ts';

type Handler = (event: unknown, context: object) => unknown;

const start = workerData as WorkerStart;
const port = parentPort;
if (!port) throw new Error('this file is for worker threads');
const say = (reply: WorkerReply) => port.postMessage(reply);
const exit = process.exit.bind(process);

followClock(start.clock);
writeOutputTo(start.logFile);

// A thread shares its process: a function that kills "itself" must not take the whole stack along.
process.kill = (pid: number, signal?: string | number) => {
  if (pid === process.pid && signal !== 0) exit(137);
  throw Object.assign(new Error('kill EPERM'), { code: 'EPERM', errno: -1, syscall: 'kill' });
};

const die = (failure: FunctionFailure) => {
  say({ kind: 'dying', failure });
  exit(1);
};
process.on('uncaughtException', (error) => die(describe(error)));
process.on('unhandledRejection', (reason) => {
  const { errorMessage, errorType, trace = [] } = describe(reason);
  die({
    errorType: 'Runtime.UnhandledPromiseRejection',
    errorMessage: `${errorType}: ${errorMessage}`,
    trace,
  });
});

try {
  const handler = await loadHandler();
  port.on('message', (request: WorkerRequest) => {
    run(handler, request).then(say, (error: unknown) => say({ kind: 'failed', failure: describe(error) }));
  });
  say({ kind: 'ready' });
} catch (error) {
  die(describe(error));
}

async function run(handler: Handler, { requestId, event, timeoutMs }: WorkerRequest): Promise<WorkerReply> {
  const deadline = performance.now() + timeoutMs;
  const answer = await handler(JSON.parse(event), {
    callbackWaitsForEmptyEventLoop: true,
    awsRequestId: requestId,
    functionName: start.functionName,
    functionVersion: '$LATEST',
    invokedFunctionArn: start.functionArn,
    memoryLimitInMB: String(start.memorySizeMb),
    logGroupName: start.logGroupName,
    logStreamName: start.logStreamName,
    getRemainingTimeInMillis: () => Math.max(0, Math.round(deadline - performance.now())),
  });
  return { kind: 'done', payload: JSON.stringify(answer) ?? 'null' };
}

async function loadHandler(): Promise<Handler> {
  const dot = start.handler.lastIndexOf('.');
  const [module, name] = [start.handler.slice(0, dot), start.handler.slice(dot + 1)];
  const file = ['.mjs', '.js', '.cjs', '']
    .map((end) => join(start.codeFolder, module + end))
    .find(existsSync);
  if (!file) throw runtimeError('Runtime.ImportModuleError', `Cannot find module '${module}'`);
  const exports = (await import(pathToFileURL(file).href)) as Record<string, unknown> & { default?: unknown };
  // A CommonJS file's exports that cannot be told statically are on `default`.
  const handler = exports[name] ?? (exports.default as Record<string, unknown> | undefined)?.[name];
  if (typeof handler !== 'function') {
    throw runtimeError('Runtime.HandlerNotFound', `${start.handler} is undefined or not exported`);
  }
  // Node.js 24 is Lambda's first runtime without callbacks.
  if (handler.length >= 3) {
    throw runtimeError('Runtime.CallbackHandlerDeprecated', 'callback-based handlers are not supported');
  }
  return handler as Handler;
}

function runtimeError(name: string, message: string): Error {
  return Object.assign(new Error(message), { name });
}

function describe(error: unknown): FunctionFailure {
  if (!(error instanceof Error)) return { errorType: typeof error, errorMessage: String(error), trace: [] };
  return { errorType: error.name, errorMessage: error.message, trace: error.stack?.split('\n') ?? [] };
}

/**
 * Sends standard output and errors to a file, in step with the code: a line that was printed before the thread
 * was ended is in the file. As on Lambda, a line break inside one `console.log` becomes a carriage return.
 */
function writeOutputTo(path: string): void {
  const file = openSync(path, 'a');
  for (const stream of [process.stdout, process.stderr]) {
    stream.write = (
      chunk: string | Uint8Array,
      encoding?: BufferEncoding | ((error?: Error | null) => void),
      callback?: (error?: Error | null) => void,
    ) => {
      const text = typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString();
      writeSync(file, `${text.replace(/\n$/, '').replaceAll('\n', '\r')}\n`);
      const done = typeof encoding === 'function' ? encoding : callback;
      if (done) queueMicrotask(() => done());
      return true;
    };
  }
}
