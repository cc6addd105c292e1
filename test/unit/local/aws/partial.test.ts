import { describe, expect, test } from '@jest/globals';
import { performPartly } from '../../../../local/aws/partial.ts';
import type { JsonAnswer } from '../../../../local/types.ts';

const asked: Record<string, unknown>[] = [];
const engine =
  (answer: (input: Record<string, unknown>) => JsonAnswer) =>
  async (input: Record<string, unknown>): Promise<JsonAnswer> => {
    asked.push(input);
    return answer(input);
  };
const never = engine(() => {
  throw new Error('nothing is left to be done');
});

describe('PutEvents in part', () => {
  const put = engine((input) => ({
    status: 200,
    body: {
      FailedEntryCount: 0,
      Entries: (input['Entries'] as { Detail: string }[]).map(({ Detail }) => ({ EventId: `id-${Detail}` })),
    },
  }));
  const failed = { ErrorCode: 'ThrottlingException', ErrorMessage: 'ThrottlingException' };
  const events = (...details: string[]) => ({ Entries: details.map((Detail) => ({ Detail })) });

  test('fails every second entry, in their order, and puts the others', async () => {
    asked.length = 0;
    expect(await performPartly('PutEvents', events('a', 'b', 'c', 'd'), 'ThrottlingException', put)).toEqual({
      status: 200,
      body: {
        FailedEntryCount: 2,
        Entries: [failed, { EventId: 'id-b' }, failed, { EventId: 'id-d' }],
      },
    });
    expect(asked).toEqual([events('b', 'd')]);
  });

  test('fails the only entry, and puts nothing', async () => {
    expect(await performPartly('PutEvents', events('a'), 'ThrottlingException', never)).toEqual({
      status: 200,
      body: { FailedEntryCount: 1, Entries: [failed] },
    });
  });
});

describe('BatchWriteItem in part', () => {
  const write = engine(() => ({ status: 200, body: { UnprocessedItems: {} } }));

  test('gives back every second request of each table, and writes the others', async () => {
    asked.length = 0;
    const input = { RequestItems: { one: [1, 2, 3], two: [4] } };
    expect(await performPartly('BatchWriteItem', input, 'none', write)).toEqual({
      status: 200,
      body: { UnprocessedItems: { one: [1, 3], two: [4] } },
    });
    expect(asked).toEqual([{ RequestItems: { one: [2] } }]);
  });

  test('of a single request is refused: a success wrote something', async () => {
    await expect(
      performPartly('BatchWriteItem', { RequestItems: { one: [1] } }, 'none', never),
    ).rejects.toThrow(
      expect.objectContaining({ name: 'ProvisionedThroughputExceededException', status: 400 }),
    );
  });
});
