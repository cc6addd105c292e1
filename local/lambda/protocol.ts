/** What a worker thread is started with. */
export interface WorkerStart {
  /** The unpacked function code. */
  readonly codeFolder: string;
  /** `<file>.<export>`, as in the template. */
  readonly handler: string;
  readonly clock: SharedArrayBuffer;
  /** Where everything goes that the function prints. */
  readonly logFile: string;
  readonly functionName: string;
  readonly functionArn: string;
  readonly memorySizeMb: number;
  readonly logGroupName: string;
  readonly logStreamName: string;
}

/** One event for the worker. */
export interface WorkerRequest {
  readonly requestId: string;
  /** The event as JSON text: one copy of a flat string is the cheapest way to another thread. */
  readonly event: string;
  readonly timeoutMs: number;
}

/** What a function's runtime reports about a failure. */
export interface FunctionFailure {
  readonly errorType: string;
  readonly errorMessage: string;
  readonly trace?: string[];
}

/** What the worker says. */
export type WorkerReply =
  /** The code is loaded; the thread waits for its first event. */
  | { readonly kind: 'ready' }
  /** The handler's answer as JSON text. */
  | { readonly kind: 'done'; readonly payload: string }
  /** The handler threw. The thread lives on. */
  | { readonly kind: 'failed'; readonly failure: FunctionFailure }
  /** The code could not be loaded, or something threw outside the handler. The thread ends. */
  | { readonly kind: 'dying'; readonly failure: FunctionFailure };
