import {
  BatchWriteItemCommand,
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
} from '@aws-sdk/client-dynamodb';
import { EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import {
  CompleteMultipartUploadCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { SFNClient, StartExecutionCommand } from '@aws-sdk/client-sfn';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { createDynamoDb, type DynamoDb } from '../../../../local/dynamodb.ts';
import { AwsError, type Caller, type FaultRule, type JsonEngine } from '../../../../local/types.ts';
import {
  allow,
  bucket,
  lambdaFunction,
  movableClock,
  role,
  roleCaller,
  startFrontDoor,
  table,
  templateOf,
} from './fakes.ts';
import { send } from './wire.ts';

const resources = [
  bucket('videos', {
    CorsConfiguration: {
      CorsRules: [{ AllowedOrigins: ['https://page'], AllowedMethods: ['PUT'], ExposedHeaders: ['ETag'] }],
    },
  }),
  table('uploads'),
  lambdaFunction('stack-receive', 'Receive'),
  role(
    'Receive',
    'lambda.amazonaws.com',
    allow(['s3:PutObject', 's3:GetObject', 's3:DeleteObject'], 'arn:aws:s3:::videos/staging/*'),
    allow('dynamodb:*Item', '*'),
    allow('states:StartExecution', '*'),
  ),
  role(
    'Lister',
    'lambda.amazonaws.com',
    allow('s3:GetObject', 'arn:aws:s3:::videos/*'),
    allow('s3:ListBucket', 'arn:aws:s3:::videos'),
  ),
];
const receive: Caller = roleCaller('Receive', { functionName: 'stack-receive', workerId: 7 });
const lister: Caller = roleCaller('Lister', { functionName: 'stack-lister', workerId: 8 });

const seen: { service: string; operation: string; input: Record<string, unknown>; caller: Caller }[] = [];
const recorder =
  (service: string): JsonEngine =>
  (operation, input, caller) => {
    seen.push({ service, operation, input, caller });
    if (input['name'] === 'taken')
      return Promise.reject(new AwsError('ExecutionAlreadyExists', 'Execution Already Exists: taken'));
    if (input['name'] === 'broken') return Promise.reject(new Error('a bug in the engine'));
    return Promise.resolve({ status: 200, body: { executionArn: 'arn', FailedEntryCount: 0, startDate: 1 } });
  };

let stack: Awaited<ReturnType<typeof startFrontDoor>>;
let db: DynamoDb;
beforeAll(async () => {
  db = await createDynamoDb({ clock: movableClock(), template: templateOf(resources) });
  stack = await startFrontDoor(resources, {
    engines: { dynamodb: db.engine, states: recorder('states'), events: recorder('events') },
    routes: {
      'GET /_local/executions/{name}': ({ params }) => {
        if (params['name'] === 'none') throw new AwsError('NotFound', 'no such execution', 404);
        return { name: params['name'] };
      },
    },
  });
});
afterAll(async () => {
  await stack.close();
  await db.close();
});
afterEach(() => {
  stack.door.faults.set([]);
  stack.door.access.setWithout([]);
  stack.door.calls.clear();
  stack.s3.handled.length = 0;
  stack.pool.killed.length = 0;
  stack.pool.invoked.length = 0;
  stack.logged.length = 0;
  seen.length = 0;
});

const settings = (caller: Caller = { kind: 'root' }) => ({
  endpoint: stack.url,
  region: 'us-east-1',
  maxAttempts: 1,
  credentials: caller.kind === 'root' ? stack.credentials.root : stack.credentials.issue(caller),
});
const s3 = (caller?: Caller) =>
  new S3Client({ ...settings(caller), forcePathStyle: true, requestChecksumCalculation: 'WHEN_REQUIRED' });
const dynamodb = (caller?: Caller) => new DynamoDBClient(settings(caller));
const put = (Key = 'staging/a b') => new PutObjectCommand({ Bucket: 'videos', Key, Body: 'body' });
const key = { pk: { S: 'p' }, sk: { S: 's' } };
const item = (name: string) =>
  new PutItemCommand({ TableName: 'uploads', Item: { ...key, sk: { S: name } } });
const failure = async (promise: Promise<unknown>) => {
  try {
    await promise;
  } catch (error) {
    const { name, message, $metadata } = error as Error & { $metadata?: { httpStatusCode?: number } };
    return { name, message, status: $metadata?.httpStatusCode };
  }
  throw new Error('it did not fail');
};
const lastCall = () => stack.door.calls.after(0).at(-1);
const control = (method: string, path: string, body?: unknown) =>
  send(`${stack.url}/_local/${path}`, { method, ...(body !== undefined && { body: JSON.stringify(body) }) });

describe('services as the SDK speaks to them', () => {
  test('S3 streams through, and the call is logged with who, what and how much', async () => {
    const { ETag } = await s3(receive).send(put());
    expect(ETag).toBe('"e"');
    expect(stack.s3.handled).toEqual([
      { method: 'PUT', url: '/videos/staging/a%20b?x-id=PutObject', bytes: 4 },
    ]);
    expect(lastCall()).toMatchObject({
      service: 's3',
      operation: 'PutObject',
      caller: receive,
      functionName: 'receive',
      presigned: false,
      resource: 'videos/staging/a b',
      status: 200,
      bytesIn: 4,
      bytesOut: 0,
    });
  });

  test('DynamoDB answers with what was asked of its capacity and logs the units', async () => {
    const client = dynamodb(receive);
    const plain = await client.send(item('a'));
    expect(plain.ConsumedCapacity).toBeUndefined();
    expect(lastCall()).toMatchObject({
      operation: 'PutItem',
      resource: 'uploads',
      writeUnits: 1,
      status: 200,
    });
    const asked = await client.send(
      new GetItemCommand({
        TableName: 'uploads',
        Key: { ...key, sk: { S: 'a' } },
        ReturnConsumedCapacity: 'TOTAL',
      }),
    );
    expect(asked.ConsumedCapacity).toEqual({ TableName: 'uploads', CapacityUnits: 0.5 });
    expect(lastCall()).toMatchObject({ readUnits: 0.5 });
    const failed = new PutItemCommand({
      TableName: 'uploads',
      Item: { ...key, sk: { S: 'a' } },
      ConditionExpression: 'attribute_not_exists(pk)',
      ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
    });
    await expect(client.send(failed)).rejects.toMatchObject({
      name: 'ConditionalCheckFailedException',
      Item: { ...key, sk: { S: 'a' } },
    });
    expect(lastCall()).toMatchObject({
      errorCode: 'ConditionalCheckFailedException',
      status: 400,
      writeUnits: 1,
    });
  });

  test('Step Functions and EventBridge get operation, input and caller', async () => {
    const start = (name: string) => new StartExecutionCommand({ stateMachineArn: 'arn:m', name });
    const client = new SFNClient(settings(receive));
    expect((await client.send(start('n'))).executionArn).toBe('arn');
    expect(seen.at(-1)).toEqual({
      service: 'states',
      operation: 'StartExecution',
      input: { stateMachineArn: 'arn:m', name: 'n' },
      caller: receive,
    });
    expect(await failure(client.send(start('taken')))).toMatchObject({
      name: 'ExecutionAlreadyExists',
      status: 400,
    });
    const entries = [{ Source: 's', DetailType: 'd', Detail: '{}' }];
    await new EventBridgeClient(settings()).send(new PutEventsCommand({ Entries: entries }));
    expect(seen.at(-1)).toMatchObject({
      service: 'events',
      operation: 'PutEvents',
      input: { Entries: entries },
    });
  });

  test('an engine that breaks is a loud 500', async () => {
    const client = new SFNClient(settings());
    const start = new StartExecutionCommand({ stateMachineArn: 'arn:m', name: 'broken' });
    expect(await failure(client.send(start))).toMatchObject({ name: 'InternalFailure', status: 500 });
    expect(stack.logged.join()).toContain('a bug in the engine');
  });

  test('Lambda is invoked by name or ARN, waiting or not', async () => {
    const client = new LambdaClient(settings());
    const answer = await client.send(
      new InvokeCommand({
        FunctionName: stack.template.byType('AWS::Lambda::Function')[0]?.arn,
        Payload: '{"a":1}',
      }),
    );
    expect(answer.FunctionError).toBeUndefined();
    expect(answer.Payload?.transformToString()).toBe('{"done":true}');
    const queued = await client.send(
      new InvokeCommand({ FunctionName: 'stack-receive', InvocationType: 'Event' }),
    );
    expect(queued.StatusCode).toBe(202);
    expect(stack.pool.invoked).toEqual([
      { name: 'stack-receive', event: { a: 1 }, how: 'sync' },
      { name: 'stack-receive', event: {}, how: 'async' },
    ]);
    expect(await failure(client.send(new InvokeCommand({ FunctionName: 'nobody' })))).toMatchObject({
      name: 'ResourceNotFoundException',
      status: 404,
    });
  });

  test('a function error comes in its header', async () => {
    const failing = await startFrontDoor(resources, {
      pool: {
        ...stack.pool,
        invoke: () =>
          Promise.resolve({
            functionError: 'Handled' as const,
            payload: { errorType: 'Oops', errorMessage: 'no' },
          }),
      },
    });
    const client = new LambdaClient({
      endpoint: failing.url,
      region: 'us-east-1',
      credentials: failing.credentials.root,
    });
    const answer = await client.send(new InvokeCommand({ FunctionName: 'stack-receive' }));
    expect([answer.FunctionError, answer.Payload?.transformToString()]).toEqual([
      'Unhandled',
      '{"errorType":"Oops","errorMessage":"no"}',
    ]);
    await failing.close();
  });
});

describe('who may', () => {
  test("a role's missing grant is AccessDenied in the service's own words, and the engine hears nothing", async () => {
    const denied = await failure(s3(receive).send(put('uploads/x')));
    expect(denied).toMatchObject({ name: 'AccessDenied', status: 403 });
    expect(denied.message).toContain(
      'assumed-role/Receive/stack-receive is not authorized to perform: s3:PutObject on resource: arn:aws:s3:::videos/uploads/x',
    );
    expect(stack.s3.handled).toEqual([]);
    expect(lastCall()).toMatchObject({ status: 403, errorCode: 'AccessDenied' });
    expect(await failure(dynamodb(lister).send(item('b')))).toMatchObject({
      name: 'AccessDeniedException',
      status: 400,
    });
  });

  test('a missing key is 404 for who may list, and 403 for others', async () => {
    const get = new GetObjectCommand({ Bucket: 'videos', Key: 'staging/missing' });
    const head = new HeadObjectCommand({ Bucket: 'videos', Key: 'staging/missing' });
    expect(await failure(s3(lister).send(get))).toMatchObject({ name: 'NoSuchKey', status: 404 });
    expect(await failure(s3(receive).send(get))).toMatchObject({ name: 'AccessDenied', status: 403 });
    expect(lastCall()).toMatchObject({ status: 403, errorCode: 'AccessDenied' });
    expect(await failure(s3(receive).send(head))).toMatchObject({ status: 403 });
    expect(await failure(s3(lister).send(head))).toMatchObject({ status: 404 });
    expect(await failure(s3().send(get))).toMatchObject({ status: 404 });
  });

  test('DeleteObjects is judged key by key and reaches the engine with its body', async () => {
    const remove = (...keys: string[]) =>
      s3(receive).send(
        new DeleteObjectsCommand({ Bucket: 'videos', Delete: { Objects: keys.map((Key) => ({ Key })) } }),
      );
    await remove('staging/a', 'staging/b&<c>').catch(() => undefined);
    expect(stack.s3.handled[0]?.bytes).toBeGreaterThan(50);
    stack.s3.handled.length = 0;
    expect((await remove('uploads/a')).Errors).toMatchObject([{ Key: 'uploads/a', Code: 'AccessDenied' }]);
    expect(await failure(remove('staging/a', 'uploads/b'))).toMatchObject({
      name: 'NotImplemented',
      status: 501,
    });
    expect(stack.s3.handled).toEqual([]);
  });

  test('anonymous requests are denied, preflights pass to the engine unsigned', async () => {
    expect(await send(`${stack.url}/videos/k`)).toMatchObject({
      status: 403,
      body: expect.stringContaining('<Code>AccessDenied</Code>'),
    });
    expect(stack.s3.handled).toEqual([]);
    expect(await send(`${stack.url}/videos/k`, { method: 'OPTIONS' })).toMatchObject({ status: 200 });
    expect(stack.s3.handled).toHaveLength(1);
    const target = {
      'x-amz-target': 'DynamoDB_20120810.GetItem',
      'content-type': 'application/x-amz-json-1.0',
    };
    expect(await send(stack.url, { method: 'POST', headers: target, body: '{}' })).toMatchObject({
      status: 400,
      body: expect.stringContaining('MissingAuthenticationTokenException'),
    });
  });

  test('a grant can be taken away over HTTP, and grants tell their use', async () => {
    await s3(receive).send(put());
    const { grants } = JSON.parse((await control('GET', 'grants')).body) as {
      grants: { holder: string; used: { action: string }[] }[];
    };
    expect(grants.find(({ holder }) => holder === 'Receive')?.used).toMatchObject([
      { action: 's3:PutObject' },
      { action: 's3:GetObject' },
      { action: 's3:DeleteObject' },
    ]);
    const without = [{ holder: 'Receive', statementIndex: 0, action: 's3:PutObject' }];
    expect((await control('POST', 'iam', { without })).status).toBe(200);
    expect(await failure(s3(receive).send(put()))).toMatchObject({ name: 'AccessDenied' });
    expect((await control('POST', 'iam', { without: [{ holder: 'X', statementIndex: 0 }] })).status).toBe(
      400,
    );
  });
});

describe('presigned URLs', () => {
  const sign = (expiresIn = 60) =>
    getSignedUrl(
      s3(receive),
      new UploadPartCommand({
        Bucket: 'videos',
        Key: 'staging/日本 +~.mp4',
        UploadId: 'u',
        PartNumber: 1,
        ContentLength: 4,
      }),
      { expiresIn },
    );

  test("act with the signer's rights but are the client's calls", async () => {
    const url = await sign();
    expect(await send(url, { method: 'PUT', body: 'four' })).toMatchObject({ status: 200 });
    const call = lastCall();
    expect(call).toMatchObject({
      presigned: true,
      operation: 'UploadPart',
      resource: 'videos/staging/日本 +~.mp4',
    });
    expect(call).not.toHaveProperty('functionName');
    stack.door.access.setWithout([{ holder: 'Receive', statementIndex: 0 }]);
    expect((await send(url, { method: 'PUT', body: 'four' })).status).toBe(403);
  });

  test('with another length are refused, in a form that the page may read', async () => {
    const answer = await send(await sign(), {
      method: 'PUT',
      body: 'fives',
      headers: { origin: 'https://page' },
    });
    expect(answer).toMatchObject({
      status: 403,
      headers: { 'access-control-allow-origin': 'https://page' },
      body: expect.stringContaining('<Code>SignatureDoesNotMatch</Code>'),
    });
    expect(stack.s3.handled).toEqual([]);
  });

  test("expire by the stack's clock", async () => {
    const url = await sign(3600);
    expect((await control('POST', 'clock', { advanceSeconds: 3700 })).status).toBe(200);
    const answer = await send(url, { method: 'PUT', body: 'four' });
    stack.clock.advance(-3_700_000);
    expect(answer.status).toBe(403);
    expect(answer.body).toMatch(/<Message>Request has expired<\/Message>.*<Expires>.*<ServerTime>/);
    expect(lastCall()).toMatchObject({ status: 403, errorCode: 'AccessDenied' });
  });
});

test("an SDK client finds the stack's time when the clock was advanced", async () => {
  const client = new S3Client({ ...settings(receive), maxAttempts: 2, forcePathStyle: true });
  stack.clock.advance(86_400_000);
  try {
    expect(await failure(s3(receive).send(put()))).toMatchObject({
      name: 'RequestTimeTooSkewed',
      status: 403,
    });
    await client.send(put());
    await client.send(put());
  } finally {
    stack.clock.advance(-86_400_000);
  }
  expect(stack.door.calls.after(0).map(({ status }) => status)).toEqual([403, 403, 200, 200]);
});

describe('faults', () => {
  const set = async (...rules: FaultRule[]) =>
    expect(await control('POST', 'faults', rules)).toMatchObject({ status: 200 });

  test('fail in the shape of the service, once', async () => {
    await set(
      { service: 's3', action: { kind: 'fail', status: 503, code: 'SlowDown', message: 'Please reduce' } },
      { service: 'dynamodb', action: { kind: 'fail', status: 400, code: 'ThrottlingException' } },
    );
    expect(await failure(s3(receive).send(put()))).toMatchObject({ name: 'SlowDown', status: 503 });
    expect(lastCall()).toMatchObject({ fault: 'fail SlowDown', errorCode: 'SlowDown', status: 503 });
    expect(await failure(dynamodb(receive).send(item('c')))).toMatchObject({
      name: 'ThrottlingException',
      status: 400,
    });
    await s3(receive).send(put());
    await dynamodb(receive).send(item('c'));
  });

  test.each(['kill', 'cut'] as const)(
    '%s before: nothing happens and the caller hears nothing',
    async (kind) => {
      await set(
        { service: 's3', caller: 'receive', action: { kind, when: 'before' } },
        { service: 'dynamodb', caller: 'receive', action: { kind, when: 'before' } },
      );
      expect(await failure(s3(receive).send(put()))).toMatchObject({
        message: expect.stringContaining('socket hang up'),
      });
      expect(lastCall()).toMatchObject({ status: 0, bytesOut: 0, fault: `${kind} before` });
      expect(await failure(dynamodb(receive).send(item(`${kind}-before`)))).toMatchObject({
        message: expect.stringContaining('socket hang up'),
      });
      expect(stack.s3.handled).toEqual([]);
      expect(stack.pool.killed).toEqual(kind === 'kill' ? [7, 7] : []);
      const got = await dynamodb().send(
        new GetItemCommand({ TableName: 'uploads', Key: { ...key, sk: { S: `${kind}-before` } } }),
      );
      expect(got.Item).toBeUndefined();
    },
  );

  test.each(['kill', 'cut'] as const)('%s after: it is done and the caller hears nothing', async (kind) => {
    await set(
      { service: 's3', caller: 'receive', action: { kind, when: 'after' } },
      { service: 'dynamodb', caller: 'receive', action: { kind, when: 'after' } },
    );
    expect(await failure(s3(receive).send(put()))).toMatchObject({
      message: expect.stringContaining('socket hang up'),
    });
    expect(lastCall()).toMatchObject({ status: 200, fault: `${kind} after` });
    expect(stack.s3.handled).toHaveLength(1);
    expect(await failure(dynamodb(receive).send(item(`${kind}-after`)))).toMatchObject({
      message: expect.stringContaining('socket hang up'),
    });
    const got = await dynamodb().send(
      new GetItemCommand({ TableName: 'uploads', Key: { ...key, sk: { S: `${kind}-after` } } }),
    );
    expect(got.Item).toBeDefined();
    expect(stack.pool.killed).toEqual(kind === 'kill' ? [7, 7] : []);
  });

  test('cut midway: half of an answer is heard', async () => {
    await set({ service: 's3', action: { kind: 'cut', when: 'midway' } });
    const get = new GetObjectCommand({ Bucket: 'videos', Key: 'staging/long' });
    const { Body, ContentLength } = await s3(receive).send(get);
    expect(ContentLength).toBe(100_000);
    let heard = 0;
    const reading = async () => {
      for await (const chunk of Body as AsyncIterable<Buffer>) heard += chunk.length;
    };
    expect(await failure(reading())).toMatchObject({ message: 'aborted' });
    expect(heard).toBe(50_000);
    expect(lastCall()).toMatchObject({ status: 0, bytesOut: 50_000, fault: 'cut midway' });
    const whole = await s3(receive).send(get);
    expect(await whole.Body?.transformToByteArray()).toHaveLength(100_000);
  });

  test('cut midway: half of a write reaches the engine, which then hears of the cut', async () => {
    await set({ service: 's3', action: { kind: 'cut', when: 'midway' } });
    const Body = Buffer.alloc(1_000_000);
    const long = new PutObjectCommand({ Bucket: 'videos', Key: 'staging/a', Body });
    expect(await failure(s3(receive).send(long))).toMatchObject({
      message: expect.stringMatching(/socket hang up|ECONNRESET|EPIPE/),
    });
    expect(stack.s3.handled).toEqual([]);
    expect(lastCall()).toMatchObject({ status: 0, bytesOut: 0, fault: 'cut midway' });
    expect(lastCall()?.bytesIn).toBeGreaterThanOrEqual(500_000);
    await s3(receive).send(long);
    expect(stack.s3.handled).toMatchObject([{ bytes: 1_000_000 }]);
    expect(stack.logged).toEqual([]);
  });

  test('a deletion of several keys is done in part, and the answer names what stays', async () => {
    await set({ service: 's3', action: { kind: 'partial', code: 'InternalError' } });
    const keys = ['staging/a', 'staging/b&<', 'staging/c'];
    const remove = new DeleteObjectsCommand({
      Bucket: 'videos',
      Delete: { Objects: keys.map((Key) => ({ Key })) },
    });
    const { Deleted, Errors } = await s3(receive).send(remove);
    expect(Deleted).toEqual([{ Key: 'staging/b&<' }]);
    expect(Errors).toMatchObject([
      { Key: 'staging/a', Code: 'InternalError' },
      { Key: 'staging/c', Code: 'InternalError' },
    ]);
    const document = '<Delete><Quiet>true</Quiet><Object><Key>staging/b&amp;&lt;</Key></Object></Delete>';
    expect(stack.s3.handled).toMatchObject([{ method: 'POST', bytes: document.length }]);
    expect(lastCall()).toMatchObject({ status: 200, fault: 'partial InternalError' });
  });

  test('a batch of writes is done in part', async () => {
    await set({ service: 'dynamodb', action: { kind: 'partial', code: 'none' } });
    const requests = ['w1', 'w2', 'w3'].map((sk) => ({ PutRequest: { Item: { ...key, sk: { S: sk } } } }));
    const { UnprocessedItems } = await dynamodb(receive).send(
      new BatchWriteItemCommand({ RequestItems: { uploads: requests } }),
    );
    expect(UnprocessedItems).toEqual({ uploads: [requests[0], requests[2]] });
    expect(lastCall()).toMatchObject({ status: 200, writeUnits: 1, fault: 'partial none' });
    const isThere = async (sk: string) => {
      const read = new GetItemCommand({ TableName: 'uploads', Key: { ...key, sk: { S: sk } } });
      return (await dynamodb().send(read)).Item !== undefined;
    };
    expect([await isThere('w1'), await isThere('w2'), await isThere('w3')]).toEqual([false, true, false]);
  });

  test('a kill passes over calls that no function makes', async () => {
    await set({ action: { kind: 'kill', when: 'before' } });
    await s3().send(put());
    expect(stack.pool.killed).toEqual([]);
  });

  test('delay holds the call up', async () => {
    await set({ service: 's3', action: { kind: 'delay', ms: 80 } });
    const started = performance.now();
    await s3(receive).send(put());
    expect(performance.now() - started).toBeGreaterThan(75);
    expect(lastCall()).toMatchObject({ fault: 'delay 80', status: 200 });
  });

  test('a late error is 200 with the error inside, and the upload is not completed', async () => {
    await set({ action: { kind: 'late-error', code: 'InternalError' } });
    const complete = new CompleteMultipartUploadCommand({
      Bucket: 'videos',
      Key: 'staging/a',
      UploadId: 'u',
      MultipartUpload: { Parts: [{ PartNumber: 1, ETag: 'e' }] },
    });
    expect(await failure(s3(receive).send(complete))).toMatchObject({ name: 'InternalError' });
    expect(stack.s3.handled).toEqual([]);
    expect(lastCall()).toMatchObject({
      status: 200,
      errorCode: 'InternalError',
      fault: 'late-error InternalError',
    });
  });

  test('a rule that cannot work is refused with 400', async () => {
    expect(await control('POST', 'faults', [{ action: { kind: 'explode' } }])).toMatchObject({ status: 400 });
    expect(await control('POST', 'faults', { not: 'a list' })).toMatchObject({ status: 400 });
    expect(await control('POST', 'faults', '[')).toMatchObject({ status: 400 });
  });
});

describe('calls from within the stack', () => {
  const workflow = roleCaller('Receive', {
    executionArn: 'arn:aws:states:us-east-1:000000000000:execution:m:run',
  });

  test('go by the same permissions, faults and log', async () => {
    const update = { TableName: 'uploads', Item: { ...key, sk: { S: 'w' } } };
    expect(await stack.door.call('dynamodb', 'PutItem', update, workflow)).toEqual({ status: 200, body: {} });
    expect(lastCall()).toMatchObject({ caller: workflow, writeUnits: 1 });
    expect(await stack.door.call('events', 'PutEvents', { Entries: [{}] }, workflow)).toMatchObject({
      status: 400,
      body: { __type: 'AccessDeniedException', message: expect.stringContaining('assumed-role/Receive/run') },
    });
    stack.door.faults.set([{ caller: 'workflow', action: { kind: 'cut', when: 'after' } }]);
    expect(await stack.door.call('dynamodb', 'PutItem', update, workflow)).toMatchObject({
      status: 503,
      body: { __type: 'ServiceUnavailable' },
    });
  });

  test('to S3 are real requests', async () => {
    const ok = await stack.door.call(
      's3',
      'PutObject',
      { Bucket: 'videos', Key: 'staging/w', Body: 'x' },
      workflow,
    );
    expect(ok).toEqual({ status: 200, body: { ETag: '"e"' } });
    expect(lastCall()).toMatchObject({ operation: 'PutObject', caller: workflow });
    const missing = { Bucket: 'videos', Key: 'uploads/x' };
    expect(await stack.door.call('s3', 'GetObject', missing, workflow)).toMatchObject({
      status: 403,
      body: { __type: 'AccessDenied' },
    });
    stack.clock.advance(86_400_000);
    expect(
      await stack.door.call('s3', 'PutObject', { ...missing, Key: 'staging/x', Body: 'x' }, workflow),
    ).toMatchObject({
      status: 200,
    });
    stack.clock.advance(-86_400_000);
  });
});

describe('/_local', () => {
  test('is served to localhost only', async () => {
    const from = (headers: Record<string, string>) => send(`${stack.url}/_local/calls`, { headers });
    expect(await from({})).toMatchObject({ status: 200 });
    expect(await from({ host: 'localhost:4000' })).toMatchObject({ status: 200 });
    expect(await from({ host: '[::1]:4000' })).toMatchObject({ status: 200 });
    expect(await from({ host: 'evil.example:4000' })).toMatchObject({ status: 403 });
    expect(await from({ host: 'localhost.evil.example' })).toMatchObject({ status: 403 });
    expect(await from({ origin: 'https://evil.example' })).toMatchObject({ status: 403 });
    expect(await from({ origin: 'http://localhost:3000' })).toMatchObject({ status: 200 });
  });

  test('gives calls after a number, forgets them, and takes further routes', async () => {
    await s3(receive).send(put());
    const calls = async (after: number) =>
      (JSON.parse((await control('GET', `calls?after=${after}`)).body) as { calls: { seq: number }[] }).calls;
    const [first] = await calls(0);
    expect(await calls(first?.seq ?? 0)).toEqual([]);
    expect(await control('DELETE', 'calls')).toMatchObject({ status: 204 });
    expect(await calls(0)).toEqual([]);
    expect(await control('GET', 'executions/a%20b')).toMatchObject({ status: 200, body: '{"name":"a b"}' });
    expect(await control('GET', 'executions/none')).toMatchObject({ status: 404 });
    expect(await control('PUT', 'faults')).toMatchObject({ status: 405 });
    expect(await control('GET', 'nothing')).toMatchObject({ status: 404 });
    expect(await control('POST', 'clock', { advanceSeconds: -1 })).toMatchObject({ status: 400 });
  });
});
