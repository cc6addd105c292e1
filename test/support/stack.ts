import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { DynamoDBClient, paginateScan } from '@aws-sdk/client-dynamodb';
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { ListMultipartUploadsCommand, paginateListObjectsV2, S3Client } from '@aws-sdk/client-s3';
import { RedriveExecutionCommand, SFNClient } from '@aws-sdk/client-sfn';
import { unmarshall } from '@aws-sdk/util-dynamodb';
import type { AwsCall, FaultRule } from '../../local/types.ts';

const ROOT = new URL('../..', import.meta.url).pathname;
const NODE = join(ROOT, 'node_modules/.bin/node');

export interface BusEvent {
  readonly id: string;
  readonly source: string;
  readonly 'detail-type': string;
  readonly detail: Record<string, unknown> & { readonly uploadId: string; readonly eventId: string };
}

/**
 * A local stack in a process of its own, as `npm start` runs it: so a test can kill it, start it again, and see
 * nothing but what its interfaces show.
 */
export class TestStack {
  apiUrl = '';
  awsEndpointUrl = '';
  bucketName = '';
  tableName = '';
  stateMachineArn = '';
  region = '';
  /** Of the process that everything runs in. */
  pid = 0;
  /** The developer's own keys. */
  accessKeyId = '';
  secretAccessKey = '';
  /** What the API trusts, where it asks for tokens. */
  jwt: { readonly issuer: string; readonly audience: string } | undefined;
  functionNames: Readonly<Record<string, string>> = {};
  s3 = new S3Client({});
  dynamodb = new DynamoDBClient({});
  stepFunctions = new SFNClient({});
  lambda = new LambdaClient({});
  readonly #dir: string;
  readonly #env: Record<string, string>;
  #process: ChildProcess | undefined;
  #output = '';
  #port = '0';
  #events: { seq: number; event: BusEvent }[] = [];

  constructor(options: { env?: Record<string, string>; context?: Record<string, unknown> } = {}) {
    this.#dir = mkdtempSync(join(tmpdir(), 'uploads-'));
    // Engines may be shared between stacks: each has its own names there.
    const context = { stackName: `T${randomBytes(4).toString('hex')}`, ...options.context };
    this.#env = { LOCAL_RETRY_SCALE: '0.02', CDK_CONTEXT_JSON: JSON.stringify(context), ...options.env };
  }

  get dir(): string {
    return this.#dir;
  }

  async start(): Promise<this> {
    const end = Date.now() + 5000;
    for (;;) {
      try {
        return await this.#startOnce();
      } catch (error) {
        // Between two starts a connection going out may hold the port for a moment.
        if (!/port \d+ is in use/.test(this.#output) || Date.now() > end) throw error;
        await pause(100);
      }
    }
  }

  async #startOnce(): Promise<this> {
    const { JEST_WORKER_ID: _, NODE_OPTIONS: __, ...env } = process.env;
    this.#output = '';
    const child = spawn(NODE, ['--disable-warning=ExperimentalWarning', 'local/main.ts'], {
      cwd: ROOT,
      env: { ...env, ...this.#env, PORT: this.#port, LOCAL_DIR: this.#dir },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#process = child;
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (data) => {
        this.#output += String(data);
      });
    const file = join(this.#dir, 'stack.json');
    const description = await until('the stack to be ready', 90_000, () => {
      if (child.exitCode !== null) throw new Error(`The stack ended (${child.exitCode}): ${this.#output}`);
      if (!existsSync(file)) return undefined;
      const read = JSON.parse(readFileSync(file, 'utf8'));
      // One that a killed stack left behind names another process.
      return read.pid === child.pid ? read : undefined;
    });
    Object.assign(this, description);
    this.#port = new URL(this.apiUrl).port;
    const config = {
      endpoint: description.awsEndpointUrl,
      region: description.region,
      credentials: { accessKeyId: description.accessKeyId, secretAccessKey: description.secretAccessKey },
      requestChecksumCalculation: 'WHEN_REQUIRED' as const,
      responseChecksumValidation: 'WHEN_REQUIRED' as const,
    };
    this.s3 = new S3Client({ ...config, forcePathStyle: true });
    this.dynamodb = new DynamoDBClient(config);
    this.stepFunctions = new SFNClient(config);
    this.lambda = new LambdaClient(config);
    return this;
  }

  /** Ends the process at once, as a power cut would. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** Ends it in order, and removes what it kept. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM');
    if (process.env.KEEP_STACKS) console.log(`kept ${this.#dir}\n${this.#output}`);
    else rmSync(this.#dir, { recursive: true, force: true });
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await Promise.race([ended, pause(20_000, undefined, { ref: false }).then(() => child.kill('SIGKILL'))]);
    await ended;
  }

  /** A request to the API; problems and answers alike come back. */
  async api(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Response> {
    return await fetch(`${this.apiUrl}${path}`, {
      method,
      headers: body === undefined ? headers : { 'content-type': 'application/json', ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  }

  async #local<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await fetch(`${this.awsEndpointUrl}/_local/${path}`, {
      method,
      ...(body !== undefined && {
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json' },
      }),
    });
    if (!response.ok)
      throw new Error(`${method} /_local/${path}: ${response.status} ${await response.text()}`);
    return (response.status === 204 ? undefined : await response.json()) as T;
  }

  async setFaults(rules: readonly FaultRule[]): Promise<void> {
    await this.#local('POST', 'faults', rules);
  }

  /** The rules that are set, with how often each one struck. */
  async faults(): Promise<{ rule: FaultRule; seen: number; struck: number }[]> {
    const { rules } = await this.#local<{ rules: { rule: FaultRule; seen: number; struck: number }[] }>(
      'GET',
      'faults',
    );
    return rules;
  }

  async calls(after = 0): Promise<AwsCall[]> {
    return (await this.#local<{ calls: AwsCall[] }>('GET', `calls?after=${after}`)).calls;
  }

  async clearCalls(): Promise<void> {
    await this.#local('DELETE', 'calls');
  }

  async advance(seconds: number): Promise<void> {
    await this.#local('POST', 'clock', { advanceSeconds: seconds });
  }

  /** One run of DynamoDB's TTL; gives how many items it deleted. */
  async sweepTtl(): Promise<number> {
    return (await this.#local<{ deleted: number }>('POST', 'ttl')).deleted;
  }

  /** The stack's own controls, `/_local/…`. */
  async control<T = unknown>(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown): Promise<T> {
    return await this.#local<T>(method, path, body);
  }

  async setWithoutGrants(without: readonly unknown[]): Promise<void> {
    await this.#local('POST', 'iam', { without });
  }

  async grants(): Promise<Record<string, unknown>[]> {
    return (await this.#local<{ grants: Record<string, unknown>[] }>('GET', 'grants')).grants;
  }

  /** Events on the bus from this service, oldest first. */
  async events(uploadId?: string): Promise<BusEvent[]> {
    // Events never change: only the new ones are fetched, a page at a time.
    for (;;) {
      const after = this.#events.at(-1)?.seq ?? 0;
      const { events } = await this.#local<{ events: { seq: number; event: BusEvent }[] }>(
        'GET',
        `events?after=${after}`,
      );
      // Another caller may have fetched the same meanwhile.
      const known = this.#events.at(-1)?.seq ?? 0;
      this.#events.push(...events.filter(({ seq }) => seq > known));
      if (events.length === 0) break;
    }
    return this.#events
      .map(({ event }) => event)
      .filter(
        ({ source, detail }) => source === 'resumable-uploads' && (!uploadId || detail.uploadId === uploadId),
      );
  }

  async executions(uploadId?: string): Promise<{ name: string; status: string }[]> {
    const all: { name: string; status: string }[] = [];
    for (let before: number | undefined = -1; before !== undefined; ) {
      const page: { executions: typeof all; next?: number } = await this.#local(
        'GET',
        `executions?limit=1000${before < 0 ? '' : `&before=${before}`}`,
      );
      all.push(...page.executions);
      before = page.next;
    }
    return all.filter(({ name }) => !uploadId || name.startsWith(uploadId));
  }

  /** Redrives an execution, as an operator would from the console. */
  async redrive(name: string): Promise<void> {
    const executionArn = `${this.stateMachineArn.replace(':stateMachine:', ':execution:')}:${name}`;
    await this.stepFunctions.send(new RedriveExecutionCommand({ executionArn }));
  }

  async execution(name: string): Promise<Record<string, unknown>> {
    return await this.#local('GET', `executions/${name}`);
  }

  /** Invokes a function by its short name, and gives what it returned. */
  async invoke(name: string, payload: unknown = {}): Promise<{ payload: unknown; error?: string }> {
    const { Payload, FunctionError } = await this.lambda.send(
      new InvokeCommand({ FunctionName: this.functionNames[name] ?? name, Payload: JSON.stringify(payload) }),
    );
    const text = Payload ? Buffer.from(Payload).toString() : '';
    return { payload: text ? JSON.parse(text) : undefined, ...(FunctionError && { error: FunctionError }) };
  }

  /** One run of the watchdog. */
  async watch(): Promise<unknown> {
    const { payload, error } = await this.invoke('watchdog');
    if (error) throw new Error(`The watchdog failed: ${JSON.stringify(payload)}`);
    return payload;
  }

  async objects(prefix = ''): Promise<string[]> {
    const keys: string[] = [];
    for await (const page of paginateListObjectsV2(
      { client: this.s3 },
      { Bucket: this.bucketName, Prefix: prefix },
    ))
      for (const { Key } of page.Contents ?? []) keys.push(Key ?? '');
    return keys;
  }

  async multipartUploads(prefix = ''): Promise<string[]> {
    const { Uploads } = await this.s3.send(
      new ListMultipartUploadsCommand({ Bucket: this.bucketName, Prefix: prefix }),
    );
    return (Uploads ?? []).map(({ Key, UploadId }) => `${Key}?${UploadId}`);
  }

  async items(): Promise<Record<string, unknown>[]> {
    const items: Record<string, unknown>[] = [];
    for await (const { Items } of paginateScan({ client: this.dynamodb }, { TableName: this.tableName }))
      for (const item of Items ?? []) items.push(unmarshall(item));
    return items;
  }
}

/** Asks again until there is an answer. */
export async function until<T>(
  what: string,
  timeoutMs: number,
  ask: () => T | undefined | Promise<T | undefined>,
): Promise<T> {
  const end = Date.now() + timeoutMs;
  for (let wait = 10; ; wait = Math.min(wait * 1.5, 200)) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > end) throw new Error(`Waited ${timeoutMs} ms for ${what}, in vain.`);
    await pause(wait);
  }
}
