import { isDeepStrictEqual } from 'node:util';

/** What an engine is asked through. The table has `pk` and `sk`, and the index `by-next-look` of keys only. */
export interface Target {
  readonly table: string;
  /** `sk` of an item of this case's own; `pk` is `pk`. */
  readonly pk: string;
  send(operation: string, input: Record<string, unknown>): Promise<Answer>;
}

export interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

/** What a case observes, as plain values: compared whole. */
export type Outcome = Readonly<Record<string, unknown>>;

export interface ContractCase {
  readonly name: string;
  /** By AWS's documents. */
  readonly expected: Outcome;
  run(target: Target): Promise<Outcome>;
}

type Item = Record<string, unknown>;

const S = (text: string) => ({ S: text });
const N = (number: number) => ({ N: String(number) });
const NS = (...numbers: number[]) => ({ NS: numbers.map(String) });

const key = ({ pk }: Target, sk = 'upload') => ({ pk: S(pk), sk: S(sk) });

const put = async (target: Target, item: Item, more: Item = {}, sk = 'upload'): Promise<Answer> =>
  await target.send('PutItem', { TableName: target.table, Item: { ...key(target, sk), ...item }, ...more });

const update = async (target: Target, input: Item, sk = 'upload'): Promise<Answer> =>
  await target.send('UpdateItem', { TableName: target.table, Key: key(target, sk), ...input });

const get = async (target: Target, sk = 'upload'): Promise<Item | undefined> =>
  (
    await target.send('GetItem', {
      TableName: target.table,
      Key: key(target, sk),
      ConsistentRead: true,
    })
  ).body['Item'] as Item | undefined;

const query = async (target: Target, input: Item): Promise<Answer> =>
  await target.send('Query', { TableName: target.table, ...input });

/** `com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException` by its last part. */
const codeOf = ({ status, body }: Answer): string =>
  status === 200 ? '' : (String(body['__type']).split('#').at(-1) ?? '');

const verdict = (answer: Answer): Outcome => ({ status: answer.status, code: codeOf(answer) });

/** Sets have no order. */
const sorted = (value: unknown): unknown =>
  (value as { NS?: string[] } | undefined)?.NS?.toSorted((a, b) => Number(a) - Number(b));

const itemOf = (item: unknown): Item | undefined => {
  if (!item) return undefined;
  const { pk: _pk, sk: _sk, ...rest } = item as Item;
  return rest;
};

/** Total units, of the table and of its indexes. */
const unitsOf = ({ body }: Answer): unknown => {
  const consumed = body['ConsumedCapacity'] as { CapacityUnits?: number } | { CapacityUnits?: number }[];
  return Array.isArray(consumed) ? consumed[0]?.CapacityUnits : consumed?.CapacityUnits;
};

const sortKeys = ({ body }: Answer): unknown =>
  (body['Items'] as { sk: { S: string } }[]).map(({ sk }) => sk.S);

/** The words of the condition under which an upload's new attempt is put. */
const newAttempt = {
  ConditionExpression:
    'attribute_not_exists(pk) OR #ttl <= :now OR #status IN (:failed, :aborted, :expired)' +
    ' OR (#status = :uploading AND #expiresAt <= :now)',
  ExpressionAttributeNames: { '#ttl': 'ttl', '#status': 'status', '#expiresAt': 'expiresAt' },
  ExpressionAttributeValues: {
    ':now': N(100),
    ':failed': S('failed'),
    ':aborted': S('aborted'),
    ':expired': S('expired'),
    ':uploading': S('uploading'),
  },
};

const page = (etags: Record<string, string>, conditions: readonly string[], bytes: number): Item => ({
  UpdateExpression: `SET ${Object.keys(etags)
    .map((name) => `#${name} = :${name}`)
    .join(', ')} ADD #bytes :bytes`,
  ...(conditions.length > 0 && { ConditionExpression: conditions.join(' AND ') }),
  ExpressionAttributeNames: {
    '#bytes': 'bytes',
    ...Object.fromEntries(Object.keys(etags).map((name) => [`#${name}`, name])),
  },
  ExpressionAttributeValues: {
    ':bytes': N(bytes),
    ...Object.fromEntries(Object.entries(etags).map(([name, etag]) => [`:${name}`, S(etag)])),
  },
});

const expressions: readonly ContractCase[] = [
  {
    name: 'SET and ADD make an item that is not there, and ALL_NEW gives it whole',
    expected: { status: 200, item: { e1: S('a'), bytes: N(5) } },
    async run(target) {
      const answer = await update(target, {
        ...page({ e1: 'a' }, ['attribute_not_exists(#e1)'], 5),
        ReturnValues: 'ALL_NEW',
      });
      return { status: answer.status, item: itemOf(answer.body['Attributes']) };
    },
  },
  {
    name: 'ADD counts on, also by a negative number and by nothing',
    expected: { bytes: [N(7), N(4), N(4)] },
    async run(target) {
      const add = async (bytes: number): Promise<unknown> => {
        const answer = await update(target, {
          UpdateExpression: 'ADD #bytes :bytes',
          ExpressionAttributeNames: { '#bytes': 'bytes' },
          ExpressionAttributeValues: { ':bytes': N(bytes) },
          ReturnValues: 'ALL_NEW',
        });
        return (answer.body['Attributes'] as Item)['bytes'];
      };
      return { bytes: [await add(7), await add(-3), await add(0)] };
    },
  },
  {
    name: 'a condition that does not hold changes nothing',
    expected: { status: 400, code: 'ConditionalCheckFailedException', item: { e1: S('a'), bytes: N(5) } },
    async run(target) {
      await update(target, page({ e1: 'a' }, [], 5));
      const answer = await update(target, page({ e1: 'b', e2: 'c' }, ['attribute_not_exists(#e1)'], 9));
      return { ...verdict(answer), item: itemOf(await get(target)) };
    },
  },
  {
    name: 'ALL_OLD on a failed condition gives the item as it stands',
    expected: { code: 'ConditionalCheckFailedException', item: { e1: S('a'), bytes: N(5) } },
    async run(target) {
      await update(target, page({ e1: 'a' }, [], 5));
      const answer = await update(target, {
        ...page({ e1: 'b' }, ['attribute_not_exists(#e1)'], 9),
        ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
      });
      return { code: codeOf(answer), item: itemOf(answer.body['Item']) };
    },
  },
  {
    name: 'ALL_OLD on a failed condition where there is no item gives none',
    expected: { code: 'ConditionalCheckFailedException', item: undefined },
    async run(target) {
      const answer = await update(target, {
        ...page({ e1: 'b' }, ['attribute_exists(pk)'], 9),
        ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
      });
      return { code: codeOf(answer), item: answer.body['Item'] };
    },
  },
  {
    name: 'a failed condition without that gives no item',
    expected: { code: 'ConditionalCheckFailedException', item: undefined },
    async run(target) {
      await update(target, page({ e1: 'a' }, [], 5));
      const answer = await update(target, page({ e1: 'b' }, ['attribute_not_exists(#e1)'], 9));
      return { code: codeOf(answer), item: answer.body['Item'] };
    },
  },
  {
    name: 'a mark is replaced only where it is the one that was read',
    expected: { first: 200, second: 'ConditionalCheckFailedException', item: { e1: S('b'), bytes: N(5) } },
    async run(target) {
      await update(target, page({ e1: 'a' }, [], 5));
      const replace = async (): Promise<Answer> =>
        await update(target, {
          UpdateExpression: 'SET #e1 = :e1 ADD #bytes :bytes',
          ConditionExpression: '#e1 = :old_e1',
          ExpressionAttributeNames: { '#e1': 'e1', '#bytes': 'bytes' },
          ExpressionAttributeValues: { ':e1': S('b'), ':old_e1': S('a'), ':bytes': N(0) },
        });
      const first = await replace();
      const second = await replace();
      return { first: first.status, second: codeOf(second), item: itemOf(await get(target)) };
    },
  },
  {
    name: 'ADD to a number set takes a member once; DELETE takes it off, and an empty set goes',
    expected: { once: ['3', '9'], left: ['9'], none: undefined },
    async run(target) {
      const change = async (verb: 'ADD' | 'DELETE', ...numbers: number[]): Promise<unknown> => {
        const answer = await update(target, {
          UpdateExpression: `SET #ttl = :ttl ${verb} #full :child`,
          ExpressionAttributeNames: { '#ttl': 'ttl', '#full': 'full' },
          ExpressionAttributeValues: { ':ttl': N(1), ':child': NS(...numbers) },
          ReturnValues: 'ALL_NEW',
        });
        return sorted((answer.body['Attributes'] as Item)['full']);
      };
      await change('ADD', 3);
      await change('ADD', 9);
      const once = await change('ADD', 3);
      const left = await change('DELETE', 3, 77);
      return { once, left, none: await change('DELETE', 9) };
    },
  },
  {
    name: 'SET, REMOVE, ADD and DELETE in one expression',
    expected: { status: 200, item: { status: S('uploading'), run: N(2), bytes: N(1), fullPages: NS(2) } },
    async run(target) {
      await put(target, { status: S('completing'), nextLook: N(5), watch: S('a'), fullPages: NS(1, 2) });
      const answer = await update(target, {
        UpdateExpression:
          'SET #status = :status, #run = :run REMOVE #nextLook, #watch ADD #bytes :bytes DELETE #fullPages :gone',
        ConditionExpression: '#status IN (:completing)',
        ExpressionAttributeNames: {
          '#status': 'status',
          '#run': 'run',
          '#nextLook': 'nextLook',
          '#watch': 'watch',
          '#bytes': 'bytes',
          '#fullPages': 'fullPages',
        },
        ExpressionAttributeValues: {
          ':status': S('uploading'),
          ':run': N(2),
          ':bytes': N(1),
          ':gone': NS(1),
          ':completing': S('completing'),
        },
        ReturnValues: 'ALL_NEW',
      });
      return { status: answer.status, item: itemOf(answer.body['Attributes']) };
    },
  },
  {
    name: 'numbers compare as numbers',
    expected: { above: 200, atMost: 'ConditionalCheckFailedException' },
    async run(target) {
      await put(target, { expiresAt: N(100) });
      const touch = async (condition: string): Promise<Answer> =>
        await update(target, {
          UpdateExpression: 'SET #x = :x',
          ConditionExpression: condition,
          ExpressionAttributeNames: { '#x': 'x', '#expiresAt': 'expiresAt' },
          ExpressionAttributeValues: { ':x': N(1), ':time': N(99) },
        });
      const above = await touch('#expiresAt > :time');
      return { above: above.status, atMost: codeOf(await touch('#expiresAt <= :time')) };
    },
  },
  {
    name: 'one attribute in two clauses is refused',
    expected: { status: 400, code: 'ValidationException' },
    run: async (target) =>
      verdict(
        await update(target, {
          UpdateExpression: 'SET #x = :x REMOVE #x',
          ExpressionAttributeNames: { '#x': 'x' },
          ExpressionAttributeValues: { ':x': N(1) },
        }),
      ),
  },
  {
    name: 'a value that no expression uses is refused',
    expected: { status: 400, code: 'ValidationException' },
    run: async (target) =>
      verdict(
        await update(target, {
          UpdateExpression: 'SET #x = :x',
          ExpressionAttributeNames: { '#x': 'x' },
          ExpressionAttributeValues: { ':x': N(1), ':y': N(1) },
        }),
      ),
  },
  {
    name: 'a name that no expression uses is refused',
    expected: { status: 400, code: 'ValidationException' },
    run: async (target) =>
      verdict(
        await update(target, {
          UpdateExpression: 'SET #x = :x',
          ExpressionAttributeNames: { '#x': 'x', '#y': 'y' },
          ExpressionAttributeValues: { ':x': N(1) },
        }),
      ),
  },
  {
    name: 'a reserved word without # is refused',
    expected: { status: 400, code: 'ValidationException' },
    run: async (target) =>
      verdict(
        await update(target, {
          UpdateExpression: 'SET status = :x',
          ExpressionAttributeValues: { ':x': N(1) },
        }),
      ),
  },
  {
    name: 'ADD of a number to a text is refused',
    expected: { status: 400, code: 'ValidationException', item: { bytes: S('five') } },
    async run(target) {
      await put(target, { bytes: S('five') });
      const answer = await update(target, page({ e1: 'a' }, [], 5));
      return { ...verdict(answer), item: itemOf(await get(target)) };
    },
  },
  {
    name: 'an empty set is refused',
    expected: { status: 400, code: 'ValidationException' },
    run: async (target) => verdict(await put(target, { full: { NS: [] } })),
  },
  {
    name: 'an index key of another type is refused',
    expected: { status: 400, code: 'ValidationException' },
    run: async (target) => verdict(await put(target, { watch: S('a'), nextLook: S('soon') })),
  },
  {
    name: 'of updates at the same moment none is lost',
    expected: { bytes: N(40), etags: 40 },
    async run(target) {
      const numbers = Array.from({ length: 40 }, (_, index) => index + 1);
      await Promise.all(
        numbers.map(
          async (number) =>
            await update(target, page({ [`e${number}`]: 'a' }, [`attribute_not_exists(#e${number})`], 1)),
        ),
      );
      const { bytes, ...etags } = itemOf(await get(target)) ?? {};
      return { bytes, etags: Object.keys(etags).length };
    },
  },
];

const puts: readonly ContractCase[] = [
  {
    name: 'of 20 puts on condition that nothing is there, one succeeds',
    expected: { succeeded: 1, failed: ['ConditionalCheckFailedException'] },
    async run(target) {
      const answers = await Promise.all(
        Array.from({ length: 20 }, async (_, number) => await put(target, { by: N(number) }, newAttempt)),
      );
      return {
        succeeded: answers.filter(({ status }) => status === 200).length,
        failed: [...new Set(answers.filter(({ status }) => status !== 200).map(codeOf))],
      };
    },
  },
  ...(
    [
      ['an open upload', { status: S('uploading'), ttl: N(500), expiresAt: N(400) }, false],
      ['one whose TTL is over', { status: S('uploading'), ttl: N(100), expiresAt: N(400) }, true],
      ['one that has expired', { status: S('uploading'), ttl: N(500), expiresAt: N(100) }, true],
      ['one that failed', { status: S('failed'), ttl: N(500), expiresAt: N(400) }, true],
      ['one that was completed', { status: S('completed'), ttl: N(500), expiresAt: N(1) }, false],
      ['an item without those attributes', {}, false],
    ] as const
  ).map(
    ([what, item, isReplaced]): ContractCase => ({
      name: `${what} is ${isReplaced ? '' : 'not '}replaced by a new attempt`,
      expected: {
        code: isReplaced ? '' : 'ConditionalCheckFailedException',
        item: isReplaced ? { attempt: S('b') } : item,
      },
      async run(target) {
        await put(target, item);
        const answer = await put(target, { attempt: S('b') }, newAttempt);
        return { code: codeOf(answer), item: itemOf(await get(target)) };
      },
    }),
  ),
];

/** What an owner has in progress: an entry for each attempt, under a name of its own, beside the two sums. */
const entry = (name: string, bytes: number) => ({
  count: async (target: Target, { most = 3, room = 100 } = {}): Promise<Answer> =>
    await update(target, {
      UpdateExpression: 'SET #entry = :entry, #ttl = :ttl ADD #uploads :one, #bytes :size',
      ConditionExpression:
        'attribute_not_exists(#entry) AND (attribute_not_exists(#uploads) OR #uploads < :most)' +
        ' AND (attribute_not_exists(#bytes) OR #bytes <= :room)',
      ExpressionAttributeNames: {
        '#entry': name,
        '#ttl': 'ttl',
        '#uploads': 'uploads',
        '#bytes': 'bytes',
      },
      ExpressionAttributeValues: {
        ':entry': { M: { bytes: N(bytes), at: N(1) } },
        ':ttl': N(9),
        ':one': N(1),
        ':size': N(bytes),
        ':most': N(most),
        ':room': N(room - bytes),
      },
      ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
    }),
  release: async (target: Target): Promise<Answer> =>
    await update(target, {
      UpdateExpression: 'REMOVE #entry ADD #uploads :less, #bytes :size',
      ConditionExpression: 'attribute_exists(#entry)',
      ExpressionAttributeNames: { '#entry': name, '#uploads': 'uploads', '#bytes': 'bytes' },
      ExpressionAttributeValues: { ':less': N(-1), ':size': N(-bytes) },
    }),
});
const counted = (bytes: number): Item => ({ M: { bytes: N(bytes), at: N(1) } });

const quotas: readonly ContractCase[] = [
  {
    name: 'an entry is counted with its sums, in an item that is made for it',
    expected: {
      codes: ['', ''],
      item: { 'a#1': counted(60), 'b#1': counted(40), ttl: N(9), uploads: N(2), bytes: N(100) },
    },
    async run(target) {
      const codes = [await entry('a#1', 60).count(target), await entry('b#1', 40).count(target)].map(codeOf);
      return { codes, item: itemOf(await get(target)) };
    },
  },
  ...(
    [
      ['that is there', 'a#1', 0, {}],
      ['of one upload too many', 'b#1', 0, { most: 1 }],
      ['of one byte too many', 'b#1', 41, {}],
    ] as const
  ).map(
    ([what, name, bytes, limits]): ContractCase => ({
      name: `an entry ${what} is not counted, and the refusal shows the item`,
      expected: {
        code: 'ConditionalCheckFailedException',
        shown: { 'a#1': counted(60), ttl: N(9), uploads: N(1), bytes: N(60) },
        isSame: true,
      },
      async run(target) {
        await entry('a#1', 60).count(target);
        const refused = await entry(name, bytes).count(target, limits);
        const shown = itemOf(refused.body['Item']);
        const item = itemOf(await get(target));
        return { code: codeOf(refused), shown, isSame: isDeepStrictEqual(item, shown) };
      },
    }),
  ),
  {
    name: 'an entry is taken off with its sums, once',
    expected: {
      codes: ['', 'ConditionalCheckFailedException'],
      item: { 'b#1': counted(40), ttl: N(9), uploads: N(1), bytes: N(40) },
    },
    async run(target) {
      for (const one of [entry('a#1', 60), entry('b#1', 40)]) await one.count(target);
      const codes = [await entry('a#1', 60).release(target), await entry('a#1', 60).release(target)].map(
        codeOf,
      );
      return { codes, item: itemOf(await get(target)) };
    },
  },
  {
    name: 'what is noted once a minute is noted where an item is, and not again before its time',
    expected: {
      missing: 'ConditionalCheckFailedException',
      first: '',
      early: 'ConditionalCheckFailedException',
      due: '',
      item: { cleanedAt: N(160), uploads: N(1) },
    },
    async run(target) {
      const note = async (now: number): Promise<string> =>
        codeOf(
          await update(target, {
            UpdateExpression: 'SET #cleanedAt = :now',
            ConditionExpression:
              'attribute_exists(#pk) AND (attribute_not_exists(#cleanedAt) OR #cleanedAt <= :before)',
            ExpressionAttributeNames: { '#cleanedAt': 'cleanedAt', '#pk': 'pk' },
            ExpressionAttributeValues: { ':now': N(now), ':before': N(now - 60) },
          }),
        );
      const missing = await note(100);
      await put(target, { uploads: N(1) });
      const [first, early, due] = [await note(100), await note(159), await note(160)];
      return { missing, first, early, due, item: itemOf(await get(target)) };
    },
  },
];

const reads: readonly ContractCase[] = [
  {
    name: 'GetItem of what is not there is a success without an item',
    expected: { status: 200, item: undefined },
    async run(target) {
      const answer = await target.send('GetItem', { TableName: target.table, Key: key(target) });
      return { status: answer.status, item: answer.body['Item'] };
    },
  },
  {
    name: 'Query by begins_with gives the pages of an attempt in order, and nothing else',
    expected: { found: ['b#0#0000', 'b#0#0001', 'b#1#0000'] },
    async run(target) {
      for (const sk of ['upload', 'a#0#0000', 'b#1#0000', 'b#0#0001', 'b#0#0000', 'c#0#0000'])
        await put(target, {}, {}, sk);
      const answer = await query(target, {
        KeyConditionExpression: '#pk = :pk AND begins_with(#sk, :prefix)',
        ExpressionAttributeNames: { '#pk': 'pk', '#sk': 'sk' },
        ExpressionAttributeValues: { ':pk': S(target.pk), ':prefix': S('b#') },
        ConsistentRead: true,
      });
      return { found: sortKeys(answer) };
    },
  },
  {
    name: 'Query by BETWEEN includes both ends, and projects what it is asked for',
    expected: { found: ['a#0', 'b#0', 'b$'], names: ['pk', 'sk'] },
    async run(target) {
      for (const sk of ['upload', 'a#0', 'b#0', 'b$', 'b%', 'c#0'])
        await put(target, { bytes: N(1) }, {}, sk);
      const answer = await query(target, {
        KeyConditionExpression: '#pk = :pk AND #sk BETWEEN :first AND :last',
        ProjectionExpression: '#pk, #sk',
        ExpressionAttributeNames: { '#pk': 'pk', '#sk': 'sk' },
        ExpressionAttributeValues: { ':pk': S(target.pk), ':first': S('0'), ':last': S('b$') },
        ConsistentRead: true,
      });
      const [item = {}] = answer.body['Items'] as Item[];
      return { found: sortKeys(answer), names: Object.keys(item).sort() };
    },
  },
  {
    name: 'Query gives pages by Limit, with the key to go on from',
    expected: { first: ['a', 'b'], hasMore: true, rest: ['c'], isOver: true },
    async run(target) {
      for (const sk of ['a', 'b', 'c']) await put(target, {}, {}, sk);
      const input = {
        KeyConditionExpression: 'pk = :pk',
        ExpressionAttributeValues: { ':pk': S(target.pk) },
        Limit: 2,
      };
      const first = await query(target, input);
      const last = first.body['LastEvaluatedKey'];
      const rest = await query(target, { ...input, ExclusiveStartKey: last });
      return {
        first: sortKeys(first),
        hasMore: last !== undefined,
        rest: sortKeys(rest),
        isOver: rest.body['LastEvaluatedKey'] === undefined,
      };
    },
  },
  {
    name: 'Query pages by 1 MB also without a Limit',
    expected: { hasMore: true, all: 5 },
    async run(target) {
      for (const sk of ['a', 'b', 'c', 'd', 'e']) await put(target, { x: S('x'.repeat(300_000)) }, {}, sk);
      let found = 0;
      let start: unknown;
      let pages = 0;
      do {
        const { body } = await query(target, {
          KeyConditionExpression: 'pk = :pk',
          ExpressionAttributeValues: { ':pk': S(target.pk) },
          ...(start !== undefined && { ExclusiveStartKey: start }),
        });
        found += (body['Items'] as unknown[]).length;
        start = body['LastEvaluatedKey'];
        pages++;
      } while (start !== undefined);
      return { hasMore: pages > 1, all: found };
    },
  },
  {
    name: 'the index holds only what has both its keys, in order, by number, with keys only',
    expected: { found: ['soon', 'later'], names: ['nextLook', 'pk', 'sk', 'watch'], gone: ['later'] },
    async run(target) {
      const watch = S(target.pk);
      await put(target, { watch, nextLook: N(9), bytes: N(1) }, {}, 'soon');
      await put(target, { watch, nextLook: N(10), bytes: N(1) }, {}, 'later');
      await put(target, { watch, nextLook: N(101) }, {}, 'not due');
      await put(target, { watch }, {}, 'without a time');
      await put(target, { nextLook: N(1) }, {}, 'without a watch');
      const due = async (): Promise<Answer> =>
        await query(target, {
          IndexName: 'by-next-look',
          KeyConditionExpression: '#watch = :shard AND #nextLook <= :now',
          ExpressionAttributeNames: { '#watch': 'watch', '#nextLook': 'nextLook' },
          ExpressionAttributeValues: { ':shard': watch, ':now': N(100) },
          Limit: 100,
        });
      const answer = await due();
      const [item = {}] = answer.body['Items'] as Item[];
      await update(
        target,
        { UpdateExpression: 'REMOVE #watch', ExpressionAttributeNames: { '#watch': 'watch' } },
        'soon',
      );
      return { found: sortKeys(answer), names: Object.keys(item).sort(), gone: sortKeys(await due()) };
    },
  },
  {
    name: 'a consistent read of the index is refused',
    expected: { status: 400, code: 'ValidationException' },
    run: async (target) =>
      verdict(
        await query(target, {
          IndexName: 'by-next-look',
          KeyConditionExpression: 'watch = :watch',
          ExpressionAttributeValues: { ':watch': S('a') },
          ConsistentRead: true,
        }),
      ),
  },
];

const batches: readonly ContractCase[] = [
  {
    name: 'BatchWriteItem deletes 25 items, also ones that are not there',
    expected: { status: 200, unprocessed: {}, left: ['25', '26'] },
    async run(target) {
      for (let number = 10; number < 27; number++) await put(target, {}, {}, String(number));
      const requests = Array.from({ length: 25 }, (_, number) => ({
        DeleteRequest: { Key: key(target, String(number)) },
      }));
      const { status, body } = await target.send('BatchWriteItem', {
        RequestItems: { [target.table]: requests },
      });
      const left = await query(target, {
        KeyConditionExpression: 'pk = :pk',
        ExpressionAttributeValues: { ':pk': S(target.pk) },
        ConsistentRead: true,
      });
      return { status, unprocessed: body['UnprocessedItems'], left: sortKeys(left) };
    },
  },
  ...(
    [
      ['26 requests are', 26, (number: number) => number],
      ['the same item twice is', 2, () => 1],
    ] as const
  ).map(
    ([what, count, numberOf]): ContractCase => ({
      name: `BatchWriteItem: ${what} refused`,
      expected: { status: 400, code: 'ValidationException' },
      run: async (target) =>
        verdict(
          await target.send('BatchWriteItem', {
            RequestItems: {
              [target.table]: Array.from({ length: count }, (_, number) => ({
                DeleteRequest: { Key: key(target, String(numberOf(number))) },
              })),
            },
          }),
        ),
    }),
  ),
];

const capacity: readonly ContractCase[] = [
  {
    name: 'a write costs a unit for each started KB of the larger of both items',
    expected: { small: 1, large: 2, shrinking: 2 },
    async run(target) {
      const size = async (bytes: number): Promise<unknown> =>
        unitsOf(await put(target, { x: S('x'.repeat(bytes)) }, { ReturnConsumedCapacity: 'TOTAL' }));
      return { small: await size(10), large: await size(1100), shrinking: await size(10) };
    },
  },
  {
    name: 'recording a part on a page of 16 costs one unit',
    expected: { units: Array.from({ length: 16 }, () => 1) },
    async run(target) {
      const units: unknown[] = [];
      for (let number = 1; number <= 16; number++) {
        const mark = page({ [`e${number}`]: 'f'.repeat(32) }, [`attribute_not_exists(#e${number})`], 5);
        units.push(unitsOf(await update(target, { ...mark, ReturnConsumedCapacity: 'TOTAL' })));
      }
      return { units };
    },
  },
  {
    name: 'an entry of the index costs a unit to make, two to move, one to take off, none to keep',
    expected: { made: 2, kept: 1, moved: 3, off: 2 },
    async run(target) {
      const set = async (expression: string, values: Item = {}): Promise<unknown> =>
        unitsOf(
          await update(target, {
            UpdateExpression: expression,
            ...(Object.keys(values).length > 0 && { ExpressionAttributeValues: values }),
            ReturnConsumedCapacity: 'TOTAL',
          }),
        );
      return {
        made: await set('SET watch = :watch, nextLook = :time', { ':watch': S('a'), ':time': N(1) }),
        kept: await set('SET runs = :runs', { ':runs': N(1) }),
        moved: await set('SET nextLook = :time', { ':time': N(2) }),
        off: await set('REMOVE watch'),
      };
    },
  },
  {
    name: 'a read costs half a unit for each started 4 KB, a consistent one a whole',
    expected: { eventual: 0.5, consistent: 1, large: 2, missing: 0.5 },
    async run(target) {
      const read = async (consistent: boolean, sk = 'upload'): Promise<unknown> =>
        unitsOf(
          await target.send('GetItem', {
            TableName: target.table,
            Key: key(target, sk),
            ConsistentRead: consistent,
            ReturnConsumedCapacity: 'TOTAL',
          }),
        );
      await put(target, { x: S('x') });
      await put(target, { x: S('x'.repeat(4200)) }, {}, 'large');
      return {
        eventual: await read(false),
        consistent: await read(true),
        large: await read(true, 'large'),
        missing: await read(false, 'nothing'),
      };
    },
  },
  {
    name: 'a query that finds nothing costs the least that a read can cost',
    expected: { eventual: 0.5, consistent: 1, index: 0.5 },
    async run(target) {
      const cost = async (input: Item): Promise<unknown> =>
        unitsOf(await query(target, { ...input, ReturnConsumedCapacity: 'TOTAL' }));
      const pages = {
        KeyConditionExpression: 'pk = :pk',
        ExpressionAttributeValues: { ':pk': S(target.pk) },
      };
      return {
        eventual: await cost(pages),
        consistent: await cost({ ...pages, ConsistentRead: true }),
        index: await cost({
          IndexName: 'by-next-look',
          KeyConditionExpression: 'watch = :watch',
          ExpressionAttributeValues: { ':watch': S(target.pk) },
        }),
      };
    },
  },
];

export const contractCases: readonly ContractCase[] = [
  ...expressions,
  ...puts,
  ...quotas,
  ...reads,
  ...batches,
  ...capacity,
];
