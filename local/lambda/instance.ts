import { randomUUID } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import type { InvokeResult } from '../types.ts';
import type { FunctionFailure, WorkerReply, WorkerRequest, WorkerStart } from './protocol.ts';

/** Lambda's limit for a synchronous answer, as its own error message states it. */
const MAX_RESPONSE_BYTES = 6_291_556;
/** Lambda gives the code ten seconds to load before it counts against the function's timeout. */
const INIT_TIMEOUT_MS = 10_000;

export interface InstanceOptions extends WorkerStart {
  readonly env: Record<string, string>;
  readonly timeoutMs: number;
  /** One line for the function's log. */
  readonly print: (line: string) => void;
}

/** What an event can be made to end in: the function's timeout, its memory's end, or its process's. */
export type InducedFault = 'timeout' | 'oom' | 'crash';

/** One execution environment: a worker thread that takes one event at a time. */
export interface Instance {
  /**
   * Never rejects. Only one at a time.
   *
   * @param induced makes it fail without its having to take that long, or that much memory: `before` the handler
   * begins, or `after` it has done all of its work, in place of its answer
   */
  run(
    event: string,
    induced?: { readonly fault: InducedFault; readonly when: 'before' | 'after' },
  ): Promise<InvokeResult>;
  /** True once the thread has ended or is ending: no further events. */
  readonly gone: boolean;
  /** Ends the thread at once; what runs in it fails with `Runtime.ExitError`. */
  kill(reason: string): Promise<void>;
}

interface Running {
  readonly requestId: string;
  readonly startedAt: number;
  readonly resolve: (result: InvokeResult) => void;
  /** Strikes in place of the answer. */
  readonly inducedAfter: InducedFault | undefined;
  timer: NodeJS.Timeout;
}

/**
 * Starts a thread with nothing of this process's environment.
 *
 * `memorySizeMb` bounds the JavaScript heap; buffers live outside of it and are not bounded, as V8 offers no
 * limit for them per thread.
 */
export function startInstance({ env, timeoutMs, print, ...start }: InstanceOptions): Instance {
  const startedAt = performance.now();
  const worker = new Worker(new URL('./worker.ts', import.meta.url), {
    env,
    workerData: start,
    // A thread takes its options from here only, not from the variable.
    execArgv: env.NODE_OPTIONS?.split(' ').filter(Boolean) ?? [],
    name: start.functionName.slice(0, 60),
    resourceLimits: { maxOldGenerationSizeMb: start.memorySizeMb },
  });
  // An idle thread must not keep the process alive.
  worker.unref();

  let ready = false;
  let initDuration: number | undefined;
  let gone = false;
  let waiting: WorkerRequest | undefined;
  let running: Running | undefined;

  const finish = (result: InvokeResult) => {
    if (!running) return;
    const { requestId, startedAt, timer, resolve } = running;
    clearTimeout(timer);
    const took = (performance.now() - startedAt).toFixed(2);
    const init = initDuration === undefined ? '' : ` Init Duration: ${initDuration.toFixed(2)} ms`;
    const outcome = result.functionError ? ` Error: ${result.payload.errorType}` : '';
    print(
      `REPORT RequestId: ${requestId} Duration: ${took} ms Memory Size: ${start.memorySizeMb} MB${init}${outcome}`,
    );
    initDuration = undefined;
    running = undefined;
    worker.unref();
    resolve(result);
  };

  const crash = (failure: FunctionFailure) => {
    gone = true;
    if (running) print(`ERROR RequestId: ${running.requestId} ${failure.errorType}: ${failure.errorMessage}`);
    finish({ functionError: 'Unhandled', payload: failure });
  };

  const exited = (how: string): FunctionFailure => ({
    errorType: 'Runtime.ExitError',
    errorMessage: `RequestId: ${running?.requestId ?? 'none'} Error: Runtime exited with error: ${how}`,
  });

  const outOfMemory = (): FunctionFailure => ({
    ...exited('signal: killed'),
    errorType: 'Runtime.OutOfMemory',
  });

  const timeOut = (phaseMs: number) => {
    const seconds = (phaseMs / 1000).toFixed(2);
    const requestId = running?.requestId;
    crash({
      errorType: 'Sandbox.Timedout',
      errorMessage: `RequestId: ${requestId} Error: Task timed out after ${seconds} seconds`,
    });
    void worker.terminate();
  };

  const suffer = (fault: InducedFault) => {
    if (fault === 'timeout') return timeOut(timeoutMs);
    crash(fault === 'oom' ? outOfMemory() : exited('exit status 1'));
    void worker.terminate();
  };

  const send = (request: WorkerRequest) => {
    if (!running) return;
    clearTimeout(running.timer);
    running.timer = setTimeout(timeOut, timeoutMs, timeoutMs);
    worker.postMessage(request);
  };

  worker.on('message', (reply: WorkerReply) => {
    switch (reply.kind) {
      case 'ready':
        ready = true;
        initDuration = performance.now() - startedAt;
        if (waiting) send(waiting);
        waiting = undefined;
        return;
      case 'done':
        if (running?.inducedAfter) return suffer(running.inducedAfter);
        return finish(toResult(reply.payload));
      case 'failed':
        if (running) print(`ERROR RequestId: ${running.requestId} ${JSON.stringify(reply.failure)}`);
        return finish({ functionError: 'Handled', payload: { ...reply.failure } });
      case 'dying':
        return crash(reply.failure);
    }
  });
  worker.on('error', (error: Error & { code?: string }) => {
    crash(
      error.code === 'ERR_WORKER_OUT_OF_MEMORY'
        ? outOfMemory()
        : { errorType: error.name, errorMessage: error.message },
    );
  });
  worker.on('exit', (code) => crash(exited(`exit status ${code}`)));

  return {
    get gone() {
      return gone;
    },
    run: (event, induced) =>
      new Promise((resolve) => {
        const requestId = randomUUID();
        const timer = setTimeout(timeOut, INIT_TIMEOUT_MS + timeoutMs, INIT_TIMEOUT_MS + timeoutMs);
        const inducedAfter = induced?.when === 'after' ? induced.fault : undefined;
        running = { requestId, startedAt: performance.now(), resolve, inducedAfter, timer };
        print(`START RequestId: ${requestId} Version: $LATEST`);
        if (induced?.when === 'before') return suffer(induced.fault);
        if (gone) return crash(exited('the environment has ended'));
        worker.ref();
        const request = { requestId, event, timeoutMs };
        if (ready) send(request);
        else waiting = request;
      }),
    kill: async (reason) => {
      crash(exited(reason));
      await worker.terminate();
    },
  };
}

function toResult(payload: string): InvokeResult {
  if (Buffer.byteLength(payload) <= MAX_RESPONSE_BYTES) return { payload: JSON.parse(payload) };
  return {
    functionError: 'Unhandled',
    payload: {
      errorType: 'Function.ResponseSizeTooLarge',
      errorMessage: `Response payload size exceeded maximum allowed payload size (${MAX_RESPONSE_BYTES} bytes).`,
    },
  };
}
