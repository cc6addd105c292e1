/** A call of which part is left undone, as EventBridge, DynamoDB and S3 answer it with 200. */
import { AwsError, type JsonAnswer } from '../types.ts';

/** The first of a list and every second one after it, and the others. */
export const halves = <T>(list: readonly T[]): { readonly undone: T[]; readonly done: T[] } => ({
  undone: list.filter((_, index) => index % 2 === 0),
  done: list.filter((_, index) => index % 2 === 1),
});

type Input = Readonly<Record<string, unknown>>;
type Run = (input: Record<string, unknown>) => Promise<JsonAnswer>;

/** Has the engine do what is not left undone. */
export const performPartly = async (
  operation: string,
  input: Input,
  code: string,
  run: Run,
): Promise<JsonAnswer> =>
  operation === 'PutEvents' ? await putPartly(input, code, run) : await writePartly(input, run);

/** https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsResultEntry.html */
const putPartly = async (input: Input, code: string, run: Run): Promise<JsonAnswer> => {
  const entries = (input['Entries'] ?? []) as unknown[];
  const { undone, done } = halves(entries);
  const none: JsonAnswer = { status: 200, body: { FailedEntryCount: 0, Entries: [] } };
  const { status, body } = done.length === 0 ? none : await run({ ...input, Entries: done });
  if (status !== 200) return { status, body };
  const put = body['Entries'] as unknown[];
  const failed = { ErrorCode: code, ErrorMessage: code };
  return {
    status,
    body: {
      FailedEntryCount: Number(body['FailedEntryCount']) + undone.length,
      // In the order of the request.
      Entries: entries.map((_, index) => (index % 2 === 0 ? failed : put[(index - 1) / 2])),
    },
  };
};

/** https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html */
const writePartly = async (input: Input, run: Run): Promise<JsonAnswer> => {
  const asked = Object.entries((input['RequestItems'] ?? {}) as Record<string, unknown[]>);
  const tables = asked.map(([table, requests]) => ({ table, ...halves(requests) }));
  const itemsOf = (which: 'undone' | 'done') =>
    Object.fromEntries(tables.filter((one) => one[which].length > 0).map((one) => [one.table, one[which]]));
  const done = itemsOf('done');
  // "If none of the items can be processed", it is no success.
  if (Object.keys(done).length === 0)
    throw new AwsError(
      'ProvisionedThroughputExceededException',
      'The level of configured provisioned throughput for the table was exceeded.',
    );
  const { status, body } = await run({ ...input, RequestItems: done });
  return status === 200
    ? { status, body: { ...body, UnprocessedItems: itemsOf('undone') } }
    : { status, body };
};
