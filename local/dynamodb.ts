/**
 * The stack's DynamoDB: dynalite in this process, or another endpoint that speaks the API (DynamoDB Local).
 * Makes the template's tables, meters every call, and deletes what the tables' TTL says.
 *
 * dynalite has no transactions (TransactWriteItems, TransactGetItems): they answer UnknownOperationException.
 */
import { setInterval } from 'node:timers';
import { type Dynalite, openDynalite } from './dynamodb-dynalite.ts';
import { createRemoteDynamoDb } from './dynamodb-remote.ts';
import { AwsError, type Clock, type JsonEngine, type LocalTemplate, type Resource } from './types.ts';

export interface DynamoDbOptions {
  /** A folder for dynalite's files; without it, and without an endpoint, tables live in memory. */
  readonly dir?: string;
  /** Another engine's URL, for example `http://127.0.0.1:8000`. */
  readonly endpoint?: string;
  readonly clock: Clock;
  readonly template: LocalTemplate;
}

export interface DynamoDb {
  /** Answers carry ConsumedCapacity for each index, whatever was asked: the front door meters and trims it. */
  readonly engine: JsonEngine;
  /** Deletes expired items; runs each minute by itself. Returns how many were deleted. */
  sweepTtl(): Promise<number>;
  close(): Promise<void>;
}

const sweepEveryMs = 60_000;
/** DynamoDB leaves items alone whose TTL is more than five years past. */
const oldestTtlSeconds = 5 * 365 * 86_400;

type Attributes = Readonly<Record<string, Readonly<Record<string, unknown>>>>;
interface KeyElement {
  readonly AttributeName: string;
  readonly KeyType: string;
}
interface TableShape {
  readonly AttributeDefinitions?: readonly { AttributeName: string; AttributeType: string }[];
  readonly KeySchema?: readonly KeyElement[];
  readonly GlobalSecondaryIndexes?: readonly { IndexName: string; KeySchema: readonly KeyElement[] }[];
}

const metered = new Set([
  'GetItem',
  'PutItem',
  'UpdateItem',
  'DeleteItem',
  'Query',
  'Scan',
  'BatchGetItem',
  'BatchWriteItem',
  'TransactGetItems',
  'TransactWriteItems',
]);

/** Keys and their types, of the table and its indexes, in one order: what cannot change under stored items. */
const describeKeys = (table: TableShape): string => {
  const types = new Map(table.AttributeDefinitions?.map((one) => [one.AttributeName, one.AttributeType]));
  const keys = (schema: readonly KeyElement[] = []) =>
    schema
      .map(({ AttributeName, KeyType }) => `${KeyType} ${AttributeName} (${types.get(AttributeName)})`)
      .join(', ');
  const indexes = (table.GlobalSecondaryIndexes ?? [])
    .map((index) => `index ${index.IndexName}: ${keys(index.KeySchema)}`)
    .sort();
  return [keys(table.KeySchema), ...indexes].join('; ');
};

const ensureTable = async (engine: JsonEngine, table: Resource): Promise<void> => {
  const { properties, physicalId: TableName } = table;
  const described = await engine('DescribeTable', { TableName }, { kind: 'root' });
  if (described.status === 200) {
    const [wanted, found] = [properties, described.body['Table'] as object].map(describeKeys);
    if (wanted !== found)
      throw new Error(
        `The table ${TableName} is stored with the keys "${found}", and the template now says "${wanted}". DynamoDB cannot change keys: remove the local data, or give the table another logical id.`,
      );
    return;
  }
  const input: Record<string, unknown> = { TableName, BillingMode: 'PAY_PER_REQUEST' };
  for (const name of ['AttributeDefinitions', 'KeySchema', 'GlobalSecondaryIndexes', 'LocalSecondaryIndexes'])
    if (properties[name] !== undefined) input[name] = structuredClone(properties[name]);
  const created = await engine('CreateTable', input, { kind: 'root' });
  if (created.status !== 200) throw new Error(`CreateTable ${TableName}: ${JSON.stringify(created.body)}`);
  for (let look = 0; look < 200; look += 1) {
    const { body } = await engine('DescribeTable', { TableName }, { kind: 'root' });
    if ((body['Table'] as { TableStatus?: string } | undefined)?.TableStatus === 'ACTIVE') return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`The table ${TableName} did not become active`);
};

/** Deletes one table's expired items, each only if its TTL is still the one that was read. */
const sweepTable = async (engine: JsonEngine, table: Resource, now: number): Promise<number> => {
  const { TimeToLiveSpecification: ttl, KeySchema: schema } = table.properties as {
    TimeToLiveSpecification?: { AttributeName: string; Enabled: boolean };
    KeySchema: readonly KeyElement[];
  };
  if (!ttl?.Enabled) return 0;
  const call = async (operation: string, input: Record<string, unknown>) => {
    const answer = await engine(operation, { TableName: table.physicalId, ...input }, { kind: 'root' });
    const code = String(answer.body['__type'] ?? '');
    if (answer.status !== 200 && !code.endsWith('ConditionalCheckFailedException'))
      throw new Error(`${operation} for the TTL of ${table.physicalId}: ${JSON.stringify(answer.body)}`);
    return answer;
  };
  const names = { '#ttl': ttl.AttributeName };
  const seconds = Math.floor(now / 1000);
  let deleted = 0;
  let start: unknown;
  do {
    const page = await call('Scan', {
      FilterExpression: '#ttl < :now AND #ttl > :oldest',
      ExpressionAttributeNames: names,
      ExpressionAttributeValues: {
        ':now': { N: String(seconds) },
        ':oldest': { N: String(seconds - oldestTtlSeconds) },
      },
      ...(start !== undefined && { ExclusiveStartKey: start }),
    });
    for (const item of (page.body['Items'] ?? []) as Attributes[]) {
      const answer = await call('DeleteItem', {
        Key: Object.fromEntries(schema.map(({ AttributeName }) => [AttributeName, item[AttributeName]])),
        ConditionExpression: '#ttl = :seen',
        ExpressionAttributeNames: names,
        ExpressionAttributeValues: { ':seen': item[ttl.AttributeName] },
      });
      if (answer.status === 200) deleted += 1;
    }
    start = page.body['LastEvaluatedKey'];
  } while (start !== undefined);
  return deleted;
};

/** Throws if a stored table's keys differ from the template's. */
export const createDynamoDb = async (options: DynamoDbOptions): Promise<DynamoDb> => {
  const { clock, template } = options;
  const store: Dynalite | ReturnType<typeof createRemoteDynamoDb> =
    options.endpoint === undefined
      ? openDynalite({
          account: template.account,
          region: template.region,
          ...(options.dir && { dir: options.dir }),
        })
      : createRemoteDynamoDb({ endpoint: options.endpoint, region: template.region });
  const tables = template.byType('AWS::DynamoDB::Table');
  const byArn = new Map(tables.map(({ arn, physicalId }) => [arn, physicalId]));

  const engine: JsonEngine = async (operation, input, caller) => {
    if (operation === 'UpdateTimeToLive')
      throw new AwsError(
        'ValidationException',
        "The local table's TTL is the template's TimeToLiveSpecification",
      );
    // A table may be named by its ARN, which dynalite does not know.
    const named = byArn.get(input['TableName'] as string);
    return store.call(
      operation,
      {
        ...input,
        ...(named !== undefined && { TableName: named }),
        ...(metered.has(operation) && { ReturnConsumedCapacity: 'INDEXES' }),
      },
      caller,
    );
  };

  try {
    for (const table of tables) await ensureTable(engine, table);
  } catch (error) {
    await store.close();
    throw error;
  }

  const sweepTtl = async (): Promise<number> => {
    let deleted = 0;
    for (const table of tables) deleted += await sweepTable(engine, table, clock.now());
    return deleted;
  };
  let sweeping: Promise<unknown> = Promise.resolve();
  const timer = setInterval(() => {
    sweeping = sweepTtl().catch((error: unknown) => {
      // An unhandled rejection ends the stack, loudly: TTL that silently stops would hide lost clean-up.
      throw new Error('The TTL sweep failed', { cause: error });
    });
  }, sweepEveryMs);
  timer.unref();

  return {
    engine,
    sweepTtl,
    async close() {
      clearInterval(timer);
      await sweeping;
      await store.close();
    },
  };
};
