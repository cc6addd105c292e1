import { readFileSync } from 'node:fs';

/**
 * What uploads were counted to cost at the AWS endpoint: `counted.json`, written and checked by
 * test/integration/budgets.test.ts. The cost table has no other source of quantities.
 */

export type Mode = 'proxy' | 'presigned';

export interface Count {
  readonly calls: number;
  readonly readUnits?: number;
  readonly writeUnits?: number;
}

/** By caller (a function's name, `client`, `workflow`), then by `service:Operation`. */
export type Calls = Readonly<Record<string, Readonly<Record<string, Count>>>>;

/** One upload's whole life: from its first request to the watchdog's last look at it. */
export interface CountedUpload {
  readonly mode: Mode;
  /** Chunks in proxy mode, parts in presigned mode. */
  readonly pieces: number;
  /** Parts that the workflow assembled. */
  readonly assembledParts: number;
  /** API requests by route; each runs one function. */
  readonly requests: Readonly<Record<string, number>>;
  readonly calls: Calls;
  /** State transitions as Step Functions bills them. */
  readonly transitions: number;
}

export interface Counted {
  readonly uploads: readonly CountedUpload[];
  /** One run of the watchdog with nothing to look at. */
  readonly idleRun: Calls;
  /** One look at an upload that is still going on: what it costs, and how many pieces were recorded by then. */
  readonly look: { readonly pieces: number; readonly calls: Calls };
}

export const COUNTED_FILE = new URL('counted.json', import.meta.url);

export const readCounted = (): Counted => JSON.parse(readFileSync(COUNTED_FILE, 'utf8')) as Counted;

/** Entries as `caller service:Operation`. */
export const flat = (calls: Calls): Map<string, Count> =>
  new Map(
    Object.entries(calls).flatMap(([caller, operations]) =>
      Object.entries(operations).map(([operation, count]) => [`${caller} ${operation}`, count] as const),
    ),
  );

/** The sum of one figure over all entries that match. */
export const total = (
  calls: Calls,
  figure: keyof Count,
  matches: (caller: string, operation: string) => boolean = () => true,
): number =>
  [...flat(calls)].reduce((sum, [name, count]) => {
    const [caller = '', operation = ''] = name.split(' ');
    return matches(caller, operation) ? sum + (count[figure] ?? 0) : sum;
  }, 0);
