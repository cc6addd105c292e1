import type { Outcome } from './cases.ts';

/** Where DynamoDB Local 1.25.1 does not follow AWS's own documentation. */
export interface KnownDifference {
  readonly case: string;
  /** The page of AWS's documentation that decides. */
  readonly judge: string;
  readonly observed: Outcome;
}

export const dynamoDbLocalDifferences: readonly KnownDifference[] = [];
