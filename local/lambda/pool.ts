import { appendFileSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { AwsError, type Caller, type FunctionPool, type InvokeResult, type LocalTemplate } from '../types.ts';
import { type FunctionSettings, functionEnvironment, readFunctions } from './function-settings.ts';
import { type InducedFault, type Instance, startInstance } from './instance.ts';
import type { FunctionFailure } from './protocol.ts';

/** Lambda's limit for a synchronous invocation's event, in bytes of JSON. */
const MAX_EVENT_BYTES = 6_291_456;
/** Lambda's limit for an asynchronous invocation's event. */
const MAX_ASYNC_EVENT_BYTES = 1_048_576;
/** A function's log is begun anew when it is larger than this at start. */
const MAX_OLD_LOG_BYTES = 5 * 1024 * 1024;

export interface FunctionPoolOptions {
  readonly template: LocalTemplate;
  readonly clock: { readonly buffer: SharedArrayBuffer; now(): number };
  readonly credentials: {
    issue(caller: Caller): { accessKeyId: string; secretAccessKey: string; sessionToken?: string };
  };
  readonly awsEndpointUrl: () => string;
  /** What a person should know about, one line. */
  readonly log: (line: string) => void;
  /** Functions print into `<logDir>/<short name>.log`. */
  readonly logDir: string;
  /** Takes an asynchronous event that failed for good, where the function has a dead-letter queue. */
  readonly deadLetter?: (settings: FunctionSettings, event: string, failure: FunctionFailure) => void;
  /** Threads of one function where the template reserves no concurrency. @default 10 */
  readonly concurrency?: number;
  /** Threads of all functions together. @default 32 */
  readonly maxInstances?: number;
  /** How long a thread without work is kept. @default 30000 */
  readonly idleMs?: number;
  /** Pauses before an asynchronous invocation is tried again; Lambda waits a minute, then two. @default [1000, 2000] */
  readonly asyncRetryDelaysMs?: readonly number[];
}

/** How a function's next events go wrong, as `POST /_local/functions` sets it. */
export interface FunctionFault {
  /** The function's short name, for example `assemble-part`. */
  readonly name: string;
  /** It exceeds its timeout, its memory, or its process ends. `none` takes an earlier one back. */
  readonly fault: InducedFault | 'none';
  /** `after`: the handler has done all its work, and its answer is lost. @default 'after' */
  readonly when?: 'before' | 'after';
  /** For so many events. @default 1 */
  readonly times?: number;
}

const INDUCED: readonly string[] = ['timeout', 'oom', 'crash', 'none'] satisfies FunctionFault['fault'][];

export interface LocalFunctionPool extends FunctionPool {
  /** Throws a RangeError for what is no fault; AwsError where there is no such function. */
  setFault(fault: FunctionFault): FunctionFault;
  /** When true, every asynchronous event is delivered twice, as Lambda may do at any time. @default false */
  duplicateAsync: boolean;
  /** What the template says about the functions. */
  readonly functions: readonly FunctionSettings[];
}

interface Live {
  readonly id: number;
  readonly instance: Instance;
  idleTimer?: NodeJS.Timeout | undefined;
}

interface PooledFunction {
  readonly settings: FunctionSettings;
  readonly limit: number;
  readonly idle: Live[];
  readonly queue: (() => void)[];
  /** Events that are being handled. */
  busy: number;
  /** What the next events suffer. */
  fault?: { readonly fault: InducedFault; readonly when: 'before' | 'after'; left: number } | undefined;
}

/**
 * Runs the template's functions in worker threads.
 *
 * Events beyond a function's concurrency wait in a queue. (Lambda would answer 429; on one machine, a burst that
 * an account takes in its stride should not fail.) Asynchronous events are kept in memory only: they do not
 * outlive the process, where Lambda's would.
 */
export function createFunctionPool(options: FunctionPoolOptions): LocalFunctionPool {
  const { template, clock, log, logDir } = options;
  const { concurrency = 10, maxInstances = 32, idleMs = 30_000, asyncRetryDelaysMs = [1000, 2000] } = options;
  mkdirSync(logDir, { recursive: true });
  const functions = readFunctions(template).map((settings): PooledFunction => {
    const logFile = join(logDir, `${settings.shortName}.log`);
    if ((statSync(logFile, { throwIfNoEntry: false })?.size ?? 0) > MAX_OLD_LOG_BYTES) rmSync(logFile);
    return { settings, limit: settings.reservedConcurrency ?? concurrency, idle: [], queue: [], busy: 0 };
  });
  const byName = new Map(
    functions.flatMap((entry) => {
      const { name, arn, shortName } = entry.settings;
      return [name, arn, shortName].map((key) => [key, entry] as const);
    }),
  );
  const live = new Map<number, Live>();
  let nextId = 1;
  let closed = false;
  let pendingAsync = 0;
  const retryTimers = new Set<NodeJS.Timeout>();
  let idleWaiters: (() => void)[] = [];

  const find = (functionName: string): PooledFunction => {
    const found = byName.get(functionName);
    if (!found) {
      const arn = `arn:aws:lambda:${template.region}:${template.account}:function:${functionName}`;
      throw new AwsError('ResourceNotFoundException', `Function not found: ${arn}`, 404);
    }
    return found;
  };

  const start = ({ settings }: PooledFunction): Live => {
    const id = nextId++;
    const logFile = join(logDir, `${settings.shortName}.log`);
    const day = new Date(clock.now()).toISOString().slice(0, 10).replaceAll('-', '/');
    const logStreamName = `${day}/[$LATEST]${String(id).padStart(8, '0')}`;
    const credentials = options.credentials.issue({
      kind: 'role',
      roleLogicalId: settings.role.logicalId,
      roleArn: settings.role.arn ?? '',
      functionName: settings.name,
      workerId: id,
    });
    const instance = startInstance({
      codeFolder: settings.codeFolder,
      handler: settings.handler,
      clock: clock.buffer,
      logFile,
      functionName: settings.name,
      functionArn: settings.arn,
      memorySizeMb: settings.memorySizeMb,
      logGroupName: settings.logGroupName,
      logStreamName,
      timeoutMs: settings.timeoutMs,
      env: functionEnvironment(settings, {
        region: template.region,
        awsEndpointUrl: options.awsEndpointUrl(),
        logStreamName,
        credentials,
      }),
      print: (line) => appendFileSync(logFile, `${line}\n`),
    });
    const started = { id, instance };
    live.set(id, started);
    return started;
  };

  const end = (entry: PooledFunction, { id, instance, idleTimer }: Live, reason: string): Promise<void> => {
    clearTimeout(idleTimer);
    live.delete(id);
    const at = entry.idle.findIndex((other) => other.id === id);
    if (at >= 0) entry.idle.splice(at, 1);
    return instance.kill(reason);
  };

  /** Ends the thread that has been without work for longest among other functions' threads, if there is one. */
  const makeRoom = (): boolean => {
    for (const entry of functions) {
      const oldest = entry.idle[0];
      if (!oldest) continue;
      void end(entry, oldest, 'evicted');
      return true;
    }
    return false;
  };

  /** A warm thread (the one used last, so that the others can end), or a new one, or undefined: wait. */
  const acquire = (entry: PooledFunction): Live | undefined => {
    if (entry.busy >= entry.limit) return undefined;
    for (let warm = entry.idle.pop(); warm; warm = entry.idle.pop()) {
      clearTimeout(warm.idleTimer);
      if (!warm.instance.gone) return warm;
      live.delete(warm.id);
    }
    return live.size < maxInstances || makeRoom() ? start(entry) : undefined;
  };

  const wakeNext = () => {
    for (const entry of functions) {
      if (entry.queue.length > 0 && entry.busy < entry.limit) entry.queue.shift()?.();
    }
    if (functions.every(({ busy, queue }) => busy === 0 && queue.length === 0) && pendingAsync === 0) {
      const waiters = idleWaiters;
      idleWaiters = [];
      for (const wake of waiters) wake();
    }
  };

  const release = (entry: PooledFunction, used: Live) => {
    if (used.instance.gone || closed) {
      live.delete(used.id);
    } else {
      entry.idle.push(used);
      used.idleTimer = setTimeout(() => void end(entry, used, 'idle'), idleMs);
      used.idleTimer.unref();
    }
    wakeNext();
  };

  async function runEvent(entry: PooledFunction, event: string): Promise<InvokeResult> {
    let thread = acquire(entry);
    while (!thread) {
      await new Promise<void>((wake) => entry.queue.push(wake));
      if (closed) throw new AwsError('ServiceException', 'The local stack is stopping.', 500);
      thread = acquire(entry);
    }
    entry.busy += 1;
    const { fault } = entry;
    if (fault) {
      fault.left -= 1;
      if (fault.left <= 0) entry.fault = undefined;
    }
    const result = await thread.instance.run(event, fault);
    entry.busy -= 1;
    release(entry, thread);
    return result;
  }

  function toJson(event: unknown, limit: number): string {
    const json = JSON.stringify(event) ?? 'null';
    // A character is a byte at least: only a string near the limit needs counting.
    if (json.length > limit || (json.length * 3 > limit && Buffer.byteLength(json) > limit)) {
      const message = `Request must be smaller than ${limit} bytes for the InvokeFunction operation`;
      throw new AwsError('RequestTooLargeException', message, 413);
    }
    return json;
  }

  async function deliver(entry: PooledFunction, event: string, attempt: number): Promise<void> {
    const result = await runEvent(entry, event);
    if (!result.functionError) return;
    const { shortName, asyncRetries, deadLetterArn } = entry.settings;
    if (attempt >= asyncRetries) {
      log(`${shortName}: gave up on an asynchronous event: ${result.payload.errorType}`);
      if (deadLetterArn !== undefined) options.deadLetter?.(entry.settings, event, result.payload);
      return;
    }
    await new Promise<void>((wake) => {
      const timer = setTimeout(
        () => {
          retryTimers.delete(timer);
          wake();
        },
        asyncRetryDelaysMs[attempt] ?? asyncRetryDelaysMs.at(-1) ?? 0,
      );
      retryTimers.add(timer);
    });
    await deliver(entry, event, attempt + 1);
  }

  const pool: LocalFunctionPool = {
    duplicateAsync: false,
    setFault(asked) {
      const { name, fault, when = 'after', times = 1, ...rest } = asked;
      const [unknown] = Object.keys(rest);
      if (unknown !== undefined) throw new RangeError(`${unknown} is not a field of a function's fault`);
      if (!INDUCED.includes(fault)) throw new RangeError(`fault is one of ${INDUCED.join(', ')}`);
      if (when !== 'before' && when !== 'after') throw new RangeError('when is before or after');
      if (!Number.isInteger(times) || times < 1) throw new RangeError('times is a whole number from 1');
      find(name).fault = fault === 'none' ? undefined : { fault, when, left: times };
      return { name, fault, when, times };
    },
    functions: functions.map(({ settings }) => settings),
    async invoke(functionName, event) {
      return runEvent(find(functionName), toJson(event, MAX_EVENT_BYTES));
    },
    invokeAsync(functionName, event) {
      const entry = find(functionName);
      const json = toJson(event, MAX_ASYNC_EVENT_BYTES);
      for (let copies = pool.duplicateAsync ? 2 : 1; copies > 0; copies -= 1) {
        pendingAsync += 1;
        deliver(entry, json, 0)
          .catch((error: Error) => {
            if (!closed) log(`${entry.settings.shortName}: ${error.message}`);
          })
          .finally(() => {
            pendingAsync -= 1;
            wakeNext();
          });
      }
    },
    kill(workerId) {
      const found = live.get(workerId);
      if (found) void found.instance.kill('signal: killed');
    },
    shortName: (functionName) => find(functionName).settings.shortName,
    idle: () =>
      new Promise((resolve) => {
        idleWaiters.push(resolve);
        wakeNext();
      }),
    async close() {
      closed = true;
      for (const timer of retryTimers) clearTimeout(timer);
      for (const entry of functions) for (const wake of entry.queue.splice(0)) wake();
      await Promise.all(
        [...live.values()].map(({ instance }) => instance.kill('the local stack is stopping')),
      );
      live.clear();
    },
  };
  return pool;
}
