import { createHash } from 'node:crypto';
import { ConditionalCheckFailedException, DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import { S3Client } from '@aws-sdk/client-s3';
import { ExecutionAlreadyExists, SFNClient } from '@aws-sdk/client-sfn';
import { openDynalite } from '../../local/dynamodb-dynalite.ts';
import type { Meter } from './meter.ts';
import type { SimulatedTime } from './time.ts';

/** Simulated milliseconds that a call takes, besides what its bytes take. */
const LATENCY = { dynamodb: 5, s3: 100, states: 30, events: 20 };
const S3_BYTES_PER_MS = 85_000;

type Input = Readonly<Record<string, unknown>>;
type Command = { readonly operation: string; readonly input: Input };

interface Middleware {
  readonly middlewareStack: {
    add(middleware: never, options: { step: 'initialize'; priority: 'high' }): void;
  };
}

/** An SDK client that hands its commands to `answer` in place of the network. */
function intercepted<C extends Middleware>(client: C, answer: (command: Command) => Promise<object>): C {
  const middleware =
    (_next: unknown, context: { commandName?: string }) =>
    async ({ input }: { input: Input }) => {
      const operation = (context.commandName ?? '').replace(/Command$/, '');
      return { output: { $metadata: {}, ...(await answer({ operation, input })) }, response: {} };
    };
  client.middlewareStack.add(middleware as never, { step: 'initialize', priority: 'high' });
  return client;
}

const CONFIG = {
  region: 'us-east-1',
  credentials: { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'any' },
  requestChecksumCalculation: 'WHEN_REQUIRED',
} as const;

/** Signs URLs: that takes no call. */
export const signingClient = (): S3Client => new S3Client(CONFIG);

const READS = ['GetItem', 'Query'];

/** DynamoDB in memory: the local stack's engine, metered for each partition, item and index partition. */
export async function simulatedDynamoDb(time: SimulatedTime, meter: Meter): Promise<DynamoDBClient> {
  const { call } = openDynalite({ account: '000000000000', region: 'us-east-1' });
  const text = (name: string, type = 'S') => ({ AttributeName: name, AttributeType: type });
  const key = (hash: string, range: string) => [
    { AttributeName: hash, KeyType: 'HASH' },
    { AttributeName: range, KeyType: 'RANGE' },
  ];
  const created = await call(
    'CreateTable',
    {
      TableName: 'table',
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: [text('pk'), text('sk'), text('watch'), text('nextLook', 'N')],
      KeySchema: key('pk', 'sk'),
      GlobalSecondaryIndexes: [
        {
          IndexName: 'by-next-look',
          KeySchema: key('watch', 'nextLook'),
          Projection: { ProjectionType: 'KEYS_ONLY' },
        },
      ],
    },
    { kind: 'root' },
  );
  if (created.status !== 200) throw new Error(`CreateTable: ${JSON.stringify(created.body)}`);
  await new Promise((resolve) => setTimeout(resolve, 50));

  return intercepted(new DynamoDBClient(CONFIG), async ({ operation, input }) => {
    const plain = JSON.parse(JSON.stringify({ ...input, ReturnConsumedCapacity: 'INDEXES' })) as Input;
    const { status, body } = await time.work(() => call(operation, plain, { kind: 'root' }));
    record(meter, operation, input, body['ConsumedCapacity'] as Consumed | undefined);
    await time.sleep(LATENCY.dynamodb);
    if (status === 200) return body;
    const message = String(body['message'] ?? body['__type']);
    if (!String(body['__type']).endsWith('ConditionalCheckFailedException')) throw new Error(message);
    throw new ConditionalCheckFailedException({
      message,
      $metadata: {},
      ...(body['Item'] !== undefined && { Item: body['Item'] as never }),
    });
  });
}

interface Consumed {
  readonly CapacityUnits: number;
  readonly Table?: { readonly CapacityUnits: number };
  readonly GlobalSecondaryIndexes?: Readonly<Record<string, { readonly CapacityUnits: number }>>;
}

function record(meter: Meter, operation: string, input: Input, consumed: Consumed | undefined): void {
  const { pk, sk } = (input['Key'] ?? input['Item'] ?? {}) as Record<string, { S: string } | undefined>;
  const values = (input['ExpressionAttributeValues'] ?? {}) as Record<string, { S?: string }>;
  const partition = pk?.S ?? values[':pk']?.S ?? '';
  const units = consumed?.Table?.CapacityUnits ?? consumed?.CapacityUnits ?? 0;
  if (READS.includes(operation)) {
    meter.add('table reads', units);
    if (input['IndexName']) meter.add('index partition reads', units, values[':shard']?.S);
    else meter.add('partition reads', units, partition);
    return;
  }
  meter.add('table writes', units);
  meter.add('partition writes', units, partition);
  meter.add('item writes', units, `${partition} ${sk?.S}`);
  for (const { CapacityUnits } of Object.values(consumed?.GlobalSecondaryIndexes ?? {}))
    meter.add('index partition writes', CapacityUnits, partition.split('#')[1]?.[0]);
}

/** Bytes that are as long as an object, and always the same ones. */
let zeros = new Uint8Array(0);
const bytesOfLength = (length: number): Uint8Array => {
  if (zeros.byteLength < length) zeros = new Uint8Array(length);
  return zeros.subarray(0, length);
};

async function lengthOf(body: unknown): Promise<number> {
  if (body instanceof Uint8Array) return body.byteLength;
  let length = 0;
  for await (const bytes of body as AsyncIterable<Uint8Array>) length += bytes.byteLength;
  return length;
}

/** S3 that keeps sizes and ETags only, metered by prefix. */
export function simulatedS3(time: SimulatedTime, meter: Meter): S3Client {
  const sizes = new Map<string, Map<string, number>>();
  const uploads = new Map<string, { key: string; parts: Map<number, { size: number; etag: string }> }>();
  let made = 0;
  const folder = (key: string): Map<string, number> => {
    // `staging/<owner>/<uploadId>/`: what listings ask for.
    const prefix = `${key.split('/').slice(0, 3).join('/')}/`;
    const found = sizes.get(prefix) ?? new Map<string, number>();
    sizes.set(prefix, found);
    return found;
  };
  const failure = (name: string) => Object.assign(new Error(name), { name });
  const uploadOf = ({ UploadId }: Input) => {
    const upload = uploads.get(String(UploadId));
    if (!upload) throw failure('NoSuchUpload');
    return upload;
  };

  const operations: Record<string, (input: Input) => Promise<{ output: object; bytes?: number }>> = {
    async PutObject({ Key, Body }) {
      const bytes = await lengthOf(Body);
      folder(String(Key)).set(String(Key), bytes);
      return { output: { ETag: etagOf(`${Key}${bytes}`) }, bytes };
    },
    async GetObject({ Key }) {
      const size = folder(String(Key)).get(String(Key));
      if (size === undefined) throw failure('NoSuchKey');
      const content = bytesOfLength(size);
      return { output: { Body: { transformToByteArray: async () => content } }, bytes: size };
    },
    async CreateMultipartUpload({ Key }) {
      const UploadId = `upload-${++made}`;
      uploads.set(UploadId, { key: String(Key), parts: new Map() });
      return { output: { UploadId } };
    },
    async UploadPart(input) {
      const size = await lengthOf(input['Body']);
      const etag = etagOf(`${input['Key']}${input['PartNumber']}`);
      uploadOf(input).parts.set(Number(input['PartNumber']), { size, etag });
      return { output: { ETag: etag }, bytes: size };
    },
    async ListParts(input) {
      const Parts = [...uploadOf(input).parts]
        .sort(([a], [b]) => a - b)
        .map(([PartNumber, { size, etag }]) => ({ PartNumber, Size: size, ETag: etag }));
      return { output: { Parts, IsTruncated: false } };
    },
    async CompleteMultipartUpload(input) {
      const { key, parts } = uploadOf(input);
      const size = [...parts.values()].reduce((sum, part) => sum + part.size, 0);
      if (size !== input['MpuObjectSize']) throw failure('InvalidRequest');
      uploads.delete(String(input['UploadId']));
      folder(key).set(key, size);
      return { output: { ETag: etagOf(key) } };
    },
    async DeleteObjects({ Delete }) {
      for (const { Key } of (Delete as { Objects: { Key: string }[] }).Objects) folder(Key).delete(Key);
      return { output: {} };
    },
    async ListMultipartUploads({ Prefix }) {
      const Uploads = [...uploads].flatMap(([UploadId, { key }]) =>
        key.startsWith(String(Prefix)) ? [{ Key: key, UploadId }] : [],
      );
      return { output: { Uploads } };
    },
    async ListObjectsV2({ Prefix }) {
      return { output: { Contents: [...folder(String(Prefix)).keys()].map((Key) => ({ Key })) } };
    },
  };

  return intercepted(new S3Client(CONFIG), async ({ operation, input }) => {
    const run = operations[operation];
    if (!run) throw new Error(`The simulated S3 knows no ${operation}.`);
    const { output, bytes = 0 } = await run(input);
    // Of all owners together: at worst they all share what S3 keeps of this prefix.
    const prefix = String(input['Key'] ?? input['Prefix'] ?? '').split('/')[0];
    meter.add(operation === 'GetObject' ? 'prefix reads' : 'prefix writes', 1, prefix);
    await time.sleep(LATENCY.s3 + bytes / S3_BYTES_PER_MS);
    return output;
  });
}

const etagOf = (text: string): string => `"${createHash('md5').update(text).digest('hex')}"`;

/** @param start begins an execution; false where the quota is used up */
export function simulatedStates(
  time: SimulatedTime,
  start: (name: string, input: string) => boolean,
): SFNClient {
  const names = new Set<string>();
  return intercepted(new SFNClient(CONFIG), async ({ operation, input }) => {
    if (operation !== 'StartExecution') throw new Error(`The simulated Step Functions know no ${operation}.`);
    await time.sleep(LATENCY.states);
    const name = String(input['name']);
    if (names.has(name)) throw new ExecutionAlreadyExists({ message: name, $metadata: {} });
    if (!start(name, String(input['input'])))
      throw Object.assign(new Error('Rate exceeded'), { name: 'ThrottlingException' });
    names.add(name);
    return { executionArn: name };
  });
}

export const simulatedEvents = (time: SimulatedTime, meter: Meter): EventBridgeClient =>
  intercepted(new EventBridgeClient(CONFIG), async () => {
    meter.add('events');
    await time.sleep(LATENCY.events);
    return { FailedEntryCount: 0, Entries: [{ EventId: '1' }] };
  });
