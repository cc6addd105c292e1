/** DynamoDB's consumed capacity: every call is metered, and callers see only what they asked for. */
import type { JsonAnswer } from '../types.ts';

interface Capacity {
  readonly TableName?: string;
  readonly CapacityUnits?: number;
}

const readOperations = new Set(['GetItem', 'BatchGetItem', 'Query', 'Scan', 'TransactGetItems']);

export interface Metered {
  readonly answer: JsonAnswer;
  readonly readUnits?: number;
  readonly writeUnits?: number;
}

/**
 * @param asked the caller's ReturnConsumedCapacity
 * @param answer the engine's, with the most detailed ConsumedCapacity
 */
export const meter = (operation: string, asked: unknown, answer: JsonAnswer): Metered => {
  const { ConsumedCapacity: consumed, ...rest } = answer.body as { ConsumedCapacity?: Capacity | Capacity[] };
  if (consumed === undefined) return { answer };
  const list = Array.isArray(consumed) ? consumed : [consumed];
  const units = list.reduce((sum, { CapacityUnits = 0 }) => sum + CapacityUnits, 0);
  const total = ({ TableName, CapacityUnits }: Capacity) => ({ TableName, CapacityUnits });
  const shown =
    answer.status >= 400
      ? undefined
      : asked === 'INDEXES'
        ? consumed
        : asked === 'TOTAL'
          ? Array.isArray(consumed)
            ? consumed.map(total)
            : total(consumed)
          : undefined;
  return {
    answer: {
      status: answer.status,
      body: shown === undefined ? rest : { ...rest, ConsumedCapacity: shown },
    },
    ...(readOperations.has(operation) ? { readUnits: units } : { writeUnits: units }),
  };
};
