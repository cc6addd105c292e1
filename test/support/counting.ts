import { GetItemCommand } from '@aws-sdk/client-dynamodb';
import type { Calls, CountedUpload } from '../../bench/counted.ts';
import type { AwsCall } from '../../local/types.ts';
import { type TestStack, until } from './stack.ts';

/** What an upload's life cost, with the calls themselves for closer looks. */
export interface CountedLife {
  readonly counted: CountedUpload;
  readonly calls: readonly AwsCall[];
  /** Of the execution. */
  readonly historyEvents: number;
}

const PAST_ALL_LOOKS_SECONDS = 700;

/**
 * Counts all that happens at the AWS endpoint from the first request of an upload to the watchdog's last look at it.
 * Nothing else may run on the stack meanwhile, nor the watchdog by itself: on a slow machine it would look more often.
 *
 * @param send sends the whole file and gives the upload's id and how many requests it made of each route
 */
export async function countLife(
  stack: TestStack,
  about: Pick<CountedUpload, 'mode' | 'pieces'>,
  send: () => Promise<{ uploadId: string; requests: Record<string, number> }>,
): Promise<CountedLife> {
  await stack.clearCalls();
  const { uploadId, requests } = await send();
  const name = await until('the execution to succeed', 300_000, async () => {
    const [execution] = await stack.executions(uploadId);
    return execution?.status === 'SUCCEEDED' ? execution.name : undefined;
  });
  await stack.advance(PAST_ALL_LOOKS_SECONDS);
  await until('the watchdog to be done with it', 60_000, async () => {
    await stack.watch();
    const { Item } = await stack.dynamodb.send(
      new GetItemCommand({
        TableName: stack.tableName,
        Key: { pk: { S: `anonymous#${uploadId}` }, sk: { S: 'upload' } },
      }),
    );
    return (Item && !Item.watch) || undefined;
  });
  await settled(stack);
  const all = await stack.calls();
  const calls = all.filter((call) => isOfUpload(call) && !isIndexQuery(call));
  const { transitions, events } = (await stack.execution(name)) as {
    transitions: number;
    events: readonly unknown[];
  };
  const assembledParts = calls.filter(
    ({ functionName, operation }) => functionName === 'assemble-part' && operation === 'UploadPart',
  ).length;
  return {
    counted: { ...about, assembledParts, requests, calls: summed(calls), transitions },
    calls,
    historyEvents: events.length,
  };
}

/** Until nobody makes calls any more. */
export async function settled(stack: TestStack): Promise<void> {
  let last = -1;
  await until('quiet', 30_000, async () => {
    const now = (await stack.calls()).filter(isOfUpload).length;
    const isQuiet = now === last;
    last = now;
    if (!isQuiet) await new Promise((resolve) => setTimeout(resolve, 300));
    return isQuiet || undefined;
  });
}

/** The test's own calls are left out. Calls that functions are started with are counted as what they are. */
export const isOfUpload = ({ caller, presigned, functionName }: AwsCall): boolean =>
  (caller.kind !== 'root' || presigned) && functionName !== 'get-upload' && caller.kind !== 'service';

/**
 * Each run of the watchdog asks the 16 partitions of its index first; that is the idle cost, not the upload's. With
 * one upload to be found, each such query costs half a unit (DynamoDB Local counts nothing for one that finds nothing);
 * a consistent query of pages costs one at least.
 */
export const isIndexQuery = ({ functionName, operation, readUnits }: AwsCall): boolean =>
  functionName === 'watchdog' && operation === 'Query' && (readUnits ?? 0) <= 0.5;

export const callerOf = ({ functionName, presigned, caller }: AwsCall): string =>
  functionName ?? (presigned ? 'client' : caller.kind === 'role' ? 'workflow' : caller.kind);

export function summed(calls: readonly AwsCall[]): Calls {
  const sums: Record<string, Record<string, { calls: number; readUnits?: number; writeUnits?: number }>> = {};
  const sorted = calls.toSorted((a, b) => nameOf(a).localeCompare(nameOf(b)));
  for (const call of sorted) {
    const operations = (sums[callerOf(call)] ??= {});
    const sum = (operations[`${call.service}:${call.operation}`] ??= { calls: 0 });
    sum.calls++;
    if (call.readUnits !== undefined) sum.readUnits = (sum.readUnits ?? 0) + call.readUnits;
    if (call.writeUnits !== undefined) sum.writeUnits = (sum.writeUnits ?? 0) + call.writeUnits;
  }
  return sums;
}

const nameOf = (call: AwsCall): string => `${callerOf(call)} ${call.service}:${call.operation}`;
