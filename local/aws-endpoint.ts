import { appendFileSync, mkdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import type { LocalRoutes } from './aws/control.ts';
import type { Credentials } from './aws/credentials.ts';
import { createFrontDoor, type FrontDoor } from './aws/front-door.ts';
import { listenOnSamePort } from './aws-port.ts';
import { createDynamoDb } from './dynamodb.ts';
import { createEvents } from './events.ts';
import type { FunctionSettings } from './lambda/function-settings.ts';
import { createFunctionPool, type FunctionFault, type LocalFunctionPool } from './lambda/pool.ts';
import { bucketOptions } from './s3/bucket.ts';
import { createS3Engine, type S3Engine } from './s3/engine.ts';
import { createS3Forwarder } from './s3/forward.ts';
import { createStates } from './states/engine.ts';
import { AwsError, type Caller, type Clock, type LocalTemplate } from './types.ts';

export interface AwsEndpointOptions {
  readonly dir: string;
  /** 0 takes that of the folder's last start, or else any. */
  readonly port: number;
  readonly template: LocalTemplate;
  readonly credentials: Credentials;
  readonly clock: Clock & { readonly buffer: SharedArrayBuffer };
  /** Another S3 to put behind the endpoint. @default our own, in `dir` */
  readonly s3?:
    | { readonly endpoint: string; readonly accessKeyId: string; readonly secretAccessKey: string }
    | undefined;
  /** Another DynamoDB to put behind the endpoint. @default our own, in `dir` */
  readonly dynamodbEndpoint?: string | undefined;
  /** The bucket that is used, also where the template does not make it. */
  readonly bucketName: string;
  /** The table of uploads. */
  readonly tableName: string;
  /** Multiplies the pauses before Step Functions, EventBridge and Lambda try again. @default 1 */
  readonly retryTimeScale?: number | undefined;
  /** Whether schedules run by themselves when they are due. @default true */
  readonly schedules?: boolean | undefined;
  readonly log: (line: string) => void;
}

export interface AwsEndpoint {
  readonly url: string;
  readonly pool: LocalFunctionPool;
  readonly frontDoor: FrontDoor;
}

/** Real S3 looks at its lifecycle rules about once a day. */
const LIFECYCLE_INTERVAL_MS = 3_600_000;

/** Lambda waits a minute before it tries an asynchronous event again, then two. */
const ASYNC_RETRY_DELAYS_MS = [1000, 2000];

/**
 * The template's services, behind one URL.
 *
 * @param closers gets what ends each part, in the order of their start; also of a start that fails half-way
 */
export async function openAwsEndpoint(
  options: AwsEndpointOptions,
  closers: (() => unknown)[],
): Promise<AwsEndpoint> {
  const { dir, template, credentials, clock, log, retryTimeScale = 1 } = options;
  let url = '';
  let frontDoor: FrontDoor | undefined;
  const door = (): FrontDoor => {
    if (!frontDoor) throw new Error('the AWS endpoint is not open yet');
    return frontDoor;
  };

  const s3 = await openS3(options);
  closers.push(() => s3.close());
  const { dynamodbEndpoint } = options;
  const dynamodb = await createDynamoDb({
    ...(dynamodbEndpoint === undefined ? { dir: join(dir, 'dynamodb') } : { endpoint: dynamodbEndpoint }),
    clock,
    template,
  });
  closers.push(() => dynamodb.close());

  /** What a service cannot deliver: the queue takes it only from who may send to it, and is the last to do so. */
  const sendToDeadLetters = (caller: Caller, queueArn: string, message: object): void => {
    const owner = template.byType('AWS::SQS::Queue').find(({ arn }) => arn === queueArn);
    const need = { action: 'sqs:SendMessage', resource: queueArn, ...(owner && { owner }) };
    const refusal = door().access.refusal(caller, [need]);
    if (refusal) log(`an event is lost: ${refusal.message}`);
    else sendToQueue(dir, queueArn, { at: clock.now(), ...message });
  };

  const pool = createFunctionPool({
    template,
    clock,
    credentials,
    awsEndpointUrl: () => url,
    log,
    logDir: join(dir, 'logs'),
    deadLetter: (settings, event, failure) =>
      sendToDeadLetters(roleOf(settings), settings.deadLetterArn ?? '', {
        functionName: settings.name,
        failure,
        event: JSON.parse(event),
      }),
  });
  closers.push(() => pool.close());

  const states = createStates({
    template,
    dir,
    clock,
    call: (service, operation, input, caller) => door().call(service, operation, input, caller),
    emit: (event) => events.emit(event),
    retryTimeScale,
    log,
  });
  closers.push(() => states.close());
  const events = createEvents({
    template,
    dir,
    clock,
    call: (service, operation, input, caller) => door().call(service, operation, input, caller),
    deadLetter: ({ queueArn, from, ruleArn, targetArn, input, reason }) => {
      const fn = pool.functions.find(({ arn }) => arn === targetArn);
      sendToDeadLetters(
        from === 'lambda' && fn
          ? roleOf(fn)
          : { kind: 'service', service: 'events.amazonaws.com', sourceArn: ruleArn },
        queueArn,
        { rule: ruleArn, target: targetArn, reason, event: input },
      );
    },
    retryDelaysMs: ASYNC_RETRY_DELAYS_MS.map((ms) => ms * retryTimeScale),
    ...(options.schedules === false && { lookEveryMs: 0 }),
    log,
  });
  closers.push(() => events.close());

  frontDoor = createFrontDoor({
    template,
    credentials,
    clock,
    pool,
    engines: { s3, dynamodb: dynamodb.engine, states: states.engine, events: events.engine },
    endpoint: () => url,
    routes: {
      'GET /_local/events': ({ query }) => events.list(numbers(query, ['after', 'limit'])),
      'GET /_local/events/dead': () => ({ events: events.dead() }),
      'POST /_local/schedules/{name}/run': ({ params }) => events.runSchedule(params.name ?? ''),
      'GET /_local/uploads': async ({ query }) => {
        // It brings the functions' own code, and the SDK with it: a start need not wait for that.
        const { listUploads } = await import('./uploads.ts');
        return await listUploads(dynamodb.engine, options.tableName, clock.now(), query);
      },
      'GET /_local/object-url': async ({ query }) => {
        const { signObjectUrl } = await import('./object-url.ts');
        const { region } = template;
        const { bucketName: Bucket } = options;
        const target = { Bucket, Key: query.get('key') ?? '' };
        return { url: await signObjectUrl({ endpoint: url, region, credentials: credentials.root }, target) };
      },
      'GET /_local/executions': ({ query }) => states.list(numbers(query, ['limit', 'before'])),
      'GET /_local/executions/{name}': ({ params }) => {
        const execution = states.get(params.name ?? '');
        if (!execution)
          throw new AwsError('ExecutionDoesNotExist', `there is no execution ${params.name}`, 404);
        return execution;
      },
      'POST /_local/executions/{name}/redrive': async ({ params }) => {
        const execution = states.get(params.name ?? '');
        if (!execution)
          throw new AwsError('ExecutionDoesNotExist', `there is no execution ${params.name}`, 404);
        const { executionArn } = execution;
        const { status, body } = await door().call(
          'states',
          'RedriveExecution',
          { executionArn },
          { kind: 'root' },
        );
        if (status !== 200) throw new AwsError(String(body.__type), String(body.message), status);
        return body;
      },
      'POST /_local/async': ({ body }) => {
        const { duplicate } = (body ?? {}) as { duplicate?: unknown };
        if (typeof duplicate !== 'boolean') throw new RangeError('duplicate is true or false');
        pool.duplicateAsync = duplicate;
        return { duplicate };
      },
      'POST /_local/functions': ({ body }) => pool.setFault(body as FunctionFault),
      'POST /_local/events/disorder': ({ body }) => {
        const { duplicate = false, shuffle } = (body ?? {}) as { duplicate?: unknown; shuffle?: unknown };
        if (typeof duplicate !== 'boolean') throw new RangeError('duplicate is true or false');
        if (shuffle !== undefined && typeof shuffle !== 'number')
          throw new RangeError('shuffle is a number, the seed');
        events.disturb({ duplicate, ...(shuffle !== undefined && { shuffle }) });
        return { duplicate, shuffle };
      },
      'POST /_local/ttl': async () => ({ deleted: await dynamodb.sweepTtl() }),
      'POST /_local/lifecycle': () => s3.applyLifecycle(),
    } satisfies LocalRoutes,
    log,
  });
  closers.push(() => door().close());

  const server = createServer((request, response) => void door().handle(request, response));
  // Parts of gigabytes take their time.
  server.requestTimeout = 0;
  const port = await listenOnSamePort(server, options.port, dir);
  closers.push(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  url = `http://127.0.0.1:${port}`;
  states.resume();
  events.resume();
  return { url, pool, frontDoor };
}

interface LocalS3 extends S3Engine {
  applyLifecycle(): Promise<{ readonly abortedUploads: number; readonly expiredObjects: number }>;
}

async function openS3({ dir, clock, template, s3, bucketName, log }: AwsEndpointOptions): Promise<LocalS3> {
  const buckets = new Map(
    template.byType('AWS::S3::Bucket').map((one) => [one.physicalId, bucketOptions(one.properties)]),
  );
  if (!buckets.has(bucketName)) buckets.set(bucketName, {});
  if (s3) {
    const forwarder = createS3Forwarder(s3);
    for (const [name, settings] of buckets) await forwarder.createBucket(name, settings);
    const applyLifecycle = async () => {
      throw new AwsError('NotImplemented', 'the S3 behind the endpoint keeps its own lifecycle rules', 501);
    };
    return { ...forwarder, applyLifecycle };
  }
  const engine = createS3Engine({ dir: join(dir, 's3'), clock });
  for (const [name, settings] of buckets) engine.createBucket(name, settings);
  const timer = setInterval(() => {
    engine.applyLifecycle().catch((error: Error) => log(`S3 lifecycle: ${error.stack ?? error.message}`));
  }, LIFECYCLE_INTERVAL_MS);
  timer.unref();
  return {
    ...engine,
    close: () => {
      clearInterval(timer);
      engine.close();
    },
  };
}

const roleOf = ({ role, name }: FunctionSettings): Caller => ({
  kind: 'role',
  roleLogicalId: role.logicalId,
  roleArn: role.arn ?? '',
  functionName: name,
});

/** A queue is a file with a JSON line for each message: something to look at, with nothing that takes from it. */
function sendToQueue(dir: string, queueArn: string, message: object): void {
  mkdirSync(join(dir, 'queues'), { recursive: true });
  appendFileSync(join(dir, 'queues', `${queueArn.split(':').at(-1)}.jsonl`), `${JSON.stringify(message)}\n`);
}

function numbers<Name extends string>(
  query: URLSearchParams,
  names: readonly Name[],
): { [name in Name]?: number } {
  const found: { [name in Name]?: number } = {};
  for (const name of names) {
    const value = query.get(name);
    if (value !== null) found[name] = Number(value);
  }
  return found;
}
