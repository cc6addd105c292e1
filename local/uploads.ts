import type { AttributeValue } from '@aws-sdk/client-dynamodb';
import { unmarshall } from '@aws-sdk/util-dynamodb';
import { executionName, type UploadMode } from '../lambdas/upload/identity.ts';
import { objectKey, statusAt, type UploadRecord, type UploadStatus } from '../lambdas/upload/record.ts';
import { fromItem } from '../lambdas/upload/store.ts';
import type { JsonEngine } from './types.ts';

/** One line of `GET /_local/uploads`. Times are milliseconds since the epoch. */
export interface UploadSummary {
  readonly uploadId: string;
  readonly owner: string;
  readonly attempt: string;
  readonly mode: UploadMode;
  readonly status: UploadStatus;
  readonly fileName: string;
  readonly key: string;
  readonly receivedBytes: number;
  readonly totalBytes: number;
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly completedAt?: number;
  /** The last one that was started for it. */
  readonly executionName?: string;
}

/** The body of `GET /_local/uploads`, newest first; `found` counts also those beyond the limit. */
export interface UploadPage {
  readonly uploads: readonly UploadSummary[];
  readonly found: number;
}

/** How many uploads one answer has unless it is asked for more. */
const LIMIT = 200;

/**
 * Every upload that the table knows, read as no function may: by a scan, which is fine for one developer's table.
 *
 * @param query `limit`; `status`; `search`, a part of a file's name, of an owner or of an upload's id
 */
export async function listUploads(
  dynamodb: JsonEngine,
  tableName: string,
  now: number,
  query: URLSearchParams,
): Promise<UploadPage> {
  const [limit, status] = [Number(query.get('limit') ?? LIMIT), query.get('status') ?? ''];
  if (!Number.isInteger(limit) || limit < 1) throw new RangeError('limit is a whole number from 1');
  const search = (query.get('search') ?? '').trim().toLowerCase();
  const found = (await readUploads(dynamodb, tableName, now))
    .filter((upload) => status === '' || upload.status === status)
    .filter(({ fileName, owner, uploadId }) =>
      [fileName, owner, uploadId].some((text) => text.toLowerCase().includes(search)),
    )
    // An attempt's name begins with its time, to the millisecond.
    .sort((a, b) => (a.attempt < b.attempt ? 1 : -1));
  return { uploads: found.slice(0, limit), found: found.length };
}

async function readUploads(dynamodb: JsonEngine, tableName: string, now: number): Promise<UploadSummary[]> {
  const records: UploadRecord[] = [];
  const bytesOf = new Map<string, number>();
  for await (const item of itemsOf(dynamodb, tableName)) {
    if (item['sk'] === 'upload') records.push(fromItem(item));
    else if (item['bytes'] !== undefined) {
      const [attempt] = String(item['sk']).split('#');
      const name = `${item['pk']} ${attempt}`;
      bytesOf.set(name, (bytesOf.get(name) ?? 0) + Number(item['bytes']));
    }
  }
  return records.map((record) => {
    const { owner, uploadId, attempt, mode, fileName, totalSize, completedAt } = record;
    const status = statusAt(record, now);
    const isWhole = status === 'completing' || status === 'completed';
    // An upload that was opened again is at its next run, and has no execution of that yet.
    const run = isWhole || status === 'failed' ? record.run : record.run - 1;
    return {
      ...{ uploadId, owner, attempt, mode, status, fileName, key: objectKey(record), totalBytes: totalSize },
      receivedBytes: isWhole ? totalSize : (bytesOf.get(`${owner}#${uploadId} ${attempt}`) ?? 0),
      createdAt: record.createdAt * 1000,
      expiresAt: record.expiresAt * 1000,
      ...(completedAt !== undefined && { completedAt: completedAt * 1000 }),
      ...(run > 0 && { executionName: executionName({ uploadId, attempt, run }) }),
    };
  });
}

async function* itemsOf(dynamodb: JsonEngine, TableName: string): AsyncGenerator<Record<string, unknown>> {
  let start: unknown;
  do {
    const input = { TableName, ...(start !== undefined && { ExclusiveStartKey: start }) };
    const { status, body } = await dynamodb('Scan', input, { kind: 'root' });
    if (status !== 200) throw new Error(`Scan of ${TableName}: ${JSON.stringify(body)}`);
    for (const item of body['Items'] as Record<string, AttributeValue>[]) yield unmarshall(item);
    start = body['LastEvaluatedKey'];
  } while (start !== undefined);
}
