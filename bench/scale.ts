/**
 * npm run bench:scale
 *
 * A thousand uploads at once through the real functions, with AWS simulated in memory: its latencies, its quotas, and
 * a clock that jumps. Prints how near each of AWS's limits came. Takes some minutes; the simulated time is exact.
 */
import { MAX_ASSEMBLED_PARTS, MiB } from '../lambdas/parts/geometry.ts';
import { historyEvents, largestPlan, RETRY_EVENTS } from './simulation/bounds.ts';
import type { Meter } from './simulation/meter.ts';
import { QUOTAS } from './simulation/quotas.ts';
import { type Outcome, type Scenario, simulate } from './simulation/scenario.ts';

/** A thousand uploads at once, three pieces of each at a time. */
export const THOUSAND = { uploads: 1000, withinSeconds: 10, atOnce: 3, bitsPerSecond: 50_000_000 } as const;

const SCENARIOS: readonly (readonly [string, Scenario])[] = [
  [
    '1,000 × 100 MB, proxy',
    { ...THOUSAND, mode: 'proxy', fileBytes: 100_000_000, pieceBytes: 4 * MiB, owners: 'many' },
  ],
  [
    '1,000 × 1 GB, presigned',
    { ...THOUSAND, mode: 'presigned', fileBytes: 1_000_000_000, pieceBytes: 16 * MiB, owners: 'many' },
  ],
  [
    '1,000 × 100 MB of one owner, presigned',
    { ...THOUSAND, mode: 'presigned', fileBytes: 100_000_000, pieceBytes: 16 * MiB, owners: 'one' },
  ],
  [
    'one of 8 GB at 10 Gbit/s, proxy',
    {
      mode: 'proxy',
      uploads: 1,
      withinSeconds: 0,
      fileBytes: 8_000_000_000,
      pieceBytes: 4 * MiB,
      atOnce: 100,
      bitsPerSecond: 10_000_000_000,
      owners: 'one',
    },
  ],
];

/** What is limited, by how much, and what came of it. */
export const LIMITS: readonly (readonly [string, number, (meter: Meter) => number])[] = [
  ['API requests a second', QUOTAS.apiRequestsPerSecond, (meter) => meter.peak('API requests')],
  ['functions running at once', QUOTAS.lambdaConcurrency, (meter) => meter.peak('in flight')],
  ['write units a second, one item', QUOTAS.partitionWriteUnits, (meter) => meter.peak('item writes')],
  [
    'write units a second, one partition key',
    QUOTAS.partitionWriteUnits,
    (meter) => meter.peak('partition writes'),
  ],
  [
    'read units a second, one partition key',
    QUOTAS.partitionReadUnits,
    (meter) => meter.peak('partition reads'),
  ],
  [
    "write units a second, one of the index's 16",
    QUOTAS.partitionWriteUnits,
    (meter) => meter.peak('index partition writes'),
  ],
  ['write units a second, a new table', QUOTAS.newTableWriteUnits, (meter) => meter.peak('table writes')],
  ['read units a second, a new table', QUOTAS.newTableReadUnits, (meter) => meter.peak('table reads')],
  ['executions started in a second', QUOTAS.startExecutions, (meter) => meter.peak('executions started')],
  ['state transitions a second', QUOTAS.stateTransitionsPerSecond, (meter) => meter.peak('transitions')],
  ['S3 writes a second, one prefix', QUOTAS.prefixWritesPerSecond, (meter) => meter.peak('prefix writes')],
  ['S3 reads a second, one prefix', QUOTAS.prefixReadsPerSecond, (meter) => meter.peak('prefix reads')],
];

const TOTALS: readonly (readonly [string, (outcome: Outcome) => string])[] = [
  ['throttled by Lambda', ({ meter }) => number(meter.total('throttled'))],
  ['requests repeated by clients', ({ meter }) => number(meter.total('client retries'))],
  ['tasks repeated by workflows', ({ meter }) => number(meter.total('workflow retries'))],
  ['last byte to object, median', ({ completionSeconds: all }) => seconds(all[all.length >> 1])],
  ['last byte to object, slowest', ({ completionSeconds: all }) => seconds(all[0])],
];

const number = (value: number): string => Math.round(value).toLocaleString('en-US');
const seconds = (value: number | undefined): string => `${(value ?? 0).toFixed(1)} s`;

async function main(): Promise<void> {
  const outcomes: Outcome[] = [];
  for (const [name, scenario] of SCENARIOS) {
    const from = performance.now();
    outcomes.push(await simulate(scenario));
    process.stderr.write(`${name}: ${((performance.now() - from) / 1000).toFixed(0)} s\n`);
  }
  const row = (cells: readonly string[]) => console.log(`| ${cells.join(' | ')} |`);
  row(['busiest second', 'AWS default', ...SCENARIOS.map(([name]) => name)]);
  row(['---', ...['', ...SCENARIOS].map(() => '---:')]);
  for (const [what, quota, peak] of LIMITS)
    row([what, number(quota), ...outcomes.map(({ meter }) => number(peak(meter)))]);
  for (const [what, of] of TOTALS) row([what, '', ...outcomes.map(of)]);

  const events = historyEvents(MAX_ASSEMBLED_PARTS);
  const retries = Math.floor((QUOTAS.historyEvents - events) / MAX_ASSEMBLED_PARTS / RETRY_EVENTS);
  console.log(`
Largest execution: ${number(MAX_ASSEMBLED_PARTS)} assembled parts, ${number(events)} of ${number(QUOTAS.historyEvents)} history events; ${retries} retries of every part fit.
Largest state: ${number(JSON.stringify(largestPlan()).length)} of ${number(QUOTAS.stateBytes)} bytes.`);
}

if (import.meta.main) await main();
