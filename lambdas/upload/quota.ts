import { ConditionalCheckFailedException, GetItemCommand, UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { marshall, unmarshall } from '@aws-sdk/util-dynamodb';
import { MAX_COUNTED_UPLOADS, type UploadSettings } from './settings.ts';
import { getUpload, type Table } from './store.ts';

/**
 * What an owner has in progress, counted in one item: an entry for each attempt beside the two sums. An entry is
 * added with its sums or not at all, and taken off once, so that whatever is repeated counts once.
 *
 * Nothing here is read or written where no quota is set.
 */

/** Why an attempt may not begin now. */
export class QuotaExceeded extends Error {
  override readonly name = 'QuotaExceeded';
}

/** What an entry is about. */
export interface CountedAttempt {
  readonly owner: string;
  readonly uploadId: string;
  readonly attempt: string;
  /** Bytes as announced. */
  readonly totalSize: number;
}

/** Longer than any request lives: an entry this old whose upload is not there was left by one that died. */
const SETTLED_SECONDS = 60;

export const hasQuota = ({ maxUploadsPerOwner, maxBytesPerOwner }: UploadSettings): boolean =>
  maxUploadsPerOwner !== undefined || maxBytesPerOwner !== undefined;

/** `quota` is no upload id, so this is no upload's partition. */
const key = (owner: string) => marshall({ pk: `${owner}#quota`, sk: 'quota' });
const entryName = ({ uploadId, attempt }: Pick<CountedAttempt, 'uploadId' | 'attempt'>): string =>
  `${uploadId}#${attempt}`;

/**
 * Counts an attempt that is about to be put into the table.
 *
 * @returns false while another request has just counted the same upload and not put it yet: look for it again
 * @throws QuotaExceeded
 */
export async function reserve(
  table: Table,
  upload: CountedAttempt & { readonly ttl: number },
  settings: UploadSettings,
  now: number,
): Promise<boolean> {
  const seconds = Math.floor(now / 1000);
  for (const isLastTry of [false, true]) {
    const refused = await tryReserve(table, upload, settings, seconds);
    // There with this very attempt: the SDK repeated a write that had succeeded.
    if (!refused || entryName(upload) in refused) return true;
    const entries = entriesOf(refused);
    if (entries.some(({ uploadId, at }) => uploadId === upload.uploadId && at > seconds - SETTLED_SECONDS))
      return false;
    if (isLastTry || !(await dropStale(table, upload.owner, entries, now))) break;
  }
  throw new QuotaExceeded(
    `There is too much in progress: at most ${limits(settings)} at a time. Complete or abort an upload first.`,
  );
}

function limits({ maxUploadsPerOwner, maxBytesPerOwner }: UploadSettings): string {
  const uploads = `${maxUploadsPerOwner ?? MAX_COUNTED_UPLOADS} uploads`;
  return maxBytesPerOwner === undefined ? uploads : `${uploads} and ${maxBytesPerOwner} bytes`;
}

/** @returns the item as it is where the attempt does not fit; undefined when it is counted */
async function tryReserve(
  { client, tableName }: Table,
  upload: CountedAttempt & { readonly ttl: number },
  settings: UploadSettings,
  seconds: number,
): Promise<Record<string, unknown> | undefined> {
  const { totalSize } = upload;
  const room = (settings.maxBytesPerOwner ?? Number.MAX_SAFE_INTEGER) - totalSize;
  try {
    await client.send(
      new UpdateItemCommand({
        TableName: tableName,
        Key: key(upload.owner),
        UpdateExpression: 'SET #entry = :entry, #ttl = :ttl ADD #uploads :one, #bytes :size',
        ConditionExpression:
          'attribute_not_exists(#entry) AND (attribute_not_exists(#uploads) OR #uploads < :most)' +
          ' AND (attribute_not_exists(#bytes) OR #bytes <= :room)',
        ExpressionAttributeNames: {
          '#entry': entryName(upload),
          '#ttl': 'ttl',
          '#uploads': 'uploads',
          '#bytes': 'bytes',
        },
        ExpressionAttributeValues: marshall({
          ':entry': { bytes: totalSize, at: seconds },
          ':ttl': upload.ttl,
          ':one': 1,
          ':size': totalSize,
          ':most': settings.maxUploadsPerOwner ?? MAX_COUNTED_UPLOADS,
          ':room': room,
        }),
        ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
      }),
    );
    return undefined;
  } catch (error) {
    if (!(error instanceof ConditionalCheckFailedException)) throw error;
    if (error.Item) return unmarshall(error.Item);
    const { Item } = await client.send(
      new GetItemCommand({ TableName: tableName, Key: key(upload.owner), ConsistentRead: true }),
    );
    return unmarshall(Item ?? {});
  }
}

/** Takes an attempt off the count: it is completed, aborted or expired, or never came to be. Repeating is harmless. */
export async function release({ client, tableName }: Table, attempt: CountedAttempt): Promise<void> {
  try {
    await client.send(
      new UpdateItemCommand({
        TableName: tableName,
        Key: key(attempt.owner),
        UpdateExpression: 'REMOVE #entry ADD #uploads :less, #bytes :size',
        ConditionExpression: 'attribute_exists(#entry)',
        ExpressionAttributeNames: {
          '#entry': entryName(attempt),
          '#uploads': 'uploads',
          '#bytes': 'bytes',
        },
        ExpressionAttributeValues: marshall({ ':less': -1, ':size': -attempt.totalSize }),
      }),
    );
  } catch (error) {
    if (!(error instanceof ConditionalCheckFailedException)) throw error;
  }
}

interface Entry {
  readonly uploadId: string;
  readonly attempt: string;
  readonly bytes: number;
  /** Epoch seconds. */
  readonly at: number;
}

const entriesOf = (item: Record<string, unknown>): Entry[] =>
  Object.entries(item).flatMap(([name, value]) => {
    const [uploadId = '', attempt] = name.split('#');
    return attempt ? [{ uploadId, attempt, ...(value as { bytes: number; at: number }) }] : [];
  });

/**
 * Drops entries whose attempt is not in progress any more: left by a function that died between counting and putting
 * it, or between its end and taking it off. Once a minute for each owner at most, since it reads every upload.
 *
 * @returns whether anything was dropped
 */
async function dropStale(
  table: Table,
  owner: string,
  entries: readonly Entry[],
  now: number,
): Promise<boolean> {
  const seconds = Math.floor(now / 1000);
  const settled = entries.filter(({ at }) => at <= seconds - SETTLED_SECONDS);
  if (settled.length === 0 || !(await mayDrop(table, owner, seconds))) return false;
  const dropped = await Promise.all(
    settled.map(async ({ uploadId, attempt, bytes }) => {
      const upload = await getUpload(table, { owner, uploadId }, now);
      // A failed one keeps its parts, and can be redriven, until it is swept.
      const isThere = upload?.attempt === attempt;
      if (isThere && ['uploading', 'completing', 'failed'].includes(upload.status)) return false;
      await release(table, { owner, uploadId, attempt, totalSize: bytes });
      return true;
    }),
  );
  return dropped.includes(true);
}

async function mayDrop({ client, tableName }: Table, owner: string, seconds: number): Promise<boolean> {
  try {
    await client.send(
      new UpdateItemCommand({
        TableName: tableName,
        Key: key(owner),
        UpdateExpression: 'SET #cleanedAt = :now',
        ConditionExpression:
          'attribute_exists(#pk) AND (attribute_not_exists(#cleanedAt) OR #cleanedAt <= :before)',
        ExpressionAttributeNames: { '#cleanedAt': 'cleanedAt', '#pk': 'pk' },
        ExpressionAttributeValues: marshall({ ':now': seconds, ':before': seconds - SETTLED_SECONDS }),
      }),
    );
    return true;
  } catch (error) {
    if (error instanceof ConditionalCheckFailedException) return false;
    throw error;
  }
}
