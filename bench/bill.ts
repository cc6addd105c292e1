import { type Counted, total } from './counted.ts';
import { gbSeconds } from './durations.ts';
import { PRICES } from './prices.ts';
import type { Quantities } from './quantities.ts';

export interface BillLine {
  readonly what: string;
  readonly quantity: number;
  readonly dollars: number;
}

const PRICE_OF: Record<keyof Quantities, { readonly what: string; readonly price: number }> = {
  httpApiUnits: { what: 'HTTP API, units of 512 KB', price: PRICES.httpApiUnit },
  lambdaRequests: { what: 'Lambda requests', price: PRICES.lambdaRequest },
  lambdaGbSeconds: { what: 'Lambda GB-seconds (assumed)', price: PRICES.lambdaGbSecond },
  s3Writes: { what: 'S3 PUT, POST, LIST', price: PRICES.s3Write },
  s3Reads: { what: 'S3 GET, HEAD', price: PRICES.s3Read },
  dynamodbWriteUnits: { what: 'DynamoDB write units', price: PRICES.dynamodbWriteUnit },
  dynamodbReadUnits: { what: 'DynamoDB read units', price: PRICES.dynamodbReadUnit },
  stateTransitions: { what: 'Step Functions transitions', price: PRICES.stateTransition },
  events: { what: 'EventBridge events', price: PRICES.event },
};

export const billOf = (quantities: Quantities): BillLine[] =>
  (Object.keys(PRICE_OF) as (keyof Quantities)[]).map((kind) => ({
    what: PRICE_OF[kind].what,
    quantity: quantities[kind],
    dollars: quantities[kind] * PRICE_OF[kind].price,
  }));

export const dollarsOf = (quantities: Quantities): number =>
  billOf(quantities).reduce((sum, { dollars }) => sum + dollars, 0);

/** What S3 Transfer Acceleration adds. */
export const accelerationDollars = (bytes: number): number => (bytes / 1e9) * PRICES.accelerationGb;

const RUNS_PER_MONTH = 30 * 24 * 12;

/** What a month without a single upload costs: the watchdog asks every five minutes whether there is something. */
export function idleDollars({ idleRun }: Counted): number {
  const run =
    total(idleRun, 'readUnits') * PRICES.dynamodbReadUnit +
    PRICES.lambdaRequest +
    gbSeconds('watchdog', { dynamodbCalls: 2 }) * PRICES.lambdaGbSecond;
  return RUNS_PER_MONTH * run;
}
