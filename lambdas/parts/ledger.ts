import { setTimeout as pause } from 'node:timers/promises';
import {
  type AttributeValue,
  BatchWriteItemCommand,
  ConditionalCheckFailedException,
  GetItemCommand,
  paginateQuery,
  UpdateItemCommand,
  type WriteRequest,
} from '@aws-sdk/client-dynamodb';
import { marshall, unmarshall } from '@aws-sdk/util-dynamodb';
import type { UploadRecord } from '../upload/record.ts';
import { partitionKey, type Table } from '../upload/store.ts';
import { bytesOfPieces, pieceCount, pieceLength } from './geometry.ts';
import {
  childNumber,
  childrenOf,
  type PageAddress,
  PIECES_PER_PAGE,
  pageIndexOf,
  pageOf,
  pageSortKey,
  pagesPrefix,
  parentOf,
  piecesBelow,
} from './pages.ts';

/**
 * What is recorded of a piece: its ETag, without quotes. A chunk that went to S3 as a whole part (the short way)
 * has `@` before it: it is not staged, and needs no assembly.
 */
export type PieceMark = string;

const DIRECT = '@';
export const directMark = (etag: string): PieceMark => `${DIRECT}${etag}`;
export const isDirect = (mark: PieceMark): boolean => mark.startsWith(DIRECT);

/** A page as read: marks by piece number. */
export interface Page {
  readonly index: number;
  readonly marks: ReadonlyMap<number, PieceMark>;
  /** The atomic counter: bytes of the pieces recorded. */
  readonly bytes: number;
}

const attribute = (pieceNumber: number): string => `e${((pieceNumber - 1) % PIECES_PER_PAGE) + 1}`;

function toPage(index: number, item: Record<string, unknown>): Page {
  const marks = new Map<number, PieceMark>();
  for (const [name, content] of Object.entries(item)) {
    const position = /^e(\d+)$/.exec(name)?.[1];
    if (position) marks.set(index * PIECES_PER_PAGE + Number(position), String(content));
  }
  return { index, marks, bytes: Number(item.bytes ?? 0) };
}

const pageKey = (upload: UploadRecord, address: PageAddress) =>
  marshall({ pk: partitionKey(upload), sk: pageSortKey(upload.attempt, address) });

export const isFullPage = (upload: UploadRecord, page: Page): boolean => {
  const { first, last } = piecesBelow({ level: 0, index: page.index }, pieceCount(upload));
  return page.bytes === bytesOfPieces(upload, first, last);
};

/** How often a page is tried again when other requests change the same pieces at the same time. */
const RACES = 8;

/**
 * Records pieces of one page: one conditional write of one write unit. A piece that is new is counted; one that was
 * there with another mark (sent again, with other bytes or under SSE-KMS with equal ones) gets the new mark and is
 * not counted again; one that was there with the same mark changes nothing.
 *
 * @returns the page as it is afterwards
 */
export async function recordPieces(
  table: Table,
  upload: UploadRecord,
  marks: ReadonlyMap<number, PieceMark>,
): Promise<Page> {
  const index = pageOf([...marks.keys()][0] ?? 1);
  let known: Page = { index, marks: new Map(), bytes: 0 };
  for (let race = 0; race < RACES; race++) {
    // A part that S3 has whole outranks a chunk staged for it: the chunk's bytes are in it already.
    const changes = [...marks].filter(([number, mark]) => {
      const old = known.marks.get(number);
      return old !== mark && !(old !== undefined && isDirect(old) && !isDirect(mark));
    });
    if (changes.length === 0) return known;

    const fresh = changes.filter(([number]) => !known.marks.has(number));
    const bytes = fresh.reduce((sum, [number]) => sum + pieceLength(upload, number), 0);
    const names: Record<string, string> = { '#ttl': 'ttl', '#bytes': 'bytes' };
    const values: Record<string, unknown> = { ':ttl': upload.ttl, ':bytes': bytes };
    const conditions: string[] = [];
    const sets = ['#ttl = :ttl'];
    for (const [number, mark] of changes) {
      const label = attribute(number);
      names[`#${label}`] = label;
      values[`:${label}`] = mark;
      sets.push(`#${label} = :${label}`);
      if (!known.marks.has(number)) {
        conditions.push(`attribute_not_exists(#${label})`);
        continue;
      }
      // Whatever other mark it has by now: naming the one that was seen would have fifty duplicates wait for each other.
      conditions.push(`attribute_exists(#${label})`);
      if (!isDirect(mark)) {
        values[':direct'] = DIRECT;
        conditions.push(`NOT begins_with(#${label}, :direct)`);
      }
    }
    try {
      const { Attributes } = await table.client.send(
        new UpdateItemCommand({
          TableName: table.tableName,
          Key: pageKey(upload, { level: 0, index }),
          UpdateExpression: `SET ${sets.join(', ')} ADD #bytes :bytes`,
          ConditionExpression: conditions.join(' AND '),
          ExpressionAttributeNames: names,
          ExpressionAttributeValues: marshall(values),
          ReturnValues: 'ALL_NEW',
          ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
        }),
      );
      return toPage(index, unmarshall(Attributes ?? {}));
    } catch (error) {
      if (!(error instanceof ConditionalCheckFailedException)) throw error;
      known = error.Item ? toPage(index, unmarshall(error.Item)) : await readPage(table, upload, index);
    }
  }
  throw new Error(`Page ${index} was changed by other requests ${RACES} times in a row.`);
}

/** One page, read consistently; empty when nothing of it is recorded. */
export async function readPage(table: Table, upload: UploadRecord, index: number): Promise<Page> {
  const { Item } = await table.client.send(
    new GetItemCommand({
      TableName: table.tableName,
      Key: pageKey(upload, { level: 0, index }),
      ConsistentRead: true,
    }),
  );
  return toPage(index, Item ? unmarshall(Item) : {});
}

/** All pages in order, read consistently. Only the workflow, the watchdog and a client's resume may afford it. */
export async function* readPages(table: Table, upload: UploadRecord): AsyncGenerator<Page> {
  const query = paginateQuery(
    { client: table.client },
    {
      TableName: table.tableName,
      KeyConditionExpression: '#pk = :pk AND begins_with(#sk, :prefix)',
      ExpressionAttributeNames: { '#pk': 'pk', '#sk': 'sk' },
      ExpressionAttributeValues: marshall({
        ':pk': partitionKey(upload),
        ':prefix': pagesPrefix(upload.attempt),
      }),
      ConsistentRead: true,
    },
  );
  for await (const { Items } of query) {
    for (const item of Items ?? []) {
      const plain = unmarshall(item);
      yield toPage(pageIndexOf(String(plain.sk)), plain);
    }
  }
}

/** All marks, and the bytes they stand for. */
export async function readMarks(
  table: Table,
  upload: UploadRecord,
): Promise<{ marks: Map<number, PieceMark>; bytes: number }> {
  const marks = new Map<number, PieceMark>();
  let bytes = 0;
  for await (const page of readPages(table, upload)) {
    for (const [number, mark] of page.marks) {
      marks.set(number, mark);
      bytes += pieceLength(upload, number);
    }
  }
  return { marks, bytes };
}

/**
 * Notes a full page on its parent, and the parent on its own when that is full too.
 *
 * @returns the child's number to note on the upload's item, or undefined while a node between is not full
 */
export async function noteFullPage(
  table: Table,
  upload: UploadRecord,
  index: number,
): Promise<number | undefined> {
  const count = pieceCount(upload);
  let child: PageAddress = { level: 0, index };
  for (;;) {
    const parent = parentOf(child, count);
    if (!parent) return childNumber(child, count);
    const { Attributes } = await table.client.send(
      new UpdateItemCommand({
        TableName: table.tableName,
        Key: pageKey(upload, parent),
        UpdateExpression: 'SET #ttl = :ttl ADD #full :child',
        ExpressionAttributeNames: { '#ttl': 'ttl', '#full': 'full' },
        ExpressionAttributeValues: marshall({
          ':ttl': upload.ttl,
          ':child': new Set([childNumber(child, count)]),
        }),
        ReturnValues: 'ALL_NEW',
      }),
    );
    const full = unmarshall(Attributes ?? {}).full as Set<number>;
    if (full.size < childrenOf(parent, count)) return undefined;
    child = parent;
  }
}

/**
 * Takes pieces off the record, so that the client sends them again, and their pages off every node above.
 *
 * @returns the numbers to take off the upload's own item
 */
export async function unrecordPieces(
  table: Table,
  upload: UploadRecord,
  pieces: ReadonlyMap<number, PieceMark | undefined>,
): Promise<number[]> {
  const count = pieceCount(upload);
  const tops = new Set<number>();
  for (const [number, mark] of pieces) {
    const index = pageOf(number);
    if (mark !== undefined) await unrecord(table, upload, number, mark);
    let child: PageAddress = { level: 0, index };
    for (let parent = parentOf(child, count); parent; parent = parentOf(child, count)) {
      await table.client.send(
        new UpdateItemCommand({
          TableName: table.tableName,
          Key: pageKey(upload, parent),
          UpdateExpression: 'SET #ttl = :ttl DELETE #full :child',
          ExpressionAttributeNames: { '#ttl': 'ttl', '#full': 'full' },
          ExpressionAttributeValues: marshall({
            ':ttl': upload.ttl,
            ':child': new Set([childNumber(child, count)]),
          }),
        }),
      );
      child = parent;
    }
    tops.add(childNumber(child, count));
  }
  return [...tops];
}

async function unrecord(table: Table, upload: UploadRecord, number: number, mark: PieceMark): Promise<void> {
  const label = attribute(number);
  try {
    await table.client.send(
      new UpdateItemCommand({
        TableName: table.tableName,
        Key: pageKey(upload, { level: 0, index: pageOf(number) }),
        UpdateExpression: 'REMOVE #mark ADD #bytes :bytes',
        ConditionExpression: '#mark = :mark',
        ExpressionAttributeNames: { '#mark': label, '#bytes': 'bytes' },
        ExpressionAttributeValues: marshall({ ':mark': mark, ':bytes': -pieceLength(upload, number) }),
      }),
    );
  } catch (error) {
    // Sent again meanwhile: what is recorded now is not what was found missing.
    if (!(error instanceof ConditionalCheckFailedException)) throw error;
  }
}

/**
 * Deletes the pages and nodes of this attempt and of those before it. TTL would take them too, for nothing, but
 * later. A newer attempt's stay: the client may have started over already.
 */
export async function deletePages(table: Table, upload: UploadRecord): Promise<void> {
  const query = paginateQuery(
    { client: table.client },
    {
      TableName: table.tableName,
      // `$` follows `#`: everything up to the last page of this attempt.
      KeyConditionExpression: '#pk = :pk AND #sk BETWEEN :first AND :last',
      ExpressionAttributeNames: { '#pk': 'pk', '#sk': 'sk' },
      ExpressionAttributeValues: marshall({
        ':pk': partitionKey(upload),
        ':first': '0',
        ':last': `${upload.attempt}$`,
      }),
      ProjectionExpression: '#pk, #sk',
      ConsistentRead: true,
    },
  );
  for await (const { Items = [] } of query) {
    for (let from = 0; from < Items.length; from += 25)
      await deleteItems(table, Items.slice(from, from + 25));
  }
}

/** Tries of one batch, some seconds of pauses at most. */
const BATCH_TRIES = 8;

/** At most 25. What is left unprocessed was throttled: it is tried again after growing pauses. */
async function deleteItems(
  { client, tableName }: Table,
  keys: readonly Record<string, AttributeValue>[],
): Promise<void> {
  let requests: WriteRequest[] = keys.map((Key) => ({ DeleteRequest: { Key } }));
  for (let tries = 1; ; tries++) {
    const { UnprocessedItems } = await client.send(
      new BatchWriteItemCommand({ RequestItems: { [tableName]: requests } }),
    );
    requests = UnprocessedItems?.[tableName] ?? [];
    if (requests.length === 0) return;
    if (tries === BATCH_TRIES) throw new Error(`DynamoDB left ${requests.length} deletions undone.`);
    await pause(Math.random() * Math.min(50 * 2 ** tries, 1000));
  }
}
