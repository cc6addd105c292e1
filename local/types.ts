/** Who makes a call to the local AWS endpoint, as told by the access key that signed it. */
export type Caller =
  | { readonly kind: 'root' }
  | {
      readonly kind: 'role';
      readonly roleLogicalId: string;
      readonly roleArn: string;
      /** The function instance that calls, where a function does. */
      readonly functionName?: string;
      readonly workerId?: number;
      /** The execution that calls, where a state machine's own integration does. */
      readonly executionArn?: string;
    }
  /** An AWS service itself, as EventBridge when it invokes a rule's function. */
  | {
      readonly kind: 'service';
      /** For example `events.amazonaws.com`. */
      readonly service: string;
      /** The rule's, API's … ARN. */
      readonly sourceArn?: string;
    }
  | { readonly kind: 'anonymous' };

/** One request to the local AWS endpoint, as tests and budgets count it. */
export interface AwsCall {
  /** Grows by one for each call of this process. */
  readonly seq: number;
  /** Milliseconds since the epoch, by the stack's clock. */
  readonly at: number;
  readonly service: 's3' | 'dynamodb' | 'states' | 'events' | 'lambda';
  /** The API's own name, for example `UploadPart`. */
  readonly operation: string;
  readonly caller: Caller;
  /** The function's logical name in the template's terms, for example `receive-chunk`; absent for other callers. */
  readonly functionName?: string;
  readonly presigned: boolean;
  /** Bucket and key, table name, state machine or bus: what the call is about. */
  readonly resource: string;
  readonly status: number;
  readonly errorCode?: string;
  /** Bytes of the request's and the answer's bodies. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** DynamoDB's consumed capacity. */
  readonly readUnits?: number;
  readonly writeUnits?: number;
  readonly durationMs: number;
  /** What a fault rule did to it. */
  readonly fault?: string;
}

/** What is to happen to matching calls. All given matchers must match. */
export interface FaultRule {
  readonly id?: string;
  readonly service?: AwsCall['service'];
  readonly operation?: string;
  /**
   * The function's name without the stack's prefix, for example `receive-chunk`; `client` for root, anonymous and
   * presigned calls; `workflow` for the state machine's own integrations.
   */
  readonly caller?: string;
  /** A substring of the resource. */
  readonly resource?: string;
  /** A substring of what is asked: a JSON API's input as JSON; S3's URL, and the body of a DeleteObjects. */
  readonly input?: string;
  /** Skips this many matching calls first. Default 0. */
  readonly skip?: number;
  /** Applies to this many matching calls, then never again. Default 1; 0 means every call. */
  readonly times?: number;
  /** Applies with this probability (0 to 1), by a generator seeded with `seed`. Default 1. */
  readonly probability?: number;
  readonly seed?: number;
  readonly action:
    | { readonly kind: 'kill'; readonly when: 'before' | 'after' }
    | { readonly kind: 'fail'; readonly status: number; readonly code: string; readonly message?: string }
    | { readonly kind: 'delay'; readonly ms: number }
    /**
     * The connection is cut: before the engine sees it, or after it answered; `midway`, within the body of S3's
     * PutObject or UploadPart, or of GetObject's answer: half of it has gone through by then.
     */
    | { readonly kind: 'cut'; readonly when: 'before' | 'midway' | 'after' }
    /** CompleteMultipartUpload: 200 with an error document inside, as S3 does when it fails late. */
    | { readonly kind: 'late-error'; readonly code: string }
    /**
     * A 200 that says what was not done, of S3's DeleteObjects, PutEvents and BatchWriteItem: the first entry and
     * every second one after it. `code` is what it says of each; BatchWriteItem says nothing.
     */
    | { readonly kind: 'partial'; readonly code: string };
}

/** The stack's clock: real time plus what tests advanced it by. Functions' `Date` follows it. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  advance(ms: number): void;
}

/** One resource of the synthesised template, its intrinsic functions resolved. */
export interface Resource {
  readonly logicalId: string;
  /** For example `AWS::S3::Bucket`. */
  readonly type: string;
  readonly properties: Record<string, unknown>;
  readonly metadata: Record<string, unknown>;
  /** What `Ref` gives: a bucket's or function's name, a state machine's ARN … */
  readonly physicalId: string;
  readonly arn: string | undefined;
}

/** The synthesised stack, resolved for this machine. */
export interface LocalTemplate {
  readonly stackName: string;
  readonly account: string;
  readonly region: string;
  readonly resources: ReadonlyMap<string, Resource>;
  readonly outputs: ReadonlyMap<string, string>;
  byType(type: string): readonly Resource[];
  /** The folder or file of a resource's asset (`aws:asset:path`). */
  assetPath(resource: Resource): string;
}

export type InvokeResult =
  | { readonly payload: unknown; readonly functionError?: undefined }
  /** `Handled`: the handler threw; `Unhandled`: it died, timed out or ran out of memory. */
  | {
      readonly functionError: 'Handled' | 'Unhandled';
      readonly payload: {
        readonly errorType: string;
        readonly errorMessage: string;
        readonly trace?: string[];
      };
    };

/** The functions of the template, each with its own worker threads. */
export interface FunctionPool {
  /** Runs a function (by its physical name or ARN) and waits for its answer. */
  invoke(functionName: string, event: unknown): Promise<InvokeResult>;
  /** Runs it as an asynchronous invocation: queued, retried twice on errors, at least once. */
  invokeAsync(functionName: string, event: unknown): void;
  /** Ends a worker thread at once, as if its machine had died. */
  kill(workerId: number): void;
  /** The function's name in the template's terms, for example `receive-chunk`. */
  shortName(functionName: string): string;
  /** Waits until nothing runs and no asynchronous invocation is queued. */
  idle(): Promise<void>;
  close(): Promise<void>;
}

/** The answer of an AWS JSON API. */
export interface JsonAnswer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

/** An engine behind the front door that speaks AWS's JSON protocols; the call is authorised already. */
export type JsonEngine = (
  operation: string,
  input: Record<string, unknown>,
  caller: Caller,
) => Promise<JsonAnswer>;

/** Thrown by engines: becomes `{__type, message}` with the status. */
export class AwsError extends Error {
  override readonly name: string;
  readonly status: number;
  constructor(code: string, message: string, status = 400) {
    super(message);
    this.name = code;
    this.status = status;
  }
}
