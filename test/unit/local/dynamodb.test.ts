import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from '@jest/globals';
import { createDynamoDb, type DynamoDb, type DynamoDbOptions } from '../../../local/dynamodb.ts';
import { indexWriteUnits, itemSize, tableWriteUnits } from '../../../local/dynamodb-size.ts';
import type { Resource } from '../../../local/types.ts';
import { movableClock, table, templateOf } from './aws/fakes.ts';

const dynalite = createRequire(import.meta.url)('dynalite') as (options: object) => Server;
const opened: DynamoDb[] = [];
afterEach(async () => {
  for (const db of opened.splice(0)) await db.close();
});

const open = async (options: Partial<DynamoDbOptions> & { tables?: Resource[] } = {}) => {
  const { tables = [table('uploads')], ...rest } = options;
  const clock = movableClock();
  const db = await createDynamoDb({ clock, template: templateOf(tables), ...rest });
  opened.push(db);
  const call = (operation: string, input: Record<string, unknown>) =>
    db.engine(operation, { TableName: 'uploads', ...input }, { kind: 'root' });
  return { db, clock, call };
};
const key = { pk: { S: 'me#1' }, sk: { S: 'upload' } };
const units = (answer: { body: Record<string, unknown> }) =>
  (answer.body['ConsumedCapacity'] as { CapacityUnits: number }).CapacityUnits;

describe('writes', () => {
  test("a failed condition gives the item that failed it, as that write's own turn saw it", async () => {
    const { call } = await open();
    const add = (n: number) =>
      call('UpdateItem', {
        Key: key,
        UpdateExpression: 'SET p = :n',
        ConditionExpression: 'attribute_not_exists(p)',
        ExpressionAttributeValues: { ':n': { N: String(n) } },
        ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
      });
    const answers = await Promise.all(Array.from({ length: 20 }, (_none, n) => add(n)));
    const winners = answers.flatMap(({ status }, n) => (status === 200 ? [n] : []));
    expect(winners).toHaveLength(1);
    const losers = answers.filter(({ status }) => status === 400);
    expect(losers).toHaveLength(19);
    for (const { body } of losers)
      expect(body).toMatchObject({
        __type: 'com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException',
        Item: { ...key, p: { N: String(winners[0]) } },
      });
  });

  test('a failed condition gives no item where none is stored, or none was asked for', async () => {
    const { call } = await open();
    const condition = { Key: key, ConditionExpression: 'attribute_exists(pk)' };
    const missing = await call('DeleteItem', {
      ...condition,
      ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
    });
    expect(missing).toMatchObject({ status: 400 });
    expect(missing.body).not.toHaveProperty('Item');
    await call('PutItem', { Item: key });
    const unasked = await call('PutItem', { Item: key, ConditionExpression: 'attribute_not_exists(pk)' });
    expect(unasked.status).toBe(400);
    expect(unasked.body).not.toHaveProperty('Item');
  });

  test('counters of concurrent updates lose nothing, batches and single writes together', async () => {
    const { call } = await open();
    const add = () =>
      call('UpdateItem', {
        Key: key,
        UpdateExpression: 'ADD received :n',
        ExpressionAttributeValues: { ':n': { N: '5' } },
      });
    const others = (n: number) => ({
      RequestItems: {
        uploads: [
          { PutRequest: { Item: { ...key, sk: { S: `x${n % 3}` } } } },
          { PutRequest: { Item: { ...key, sk: { S: `y${n % 3}` } } } },
        ],
      },
    });
    await Promise.all(
      Array.from({ length: 60 }, (_none, n) => (n % 3 === 0 ? call('BatchWriteItem', others(n)) : add())),
    );
    const { body } = await call('GetItem', { Key: key, ConsistentRead: true });
    expect(body).toMatchObject({ Item: { received: { N: '200' } } });
  });

  test('a page update of up to 20 parts costs one unit, whether it succeeds or not', async () => {
    const { call } = await open();
    const record = (n: number) =>
      call('UpdateItem', {
        Key: { ...key, sk: { S: 'abc#0#000' } },
        UpdateExpression: 'SET #p = :etag ADD received :size',
        ConditionExpression: 'attribute_not_exists(#p)',
        ExpressionAttributeNames: { '#p': `p${n}` },
        ExpressionAttributeValues: {
          ':etag': { S: '0123456789abcdef0123456789abcdef' },
          ':size': { N: '8388608' },
        },
      });
    for (let n = 0; n < 20; n += 1) expect(units(await record(n))).toBe(1);
    const again = await record(3);
    expect([again.status, units(again)]).toEqual([400, 1]);
  });

  test('index entries are metered: put, moved, unchanged, removed', async () => {
    const { call } = await open();
    const watch = { watch: { S: '0' }, nextLook: { N: '1' } };
    const put = await call('PutItem', { Item: { ...key, ...watch } });
    expect(put.body['ConsumedCapacity']).toEqual({
      TableName: 'uploads',
      CapacityUnits: 2,
      Table: { CapacityUnits: 1 },
      GlobalSecondaryIndexes: { 'by-next-look': { CapacityUnits: 1 } },
    });
    const set = (expression: string, values: object = {}) =>
      call('UpdateItem', { Key: key, UpdateExpression: expression, ExpressionAttributeValues: values });
    expect(units(await set('SET nextLook = :n', { ':n': { N: '2' } }))).toBe(3);
    expect(units(await set('SET remark = :n', { ':n': { N: '2' } }))).toBe(1);
    expect(units(await call('UpdateItem', { Key: key, UpdateExpression: 'REMOVE watch' }))).toBe(2);
    expect(units(await call('DeleteItem', { Key: key }))).toBe(1);
  });

  test('a table may be named by its ARN', async () => {
    const { db } = await open();
    const TableName = 'arn:aws:dynamodb:us-east-1:000000000000:table/uploads';
    expect((await db.engine('PutItem', { TableName, Item: key }, { kind: 'root' })).status).toBe(200);
  });

  test('what dynalite refuses is answered as DynamoDB does', async () => {
    const { call } = await open();
    expect((await call('PutItem', { Item: { pk: { S: 'x' } } })).body).toMatchObject({
      __type: expect.stringContaining('#ValidationException'),
    });
    expect((await call('GetItem', { TableName: 'other', Key: key })).body).toMatchObject({
      __type: expect.stringContaining('#ResourceNotFoundException'),
    });
    expect((await call('TransactWriteItems', {})).body).toMatchObject({
      __type: expect.stringContaining('#UnknownOperationException'),
    });
  });
});

describe('reads', () => {
  test('units are in started 4 KB, halved where they may be stale, and never nothing', async () => {
    const { call } = await open();
    await call('PutItem', { Item: { ...key, text: { S: 'x'.repeat(5000) } } });
    expect(units(await call('GetItem', { Key: key, ConsistentRead: true }))).toBe(2);
    expect(units(await call('GetItem', { Key: key }))).toBe(1);
    const query = {
      KeyConditionExpression: 'pk = :pk',
      ExpressionAttributeValues: { ':pk': { S: 'nobody' } },
    };
    expect(units(await call('Query', query))).toBe(0.5);
    expect(units(await call('Query', { ...query, ConsistentRead: true }))).toBe(1);
  });

  test('the index is read in order', async () => {
    const { call } = await open();
    for (const n of [30, 4, 200])
      await call('PutItem', {
        Item: { pk: { S: `u${n}` }, sk: { S: 'upload' }, watch: { S: 'a' }, nextLook: { N: String(n) } },
      });
    const { body } = await call('Query', {
      IndexName: 'by-next-look',
      KeyConditionExpression: 'watch = :w AND nextLook <= :now',
      ExpressionAttributeValues: { ':w': { S: 'a' }, ':now': { N: '100' } },
    });
    expect((body['Items'] as { nextLook: { N: string } }[]).map(({ nextLook }) => nextLook.N)).toEqual([
      '4',
      '30',
    ]);
  });
});

describe('sizes', () => {
  test('names and values count in UTF-8 bytes', () => {
    expect(itemSize({ pk: { S: 'abc' } })).toBe(5);
    expect(itemSize({ pk: { S: '映画' } })).toBe(8);
    expect(itemSize({ n: { N: '8388608' } })).toBe(1 + 5);
    expect(itemSize({ n: { N: '-5' } })).toBe(1 + 3);
    expect(itemSize({ b: { B: 'AAAA' } })).toBe(4);
    expect(itemSize({ l: { L: [{ S: 'a' }, { BOOL: true }] } })).toBe(1 + 3 + 2 + 2);
    expect(itemSize({ m: { M: { a: { S: 'bc' } } } })).toBe(1 + 3 + 1 + 3);
    expect(itemSize({ s: { SS: ['a', 'bc'] } })).toBe(4);
  });

  test('a write costs the larger of both items', () => {
    const of = (bytes: number) => ({ a: { S: 'x'.repeat(bytes - 1) } });
    expect(tableWriteUnits(undefined, of(1024))).toBe(1);
    expect(tableWriteUnits(of(1025), of(10))).toBe(2);
    expect(tableWriteUnits(undefined, undefined)).toBe(1);
    const index = {
      IndexName: 'i',
      KeySchema: [{ AttributeName: 'w' }],
      Projection: { ProjectionType: 'ALL' },
    };
    const big = { w: { S: 'a' }, ...of(3000) };
    expect(indexWriteUnits(undefined, big, ['a'], index)).toBe(3);
    expect(indexWriteUnits(big, { ...big, w: { S: 'b' } }, ['a'], index)).toBe(6);
  });
});

describe('tables', () => {
  test('items outlive a restart, and changed keys are refused in plain words', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'dynamodb-'));
    try {
      const first = await open({ dir });
      await first.call('PutItem', { Item: { ...key, kept: { S: 'yes' } } });
      await first.db.close();
      opened.length = 0;

      const second = await open({ dir });
      expect((await second.call('GetItem', { Key: key })).body).toMatchObject({
        Item: { kept: { S: 'yes' } },
      });
      await second.db.close();
      opened.length = 0;

      const changed = table('uploads', { KeySchema: [{ AttributeName: 'pk', KeyType: 'HASH' }] });
      await expect(open({ dir, tables: [changed] })).rejects.toThrow(
        /table uploads is stored with the keys "HASH pk \(S\), RANGE sk \(S\).*template now says "HASH pk \(S\);/,
      );
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  test('the sweep deletes what the TTL says by the stack’s clock, and nothing else', async () => {
    const { db, clock, call } = await open();
    const at = (days: number) => ({ N: String(Math.floor(clock.now() / 1000) + days * 86_400) });
    const put = (sk: string, ttl: object) =>
      call('PutItem', { Item: { pk: { S: 'p' }, sk: { S: sk }, ...ttl } });
    await put('soon', { ttl: at(1) });
    await put('later', { ttl: at(3) });
    await put('never', {});
    await put('text', { ttl: { S: '1' } });
    await put('ancient', { ttl: at(-6 * 365) });
    expect(await db.sweepTtl()).toBe(0);
    clock.advance(2 * 86_400_000);
    expect(await db.sweepTtl()).toBe(1);
    expect(await db.sweepTtl()).toBe(0);
    const { body } = await call('Scan', {});
    expect((body['Items'] as { sk: { S: string } }[]).map(({ sk }) => sk.S).sort()).toEqual([
      'ancient',
      'later',
      'never',
      'text',
    ]);
  });
});

describe('another engine behind an endpoint', () => {
  test('serves the template’s tables, metered, with its TTL swept', async () => {
    const server = dynalite({ createTableMs: 0 });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { db, clock, call } = await open({ endpoint });
    const past = String(Math.floor(clock.now() / 1000) - 10);
    expect(units(await call('PutItem', { Item: { ...key, ttl: { N: past } } }))).toBe(1);
    expect(
      await call('PutItem', { Item: key, ConditionExpression: 'attribute_not_exists(pk)' }),
    ).toMatchObject({
      status: 400,
      body: { __type: expect.stringContaining('#ConditionalCheckFailedException') },
    });
    expect(await db.sweepTtl()).toBe(1);
    expect((await call('GetItem', { Key: key })).body).not.toHaveProperty('Item');
    await open({ endpoint });
    await db.close();
    server.close();
    await once(server, 'close');
    await expect(call('GetItem', { Key: key })).rejects.toThrow('ECONNREFUSED');
  });

  test('an endpoint that is no http URL is refused', async () => {
    await expect(open({ endpoint: 'https://dynamodb' })).rejects.toThrow('not http://');
  });
});
