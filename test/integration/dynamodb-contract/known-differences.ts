import type { Outcome } from './cases.ts';

/** Where DynamoDB Local 1.25.1 does not follow AWS's own documentation. */
export interface KnownDifference {
  readonly case: string;
  /** The page of AWS's documentation that decides. */
  readonly judge: string;
  readonly observed: Outcome;
}

export const dynamoDbLocalDifferences: readonly KnownDifference[] = [
  {
    case: 'a query that finds nothing costs the least that a read can cost',
    judge:
      'https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html#read-operation-consumption',
    observed: { eventual: 0, consistent: 0, index: 0 },
  },
];
