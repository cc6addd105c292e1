import {
  ConditionalCheckFailedException,
  type DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  paginateQuery,
  UpdateItemCommand,
  type UpdateItemCommandInput,
} from '@aws-sdk/client-dynamodb';
import { marshall, unmarshall } from '@aws-sdk/util-dynamodb';
import type { UploadRecord } from './record.ts';

/** Which item of which table: the owner is in the partition key, so another owner's id finds nothing. */
export interface UploadAddress {
  readonly owner: string;
  readonly uploadId: string;
}

export interface Table {
  readonly client: DynamoDBClient;
  readonly tableName: string;
}

/** The sparse index of uploads that the watchdog has to look at: `watch`, `nextLook`. */
export const NEXT_LOOK_INDEX = 'by-next-look';

/** How many partitions the watchdog's index has, so that a burst of new uploads does not meet on one. */
export const WATCH_SHARDS = '0123456789abcdef';

export const partitionKey = ({ owner, uploadId }: UploadAddress): string => `${owner}#${uploadId}`;

const key = (upload: UploadAddress) => marshall({ pk: partitionKey(upload), sk: 'upload' });

export function toItem(record: UploadRecord): Record<string, unknown> {
  const { fullPages, owner: _owner, uploadId, ...rest } = record;
  return {
    pk: partitionKey(record),
    sk: 'upload',
    ...rest,
    ...(fullPages.size > 0 && { fullPages }),
    ...(record.nextLook !== undefined && { watch: uploadId[0] }),
  };
}

export function fromItem(item: Record<string, unknown>): UploadRecord {
  const { pk, sk: _sk, watch: _watch, fullPages, ...rest } = item;
  const [owner = '', uploadId = ''] = String(pk).split('#');
  return {
    ...(rest as Omit<UploadRecord, 'owner' | 'uploadId' | 'fullPages'>),
    owner,
    uploadId,
    fullPages: (fullPages as Set<number> | undefined) ?? new Set(),
  };
}

/** The upload, read consistently; undefined when there is none, or none any more (its TTL is over). */
export async function getUpload(
  table: Table,
  address: UploadAddress,
  now: number,
): Promise<UploadRecord | undefined> {
  const { Item } = await table.client.send(
    new GetItemCommand({ TableName: table.tableName, Key: key(address), ConsistentRead: true }),
  );
  if (!Item) return undefined;
  const record = fromItem(unmarshall(Item));
  return record.ttl * 1000 > now ? record : undefined;
}

/**
 * Puts a new attempt where there is no live one.
 *
 * @returns false when another request was first
 */
export async function putNewAttempt(table: Table, record: UploadRecord, now: number): Promise<boolean> {
  return await succeeds(
    table.client.send(
      new PutItemCommand({
        TableName: table.tableName,
        Item: marshall(toItem(record), { removeUndefinedValues: true }),
        ConditionExpression:
          'attribute_not_exists(pk) OR #ttl <= :now OR #status IN (:failed, :aborted, :expired)' +
          ' OR (#status = :uploading AND #expiresAt <= :now)',
        ExpressionAttributeNames: { '#ttl': 'ttl', '#status': 'status', '#expiresAt': 'expiresAt' },
        ExpressionAttributeValues: marshall({
          ':now': Math.floor(now / 1000),
          ':failed': 'failed',
          ':aborted': 'aborted',
          ':expired': 'expired',
          ':uploading': 'uploading',
        }),
      }),
    ),
  );
}

/** One change to an upload's item, made only while `attempt` is the current one and `when` holds. */
export interface UploadChange {
  /** Attributes to set; undefined removes. */
  readonly set?: Partial<Record<keyof UploadRecord, unknown>>;
  /** Adds to, or deletes from, the set of full top pages. */
  readonly addFullPage?: number;
  readonly deleteFullPages?: readonly number[];
  /** Attributes that must have one of these values; `absent` must not exist. */
  readonly when?: Partial<Record<'status', readonly string[]>> & {
    readonly run?: number;
    readonly expiresAfter?: number;
    readonly expiresAtMost?: number;
    readonly absent?: keyof UploadRecord;
  };
}

/**
 * @returns the item after the change; undefined when the condition did not hold and nothing changed
 */
export async function changeUpload(
  table: Table,
  upload: UploadAddress & { attempt: string },
  change: UploadChange,
): Promise<UploadRecord | undefined> {
  const names: Record<string, string> = { '#attempt': 'attempt' };
  const values: Record<string, unknown> = { ':attempt': upload.attempt };
  const name = (attribute: string): string => {
    names[`#${attribute}`] = attribute;
    return `#${attribute}`;
  };
  const value = (label: string, content: unknown): string => {
    values[`:${label}`] = content;
    return `:${label}`;
  };

  const sets: string[] = [];
  const removes: string[] = [];
  for (const [attribute, content] of Object.entries(change.set ?? {})) {
    if (content === undefined) removes.push(name(attribute));
    else sets.push(`${name(attribute)} = ${value(attribute, content)}`);
  }
  // The index is sparse: an item is in it as long as the watchdog has to look at it.
  if (change.set && 'nextLook' in change.set) {
    if (change.set.nextLook === undefined) removes.push(name('watch'));
    else sets.push(`${name('watch')} = ${value('watch', upload.uploadId[0])}`);
  }

  const conditions = ['#attempt = :attempt'];
  const when = change.when ?? {};
  if (when.status) {
    const labels = when.status.map((status) => value(`is_${status}`, status));
    conditions.push(`${name('status')} IN (${labels.join(', ')})`);
  }
  if (when.run !== undefined) conditions.push(`${name('run')} = ${value('when_run', when.run)}`);
  if (when.expiresAfter !== undefined)
    conditions.push(`${name('expiresAt')} > ${value('after', Math.floor(when.expiresAfter / 1000))}`);
  if (when.expiresAtMost !== undefined)
    conditions.push(`${name('expiresAt')} <= ${value('atMost', Math.floor(when.expiresAtMost / 1000))}`);
  if (when.absent) conditions.push(`attribute_not_exists(${name(when.absent)})`);

  const clauses = [
    sets.length > 0 && `SET ${sets.join(', ')}`,
    removes.length > 0 && `REMOVE ${removes.join(', ')}`,
    change.addFullPage !== undefined &&
      `ADD ${name('fullPages')} ${value('full', new Set([change.addFullPage]))}`,
    change.deleteFullPages?.length &&
      `DELETE ${name('fullPages')} ${value('notFull', new Set(change.deleteFullPages))}`,
  ].filter(Boolean);

  const input: UpdateItemCommandInput = {
    TableName: table.tableName,
    Key: key(upload),
    UpdateExpression: clauses.join(' '),
    ConditionExpression: conditions.join(' AND '),
    ExpressionAttributeNames: names,
    ExpressionAttributeValues: marshall(values, { removeUndefinedValues: true }),
    ReturnValues: 'ALL_NEW',
  };
  try {
    const { Attributes } = await table.client.send(new UpdateItemCommand(input));
    return fromItem(unmarshall(Attributes ?? {}));
  } catch (error) {
    if (error instanceof ConditionalCheckFailedException) return undefined;
    throw error;
  }
}

/**
 * Uploads of one partition of the index whose time to be looked at has come, the longest due first. Pages are read as
 * they are needed.
 */
export async function* dueUploads(table: Table, shard: string, now: number): AsyncGenerator<UploadAddress> {
  const query = paginateQuery(
    { client: table.client, pageSize: 100 },
    {
      TableName: table.tableName,
      IndexName: NEXT_LOOK_INDEX,
      KeyConditionExpression: '#watch = :shard AND #nextLook <= :now',
      ExpressionAttributeNames: { '#watch': 'watch', '#nextLook': 'nextLook' },
      ExpressionAttributeValues: marshall({ ':shard': shard, ':now': Math.floor(now / 1000) }),
    },
  );
  for await (const { Items } of query) {
    for (const item of Items ?? []) {
      const [owner = '', uploadId = ''] = String(unmarshall(item).pk).split('#');
      yield { owner, uploadId };
    }
  }
}

async function succeeds(write: Promise<unknown>): Promise<boolean> {
  try {
    await write;
    return true;
  } catch (error) {
    if (error instanceof ConditionalCheckFailedException) return false;
    throw error;
  }
}
