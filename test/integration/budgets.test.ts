import { writeFileSync } from 'node:fs';
import { UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { UploadPartCommand } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { marshall } from '@aws-sdk/util-dynamodb';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  type Calls,
  COUNTED_FILE,
  type Counted,
  type CountedUpload,
  type Mode,
  readCounted,
  total,
} from '../../bench/counted.ts';
import { historyEvents as boundOnEvents } from '../../bench/simulation/bounds.ts';
import { type Item, itemSize } from '../../local/dynamodb-size.ts';
import type { AwsCall } from '../../local/types.ts';
import {
  chunksOf,
  createPresigned,
  inParallel,
  partBytes,
  putPart,
  reportParts,
  sendChunks,
  sourceFile,
} from '../support/clients.ts';
import {
  type CountedLife,
  countLife,
  isIndexQuery,
  isOfUpload,
  settled,
  summed,
} from '../support/counting.ts';
import { type SmallPartS3, startSmallPartS3 } from '../support/small-part-s3.ts';
import { TestStack, until } from '../support/stack.ts';

/**
 * What uploads may cost, counted at the AWS endpoint over their whole life: the watchdog's last sweep included. The
 * counts are kept in bench/counted.json, from which `npm run cost` computes: with UPDATE_COUNTS=1 this test writes
 * it, else it must agree.
 *
 * Presigned uploads of 1,000 and 10,000 parts have parts of one byte: see startSmallPartS3.
 */
const KiB = 1024;
const MiB = 1024 * KiB;
const CHUNK = 64 * KiB;
/** Ceph leaves the ETag out of its answer to a completion, so that the object is asked for it: a call more. */
const ON_CEPH = process.env.ENGINES === 'real';

const PIECES: Readonly<Record<Mode, readonly number[]>> = {
  // Ten thousand are the same there, and take minutes.
  proxy: [1, 10, 1_000, ...(ON_CEPH ? [] : [10_000])],
  presigned: [1, 10, 1_000, 10_000],
};

/** Parts for which one request gets URLs, and which one request reports. */
const BATCH = 50;

const lives = new Map<string, CountedLife>();
const lifeOf = (mode: Mode, pieces: number): CountedLife => {
  const life = lives.get(`${mode} ${pieces}`);
  if (!life) throw new Error(`The ${mode} upload of ${pieces} pieces has not been counted.`);
  return life;
};
const all = (['proxy', 'presigned'] as const).flatMap((mode) =>
  PIECES[mode].map((pieces) => [mode, pieces] as const),
);
const units = (mode: Mode, pieces: number, figure: 'readUnits' | 'writeUnits'): number =>
  total(lifeOf(mode, pieces).counted.calls, figure);
const callsOf = (mode: Mode, pieces: number, matching: Partial<AwsCall>): AwsCall[] =>
  lifeOf(mode, pieces).calls.filter((call) =>
    Object.entries(matching).every(([name, value]) => call[name as keyof AwsCall] === value),
  );
const bytes = (calls: readonly AwsCall[], direction: 'bytesIn' | 'bytesOut'): number =>
  calls.reduce((sum, call) => sum + call[direction], 0);
const rest: { idleRun?: Calls; look?: Counted['look'] } = {};

let smallParts: SmallPartS3;
let small: TestStack;
const env = { LOCAL_SCHEDULES: 'off' };
const stack = new TestStack({ context: { partSize: 5 * MiB }, env });

beforeAll(async () => {
  smallParts = await startSmallPartS3();
  small = new TestStack({ env: { ...smallParts.env, ...env } });
  await stack.start();
  await small.start();
}, 240_000);
afterAll(async () => {
  await stack.stop();
  await small.stop();
  await smallParts.stop();
}, 60_000);

async function proxied(pieces: number): Promise<CountedLife> {
  const file = sourceFile(pieces * CHUNK);
  const chunks = chunksOf(file.bytes.byteLength, { chunkSize: CHUNK });
  return await countLife(stack, { mode: 'proxy', pieces }, async () => {
    // The first chunk creates the upload; many first ones at once would race for that, and count differently each time.
    const { uploadId } = await sendChunks(stack, file, chunks.slice(0, 1), { chunkSize: CHUNK });
    if (pieces > 1) await sendChunks(stack, file, chunks.slice(1), { chunkSize: CHUNK, parallel: 6 });
    return { uploadId, requests: { 'POST /upload': pieces } };
  });
}

async function presigned(on: TestStack, pieces: number, partSize: number): Promise<CountedLife> {
  const file = sourceFile(pieces * partSize);
  return await countLife(on, { mode: 'presigned', pieces }, async () => {
    const requests = {
      'POST /uploads': 1,
      'POST /uploads/{uploadId}/part-urls': 0,
      'POST /uploads/{uploadId}/parts': 0,
    };
    const upload = await createPresigned(on, file);
    const urls = new Map(upload.partUrls.map(({ partNumber, url }) => [partNumber, url]));
    if (upload.partCount !== pieces) {
      await setPieceSize(on, upload.uploadId, partSize);
      for (let part = 1; part <= BATCH; part++) urls.set(part, await signedByRoot(on, upload, part));
    }
    for (let first = 1; first <= pieces; first += BATCH) {
      const numbers = Array.from(
        { length: Math.min(BATCH, pieces - first + 1) },
        (_, offset) => first + offset,
      );
      if (!urls.has(first)) {
        requests['POST /uploads/{uploadId}/part-urls']++;
        const answer = await on.api('POST', `/uploads/${upload.uploadId}/part-urls`, {
          partNumbers: numbers,
        });
        const { partUrls } = (await answer.json()) as Pick<typeof upload, 'partUrls'>;
        for (const { partNumber, url } of partUrls) urls.set(partNumber, url);
      }
      const parts: { partNumber: number; etag: string }[] = [];
      await inParallel(numbers, 6, async (partNumber) => {
        const etag = await putPart(urls.get(partNumber) ?? '', partBytes(file, partSize, partNumber));
        parts.push({ partNumber, etag });
      });
      requests['POST /uploads/{uploadId}/parts']++;
      await reportParts(on, upload.uploadId, parts);
    }
    return { uploadId: upload.uploadId, requests };
  });
}

/** The service chooses parts of 5 MiB and more; for counting, this upload gets tiny ones. */
async function setPieceSize(on: TestStack, uploadId: string, partSize: number): Promise<void> {
  await on.dynamodb.send(
    new UpdateItemCommand({
      TableName: on.tableName,
      Key: { pk: { S: `anonymous#${uploadId}` }, sk: { S: 'upload' } },
      UpdateExpression: 'SET pieceSize = :size',
      ExpressionAttributeValues: { ':size': { N: String(partSize) } },
    }),
  );
}

/** The URLs that a new upload is answered with are for the parts that it had then: here are those for the tiny ones. */
async function signedByRoot(
  on: TestStack,
  { uploadId, key }: { uploadId: string; key: string },
  PartNumber: number,
): Promise<string> {
  const item = (await on.items()).find(({ pk, sk }) => pk === `anonymous#${uploadId}` && sk === 'upload');
  return await getSignedUrl(
    on.s3,
    new UploadPartCommand({
      Bucket: on.bucketName,
      Key: key,
      UploadId: String(item?.s3UploadId),
      PartNumber,
    }),
  );
}

describe('counting', () => {
  test.each(PIECES.proxy)(
    'a proxied upload of %d chunks',
    async (pieces) => {
      lives.set(`proxy ${pieces}`, await proxied(pieces));
    },
    900_000,
  );

  test.each(PIECES.presigned)(
    'a presigned upload of %d parts',
    async (pieces) => {
      const life = pieces <= 10 ? await presigned(stack, pieces, 5 * MiB) : await presigned(small, pieces, 1);
      lives.set(`presigned ${pieces}`, life);
    },
    900_000,
  );

  test('a run of the watchdog with nothing to do, and a look at an upload under way', async () => {
    await settled(stack);
    await stack.clearCalls();
    await stack.watch();
    const idle = (await stack.calls()).filter(isOfUpload);
    expect(idle.every(isIndexQuery)).toBe(true);
    rest.idleRun = summed(idle);

    const pieces = 320;
    const file = sourceFile(2 * pieces * CHUNK);
    const chunks = chunksOf(file.bytes.byteLength, { chunkSize: CHUNK }).slice(0, pieces);
    const { uploadId } = await sendChunks(stack, file, chunks, { chunkSize: CHUNK, parallel: 6 });
    await stack.clearCalls();
    await stack.advance(310);
    await stack.watch();
    const isLook = (call: AwsCall) => call.functionName === 'watchdog' && !isIndexQuery(call);
    await until('a look', 30_000, async () => {
      const looks = (await stack.calls()).filter(isLook);
      return looks.some(({ operation }) => operation === 'UpdateItem') || undefined;
    });
    await settled(stack);
    rest.look = { pieces, calls: summed((await stack.calls()).filter(isLook)) };
    expect((await stack.api('DELETE', `/uploads/${uploadId}`)).status).toBe(204);
  }, 120_000);
});

describe.each(all)('%s mode, %d pieces', (mode, pieces) => {
  const size = pieces * (mode === 'proxy' ? CHUNK : pieces <= 10 ? 5 * MiB : 1);

  test('every piece is one S3 write, and no call fails', () => {
    const writes =
      mode === 'presigned'
        ? callsOf(mode, pieces, { operation: 'UploadPart' })
        : callsOf(mode, pieces, { functionName: 'receive-chunk', service: 's3' }).filter(({ operation }) =>
            ['PutObject', 'UploadPart'].includes(operation),
          );
    expect(writes).toHaveLength(pieces);
    expect(bytes(writes, 'bytesIn')).toBe(size);
    expect(lifeOf(mode, pieces).calls.filter(({ status }) => status >= 400)).toEqual([]);
  });

  test('writes at most 1.2 units for each piece, and 8 for the upload', () => {
    expect(units(mode, pieces, 'writeUnits')).toBeLessThanOrEqual(1.2 * pieces + 8);
  });

  test('reads at most one unit for each piece, a tenth more, and 12 for the upload', () => {
    const perPiece = mode === 'proxy' ? 1.1 : 0.1;
    expect(units(mode, pieces, 'readUnits')).toBeLessThanOrEqual(perPiece * pieces + 12);
  });

  test('takes six state transitions, and one for each assembled part', () => {
    const { assembledParts, transitions } = lifeOf(mode, pieces).counted;
    expect(transitions).toBe(6 + assembledParts);
    if (mode === 'presigned') expect(assembledParts).toBe(0);
  });

  test('its execution has as many history events as the bound on them says', () => {
    const { counted, historyEvents } = lifeOf(mode, pieces);
    expect(historyEvents).toBe(boundOnEvents(counted.assembledParts));
  });

  test('no function reads the record of other pieces but those that must know them all', () => {
    const readers = new Set(
      callsOf(mode, pieces, { operation: 'Query' }).map(({ functionName }) => functionName),
    );
    expect(readers).toEqual(
      new Set(mode === 'proxy' ? ['gather-parts'] : ['complete-upload', 'gather-parts']),
    );
    for (const operation of ['Scan', 'BatchGetItem', 'TransactWriteItems'])
      expect(callsOf(mode, pieces, { operation })).toEqual([]);
  });

  test('the watchdog looks at it once, when it is over', () => {
    expect(lifeOf(mode, pieces).counted.calls.watchdog).toEqual({
      'dynamodb:GetItem': { calls: 1, readUnits: 1 },
      'dynamodb:UpdateItem': { calls: 1, writeUnits: 2 },
      's3:ListMultipartUploads': { calls: 1 },
      's3:ListObjectsV2': { calls: 1 },
    });
  });
});

describe('presigned mode', () => {
  test.each(PIECES.presigned)('no function touches the bytes of %d parts', (pieces) => {
    const functions = lifeOf('presigned', pieces).calls.filter(
      ({ service, functionName, operation }) =>
        service === 's3' && functionName && !(ON_CEPH && operation === 'HeadObject'),
    );
    expect([...new Set(functions.map(({ operation }) => operation))].sort()).toEqual([
      'CompleteMultipartUpload',
      'CreateMultipartUpload',
      'ListMultipartUploads',
      'ListObjectsV2',
    ]);
    expect(functions).toHaveLength(4);
  });

  test.each(PIECES.presigned)('takes at most 0.05 API requests for each of %d parts, and 2', (pieces) => {
    const { requests } = lifeOf('presigned', pieces).counted;
    const count = Object.values(requests).reduce((sum, one) => sum + one, 0);
    expect(count).toBeLessThanOrEqual(0.05 * pieces + 2);
  });
});

describe('proxy mode', () => {
  test.each(PIECES.proxy)(
    'a function makes two calls to DynamoDB for each of %d chunks, and one more for 16',
    (pieces) => {
      const calls = callsOf('proxy', pieces, { functionName: 'receive-chunk', service: 'dynamodb' });
      expect(calls.length).toBeLessThanOrEqual(pieces * (2 + 1 / 16 + 1 / 512) + 3);
    },
  );

  test.each(PIECES.proxy.filter((pieces) => pieces > 1))(
    'assembly reads and writes each byte of %d chunks once',
    (pieces) => {
      const assembly = callsOf('proxy', pieces, { functionName: 'assemble-part' });
      const size = pieces * CHUNK;
      expect(
        bytes(
          assembly.filter(({ operation }) => operation === 'GetObject'),
          'bytesOut',
        ),
      ).toBe(size);
      expect(
        bytes(
          assembly.filter(({ operation }) => operation === 'UploadPart'),
          'bytesIn',
        ),
      ).toBe(size);
      expect(new Set(assembly.map(({ operation }) => operation))).toEqual(
        new Set(['GetObject', 'UploadPart']),
      );
    },
  );
});

const sizeOf = (item: Record<string, unknown>): number => itemSize(marshall(item) as unknown as Item);

describe('units', () => {
  test('every item of the table is within one write unit', async () => {
    const items = [...(await stack.items()), ...(await small.items())];
    expect(items.length).toBeGreaterThan(600);
    for (const item of items) expect(sizeOf(item)).toBeLessThanOrEqual(1024);
  });

  test('reading all pages costs one unit for each 4 KiB of them', async () => {
    const [gather] = callsOf('presigned', 10_000, { functionName: 'gather-parts', operation: 'Query' });
    const items = await small.items();
    const upload = items.find(({ sk, totalSize }) => sk === 'upload' && totalSize === 10_000);
    const pages = items.filter(({ pk, sk }) => pk === upload?.pk && String(sk).includes('#0#'));
    expect(pages).toHaveLength(625);
    const size = pages.reduce((sum, page) => sum + sizeOf(page), 0);
    expect(gather?.readUnits).toBe(Math.ceil(size / 4096));
  });

  test('a look at an upload under way reads each page once, and writes three units', () => {
    const { pieces, calls } = rest.look ?? { pieces: 0, calls: {} };
    expect(calls.watchdog?.['dynamodb:Query']?.readUnits).toBeLessThanOrEqual(pieces / 80 + 1);
    expect(total(calls, 'writeUnits')).toBe(3);
  });
});

/** What one more piece adds to an upload between these sizes. */
function slope(
  uploads: readonly CountedUpload[],
  mode: Mode,
  [fewer, more]: readonly [number, number],
  figure: 'readUnits' | 'writeUnits',
): number {
  const at = (pieces: number): number => {
    const upload = uploads.find((one) => one.mode === mode && one.pieces === pieces);
    if (!upload) throw new Error(`No ${mode} upload of ${pieces} pieces is recorded.`);
    return total(upload.calls, figure);
  };
  return (at(more) - at(fewer)) / (more - fewer);
}

describe('the record', () => {
  /** Read units may differ by one where sizes round otherwise, since numbers in items are of a few digits more or less. */
  const rounded = (uploads: readonly CountedUpload[]) =>
    uploads.map((upload) => ({ ...upload, calls: withoutReadUnits(upload.calls) }));

  test('agrees with what has been counted', () => {
    const uploads = all.map(([mode, pieces]) => lifeOf(mode, pieces).counted);
    const { idleRun, look } = rest;
    if (!idleRun || !look) throw new Error('The watchdog has not been counted.');
    if (process.env.UPDATE_COUNTS === '1') {
      if (ON_CEPH) throw new Error('What AWS answers is on record, not what Ceph does.');
      writeFileSync(
        COUNTED_FILE,
        `${JSON.stringify({ uploads, idleRun, look } satisfies Counted, null, 2)}\n`,
      );
    }
    const recorded = readCounted();
    const comparable = recorded.uploads.filter(({ mode, pieces }) => PIECES[mode].includes(pieces));
    const known = ON_CEPH ? comparable.map(asOnCeph) : comparable;
    expect(rounded(uploads)).toEqual(rounded(known));
    for (const [index, upload] of uploads.entries()) {
      const reads = total(known[index]?.calls ?? {}, 'readUnits');
      expect(Math.abs(total(upload.calls, 'readUnits') - reads)).toBeLessThanOrEqual(2);
    }
    // DynamoDB Local charges nothing for a query that finds nothing.
    const idle = ON_CEPH ? withoutReadUnits : (calls: Calls): Calls => calls;
    expect(idle(idleRun)).toEqual(idle(recorded.idleRun));
    expect({ ...look, calls: withoutReadUnits(look.calls) }).toEqual({
      ...recorded.look,
      calls: withoutReadUnits(recorded.look.calls),
    });
  });

  test('is flat: a piece costs the same at 10,000 as before', () => {
    const { uploads } = readCounted();
    for (const figure of ['readUnits', 'writeUnits'] as const) {
      const early = slope(uploads, 'proxy', [10, 1_000], figure);
      const late = slope(uploads, 'proxy', [1_000, 10_000], figure);
      expect(Math.abs(late / early - 1)).toBeLessThan(0.01);
    }
    expect(slope(uploads, 'presigned', [1_000, 10_000], 'writeUnits')).toBeLessThan(0.16);
  });
});

/** Uploads of many tiny parts have another S3 there too. */
const asOnCeph = (upload: CountedUpload): CountedUpload =>
  upload.mode === 'presigned' && upload.pieces > 10
    ? upload
    : {
        ...upload,
        calls: {
          ...upload.calls,
          'complete-upload': { ...upload.calls['complete-upload'], 's3:HeadObject': { calls: 1 } },
        },
      };

const withoutReadUnits = (calls: Calls): Calls =>
  Object.fromEntries(
    Object.entries(calls).map(([caller, operations]) => [
      caller,
      Object.fromEntries(
        Object.entries(operations).map(([name, { calls: times, writeUnits = 0 }]) => [
          name,
          { calls: times, writeUnits },
        ]),
      ),
    ]),
  );
