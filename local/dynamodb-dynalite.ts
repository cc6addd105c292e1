/**
 * dynalite called in this process, past its HTTP server, and what it lacks: the item of a failed condition
 * (ReturnValuesOnConditionCheckFailure), write units by UTF-8 sizes and with those of global indexes.
 *
 * Both need the item before and after a write, so writes of one item run one after another here. Nothing else
 * writes to the store, hence what is read around a write is exactly what the write saw and left.
 */
import { mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { type IndexShape, type Item, indexWriteUnits, tableWriteUnits } from './dynamodb-size.ts';
import type { JsonAnswer, JsonEngine } from './types.ts';

type Callback<T> = (error: Error | null, value?: T) => void;
interface ApiError extends Error {
  readonly statusCode?: number;
  readonly body?: Record<string, unknown>;
}
interface Table {
  readonly KeySchema: readonly { readonly AttributeName: string }[];
  readonly GlobalSecondaryIndexes?: readonly IndexShape[];
}
interface Store {
  readonly tableDb: { awsAccountId: string; awsRegion: string };
  readonly db: { close(done: Callback<void>): void };
  getTable(name: string, done: Callback<Table>): void;
  getItemDb(name: string): { get(key: string, done: Callback<Item>): void };
}
type Input = Record<string, unknown>;
interface Validation {
  readonly types: object;
  readonly custom?: object;
}

const require = createRequire(import.meta.url);
const dynalite = {
  db: require('dynalite/db') as {
    create(options: object): Store;
    createKey(item: Item, table: Table): string;
    validateKey(key: Item, table: Table): Error | null | undefined;
  },
  validations: require('dynalite/validations') as {
    checkTypes(input: Input, types: object): Input;
    checkValidations(input: Input, types: object, custom: object | undefined, store: Store): void;
  },
};
const operations = [
  'BatchGetItem',
  'BatchWriteItem',
  'CreateTable',
  'DeleteItem',
  'DeleteTable',
  'DescribeTable',
  'DescribeTimeToLive',
  'GetItem',
  'ListTables',
  'PutItem',
  'Query',
  'Scan',
  'UpdateItem',
  'UpdateTable',
];
const fileOf = (operation: string) => operation.charAt(0).toLowerCase() + operation.slice(1);
const actions = new Map(
  operations.map((operation) => [
    operation,
    {
      run: require(`dynalite/actions/${fileOf(operation)}`) as (
        store: Store,
        input: Input,
        done: Callback<Input>,
      ) => void,
      validation: require(`dynalite/validations/${fileOf(operation)}`) as Validation,
    },
  ]),
);

const promised = <T>(start: (done: Callback<T>) => void): Promise<T> =>
  new Promise((resolve, reject) => start((error, value) => (error ? reject(error) : resolve(value as T))));

export interface Dynalite {
  readonly call: JsonEngine;
  close(): Promise<void>;
}

/** @param options `dir`: LevelDB's folder; without it the tables live in memory. */
export const openDynalite = (options: {
  readonly dir?: string;
  readonly account: string;
  readonly region: string;
}): Dynalite => {
  if (options.dir) mkdirSync(options.dir, { recursive: true });
  const store = dynalite.db.create({
    ...(options.dir && { path: options.dir }),
    createTableMs: 0,
    updateTableMs: 0,
    deleteTableMs: 0,
  });
  store.tableDb.awsAccountId = options.account;
  store.tableDb.awsRegion = options.region;

  const run = async (operation: string, given: Input): Promise<JsonAnswer> => {
    const action = actions.get(operation);
    if (!action)
      return { status: 400, body: { __type: 'com.amazon.coral.service#UnknownOperationException' } };
    const { types, custom } = action.validation;
    try {
      // dynalite edits what it is given.
      const input = dynalite.validations.checkTypes(structuredClone(given), types);
      dynalite.validations.checkValidations(input, types, custom, store);
      return { status: 200, body: await promised<Input>((done) => action.run(store, input, done)) };
    } catch (error) {
      const { statusCode, body } = error as ApiError;
      if (statusCode !== undefined && body !== undefined) return { status: statusCode, body: { ...body } };
      throw error;
    }
  };

  // --- Writes, one after another for each item

  const tails = new Map<string, Promise<unknown>>();
  const inTurn = async <T>(names: readonly string[], work: () => Promise<T>): Promise<T> => {
    const before = Promise.all(names.map((name) => tails.get(name) ?? Promise.resolve()));
    const result = before.then(work);
    const settled = result.then(
      () => undefined,
      () => undefined,
    );
    // All names are taken in one turn of the event loop, so two batches never wait for each other.
    for (const name of names) tails.set(name, settled);
    try {
      return await result;
    } finally {
      for (const name of names) if (tails.get(name) === settled) tails.delete(name);
    }
  };

  interface Write {
    readonly table: string;
    readonly shape: Table;
    readonly key: string;
  }
  const read = ({ table, key }: Write): Promise<Item | undefined> =>
    promised<Item | undefined>((done) =>
      store
        .getItemDb(table)
        .get(key, (error, item) =>
          error && error.name !== 'NotFoundError' ? done(error) : done(null, item),
        ),
    );

  /** The write's place in the store; undefined if table or key are not as they should be, which `run` then says. */
  const locate = async (table: unknown, item: unknown): Promise<Write | undefined> => {
    if (typeof table !== 'string' || typeof item !== 'object' || item === null) return undefined;
    let shape: Table;
    try {
      shape = await promised<Table>((done) => store.getTable(table, done));
    } catch (error) {
      if ((error as ApiError).statusCode !== undefined) return undefined;
      throw error;
    }
    const key = Object.fromEntries(
      shape.KeySchema.map(({ AttributeName: name }) => [name, (item as Item)[name]]),
    ) as Item;
    if (Object.values(key).includes(undefined as never) || dynalite.db.validateKey(key, shape))
      return undefined;
    return { table, shape, key: dynalite.db.createKey(key, shape) };
  };

  const unitsOf = (write: Write, before: Item | undefined, after: Item | undefined) => {
    const keys = write.shape.KeySchema.map(({ AttributeName }) => AttributeName);
    const indexes = (write.shape.GlobalSecondaryIndexes ?? [])
      .map((index): [string, number] => [index.IndexName, indexWriteUnits(before, after, keys, index)])
      .filter(([, units]) => units > 0);
    const table = tableWriteUnits(before, after);
    return { table, indexes };
  };

  /** ConsumedCapacity of some writes to one table. */
  const consumed = (
    table: string,
    writes: readonly ReturnType<typeof unitsOf>[],
  ): Record<string, unknown> => {
    const indexes = new Map<string, number>();
    for (const [name, units] of writes.flatMap((write) => write.indexes))
      indexes.set(name, (indexes.get(name) ?? 0) + units);
    const tableUnits = writes.reduce((sum, write) => sum + write.table, 0);
    return {
      TableName: table,
      CapacityUnits: [...indexes.values()].reduce((sum, units) => sum + units, tableUnits),
      Table: { CapacityUnits: tableUnits },
      ...(indexes.size > 0 && {
        GlobalSecondaryIndexes: Object.fromEntries(
          [...indexes].map(([name, units]) => [name, { CapacityUnits: units }]),
        ),
      }),
    };
  };

  const writeOne = async (operation: string, input: Input): Promise<JsonAnswer> => {
    const write = await locate(input['TableName'], operation === 'PutItem' ? input['Item'] : input['Key']);
    if (!write) return run(operation, input);
    return inTurn([`${write.table} ${write.key}`], async () => {
      const before = await read(write);
      const answer = await run(operation, input);
      if (answer.status === 200) {
        const after = operation === 'DeleteItem' ? undefined : await read(write);
        const units = unitsOf(write, before, after);
        return { status: 200, body: { ...answer.body, ConsumedCapacity: consumed(write.table, [units]) } };
      }
      if (!String(answer.body['__type']).endsWith('#ConditionalCheckFailedException')) return answer;
      // A failed condition costs as much as the write would have, of which only the item before is known here;
      // an item that would have grown over the next KB is charged too little.
      const units = { table: tableWriteUnits(before, undefined), indexes: [] };
      const item =
        input['ReturnValuesOnConditionCheckFailure'] === 'ALL_OLD' && before ? { Item: before } : {};
      return {
        status: answer.status,
        body: { ...answer.body, ...item, ConsumedCapacity: consumed(write.table, [units]) },
      };
    });
  };

  const writeBatch = async (input: Input): Promise<JsonAnswer> => {
    type Request = { PutRequest?: { Item?: unknown }; DeleteRequest?: { Key?: unknown } };
    const requests = Object.entries((input['RequestItems'] ?? {}) as Record<string, Request[]>).flatMap(
      ([table, list]) => (Array.isArray(list) ? list : []).map((request) => ({ table, request })),
    );
    const places = await Promise.all(
      requests.map(({ table, request }) =>
        locate(table, request.PutRequest?.Item ?? request.DeleteRequest?.Key),
      ),
    );
    const writes = places.filter((place) => place !== undefined);
    return inTurn([...new Set(writes.map(({ table, key }) => `${table} ${key}`))], async () => {
      const before = await Promise.all(writes.map(read));
      const answer = await run('BatchWriteItem', input);
      if (answer.status !== 200) return answer;
      const after = await Promise.all(writes.map(read));
      const tables = [...new Set(writes.map(({ table }) => table))];
      const ConsumedCapacity = tables.map((table) =>
        consumed(
          table,
          writes.flatMap((write, index) =>
            write.table === table ? [unitsOf(write, before[index], after[index])] : [],
          ),
        ),
      );
      return { status: 200, body: { ...answer.body, ConsumedCapacity } };
    });
  };

  /** A read that finds nothing costs the least there is; dynalite says 0 for queries. */
  const atLeastOne = (input: Input, answer: JsonAnswer): JsonAnswer => {
    const capacity = answer.body['ConsumedCapacity'] as { CapacityUnits: number } | undefined;
    if (!capacity || capacity.CapacityUnits > 0) return answer;
    const CapacityUnits = input['ConsistentRead'] === true ? 1 : 0.5;
    return { ...answer, body: { ...answer.body, ConsumedCapacity: { ...capacity, CapacityUnits } } };
  };

  return {
    async call(operation, input) {
      switch (operation) {
        case 'PutItem':
        case 'UpdateItem':
        case 'DeleteItem':
          return writeOne(operation, input);
        case 'BatchWriteItem':
          return writeBatch(input);
        case 'Query':
        case 'Scan':
          return atLeastOne(input, await run(operation, input));
        default:
          return run(operation, input);
      }
    },
    close: () => promised<void>((done) => store.db.close(done)),
  };
};
