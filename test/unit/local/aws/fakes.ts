import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCredentials } from '../../../../local/aws/credentials.ts';
import { createFrontDoor, type FrontDoorOptions } from '../../../../local/aws/front-door.ts';
import type {
  Caller,
  Clock,
  InvokeResult,
  JsonEngine,
  LocalTemplate,
  Resource,
} from '../../../../local/types.ts';
import { listen } from './wire.ts';

export const account = '000000000000';
export const region = 'us-east-1';

export const resource = (
  type: string,
  logicalId: string,
  properties: Record<string, unknown> = {},
  identity: { physicalId?: string; arn?: string } = {},
): Resource => ({
  type,
  logicalId,
  properties,
  metadata: {},
  physicalId: identity.physicalId ?? logicalId,
  arn: identity.arn,
});

export const templateOf = (resources: readonly Resource[]): LocalTemplate => ({
  stackName: 'stack',
  account,
  region,
  resources: new Map(resources.map((one) => [one.logicalId, one])),
  outputs: new Map(),
  byType: (type) => resources.filter((one) => one.type === type),
  assetPath: () => {
    throw new Error('no assets here');
  },
});

export const document = (...statements: object[]) => ({ Version: '2012-10-17', Statement: statements });
export const allow = (action: string | string[], target: string | string[], more: object = {}) => ({
  Effect: 'Allow',
  Action: action,
  Resource: target,
  ...more,
});

export const role = (logicalId: string, service: string, ...statements: object[]): Resource =>
  resource(
    'AWS::IAM::Role',
    logicalId,
    {
      AssumeRolePolicyDocument: document({
        Effect: 'Allow',
        Action: 'sts:AssumeRole',
        Principal: { Service: service },
      }),
      Policies: [{ PolicyName: 'inline', PolicyDocument: document(...statements) }],
    },
    { arn: `arn:aws:iam::${account}:role/${logicalId}` },
  );

export const bucket = (name: string, properties: Record<string, unknown> = {}): Resource =>
  resource('AWS::S3::Bucket', `Bucket${name}`, properties, { physicalId: name, arn: `arn:aws:s3:::${name}` });

export const lambdaFunction = (name: string, roleId: string): Resource =>
  resource(
    'AWS::Lambda::Function',
    `Function${name}`,
    { Role: `arn:aws:iam::${account}:role/${roleId}` },
    { physicalId: name, arn: `arn:aws:lambda:${region}:${account}:function:${name}` },
  );

export const table = (name: string, properties: Record<string, unknown> = {}): Resource =>
  resource(
    'AWS::DynamoDB::Table',
    `Table${name}`,
    {
      AttributeDefinitions: [
        { AttributeName: 'pk', AttributeType: 'S' },
        { AttributeName: 'sk', AttributeType: 'S' },
        { AttributeName: 'watch', AttributeType: 'S' },
        { AttributeName: 'nextLook', AttributeType: 'N' },
      ],
      KeySchema: [
        { AttributeName: 'pk', KeyType: 'HASH' },
        { AttributeName: 'sk', KeyType: 'RANGE' },
      ],
      GlobalSecondaryIndexes: [
        {
          IndexName: 'by-next-look',
          KeySchema: [
            { AttributeName: 'watch', KeyType: 'HASH' },
            { AttributeName: 'nextLook', KeyType: 'RANGE' },
          ],
          Projection: { ProjectionType: 'KEYS_ONLY' },
        },
      ],
      BillingMode: 'PAY_PER_REQUEST',
      TimeToLiveSpecification: { AttributeName: 'ttl', Enabled: true },
      ...properties,
    },
    { physicalId: name, arn: `arn:aws:dynamodb:${region}:${account}:table/${name}` },
  );

export const roleCaller = (
  roleLogicalId: string,
  more: Partial<Extract<Caller, { kind: 'role' }>> = {},
): Caller => ({
  kind: 'role',
  roleLogicalId,
  roleArn: `arn:aws:iam::${account}:role/${roleLogicalId}`,
  ...more,
});

export const movableClock = (): Clock => {
  let offset = 0;
  return {
    now: () => Date.now() + offset,
    advance: (ms) => {
      offset += ms;
    },
  };
};

/** Remembers what was killed and invoked. */
export const fakePool = (answer: InvokeResult = { payload: { done: true } }) => {
  const killed: number[] = [];
  const invoked: { name: string; event: unknown; how: 'sync' | 'async' }[] = [];
  return {
    killed,
    invoked,
    invoke: (name: string, event: unknown) => {
      invoked.push({ name, event, how: 'sync' });
      return Promise.resolve(answer);
    },
    invokeAsync: (name: string, event: unknown) => {
      invoked.push({ name, event, how: 'async' });
    },
    kill: (workerId: number) => {
      killed.push(workerId);
    },
    shortName: (name: string) => name.replace(/^stack-/, ''),
  };
};

/**
 * An S3 that keeps nothing: drains what comes, counts it, and knows only keys that hold no `missing`; those that hold
 * `long` have 100,000 bytes.
 */
export const sinkS3 = () => {
  const handled: { method: string; url: string; bytes: number }[] = [];
  return {
    handled,
    async handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
      let bytes = 0;
      req.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      if (!req.readableEnded) await once(req, 'end');
      handled.push({ method: req.method ?? '', url: req.url ?? '', bytes });
      if (req.url?.includes('missing')) {
        const body = '<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>';
        res.writeHead(404, { 'content-type': 'application/xml', 'content-length': body.length });
        res.end(req.method === 'HEAD' ? undefined : body);
        return;
      }
      res.setHeader('etag', '"e"');
      if (!req.url?.includes('long')) return void res.end();
      res.writeHead(200, { 'content-length': 100_000 });
      for (let piece = 0; piece < 10; piece += 1) res.write(Buffer.alloc(10_000, 'x'));
      res.end();
    },
  };
};

const notHere: JsonEngine = (operation) => Promise.resolve({ status: 200, body: { operation } });

/** A front door over fakes, listening. */
export const startFrontDoor = async (
  resources: readonly Resource[],
  options: Partial<Omit<FrontDoorOptions, 'engines'>> & {
    engines?: Partial<FrontDoorOptions['engines']>;
  } = {},
) => {
  const dir = mkdtempSync(join(tmpdir(), 'front-door-'));
  const template = templateOf(resources);
  const pool = fakePool();
  const s3 = sinkS3();
  const clock = movableClock();
  const logged: string[] = [];
  const credentials = createCredentials({ dir, account });
  let url = '';
  const door = createFrontDoor({
    template,
    credentials,
    clock,
    pool,
    endpoint: () => url,
    log: (line) => logged.push(line),
    ...options,
    engines: { s3, dynamodb: notHere, states: notHere, events: notHere, ...options.engines },
  });
  const wire = await listen((req, res) => void door.handle(req, res));
  url = wire.url;
  return {
    door,
    url,
    template,
    pool,
    s3,
    clock,
    logged,
    credentials,
    close: async () => {
      door.close();
      await wire.close();
      rmSync(dir, { recursive: true });
    },
  };
};
