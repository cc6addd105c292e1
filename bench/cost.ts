/**
 * npm run cost -- --size 10GB [--mode proxy|presigned] [--piece 4MiB] [--rate 100]
 *
 * Prints what an upload costs, from counted requests and AWS's list prices. Without --size: the table of docs/cost.md.
 */
import { parseArgs } from 'node:util';
import { accelerationDollars, billOf, dollarsOf, idleDollars } from './bill.ts';
import { type Counted, type Mode, readCounted } from './counted.ts';
import { PRICES_AS_OF, PRICES_REGION } from './prices.ts';
import { type Plan, planOf, quantitiesOf, tutorialQuantities } from './quantities.ts';

const SIZES = ['100 MB', '1 GB', '10 GB', '1 TB'] as const;

/** Bytes of "10GB" (decimal) or "16 MiB" (binary). */
export function parseSize(text: string): number {
  const [, number, unit = ''] = /^([\d.]+)\s*([kmgt]i?b|b)?$/i.exec(text.trim()) ?? [];
  const power = ['b', 'k', 'm', 'g', 't'].indexOf(unit.toLowerCase().charAt(0) || 'b');
  const bytes = Math.round(Number(number) * (/i/i.test(unit) ? 1024 : 1000) ** power);
  if (!(bytes > 0)) throw new Error(`"${text}" is no size; write 10GB or 16MiB.`);
  return bytes;
}

const dollars = (amount: number): string =>
  amount >= 100 ? `$${Math.round(amount).toLocaleString('en-US')}` : `$${Number(amount.toPrecision(2))}`;

const amount = (quantity: number): string =>
  quantity < 100 ? String(Number(quantity.toPrecision(3))) : Math.round(quantity).toLocaleString('en-US');

/** The table of docs/cost.md. */
export function costTable(counted: Counted): string {
  const rows = SIZES.map((size) => {
    const bytes = parseSize(size);
    const proxy = planOf('proxy', bytes);
    return [
      size,
      dollars(dollarsOf(quantitiesOf(planOf('presigned', bytes), counted))),
      dollars(dollarsOf(quantitiesOf(proxy, counted))),
      dollars(dollarsOf(tutorialQuantities(proxy))),
      dollars(accelerationDollars(bytes)),
    ];
  });
  return markdown(
    ['file', 'presigned', 'proxy', "the tutorials' design", 'Transfer Acceleration adds'],
    rows,
  );
}

/** What an upload is billed for, line by line. */
export function costDetails(plan: Plan, counted: Counted): string {
  const columns = [
    billOf(quantitiesOf(plan, counted)),
    ...(plan.mode === 'proxy' ? [billOf(tutorialQuantities(plan))] : []),
  ];
  const rows = (columns[0] ?? []).map(({ what }, index) => [
    what,
    ...columns.flatMap((lines) => {
      const line = lines[index];
      return line ? [amount(line.quantity), dollars(line.dollars)] : [];
    }),
  ]);
  const sums = columns.flatMap((lines) => ['', dollars(lines.reduce((sum, line) => sum + line.dollars, 0))]);
  return markdown(
    [plan.mode, 'quantity', 'cost', ...(columns.length > 1 ? ["the tutorials' design", 'cost'] : [])],
    [...rows, ['together', ...sums]],
  );
}

export const idleSentence = (counted: Counted): string =>
  `A month without uploads: ${dollars(idleDollars(counted))}, for the watchdog's runs.`;

function markdown(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join(' | ')} |`;
  const rule = line(
    widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)),
  );
  return [line(head), rule, ...rows.map(line)].join('\n');
}

function main(): void {
  const { values } = parseArgs({
    options: {
      size: { type: 'string' },
      mode: { type: 'string' },
      piece: { type: 'string' },
      rate: { type: 'string', default: '100' },
    },
  });
  const counted = readCounted();
  console.log(
    `List prices of ${PRICES_AS_OF}, ${PRICES_REGION}. docs/cost.md says what is in it and what not.\n`,
  );
  if (values.size === undefined) {
    console.log(`${costTable(counted)}\n\n${idleSentence(counted)}`);
    return;
  }
  if (values.mode !== undefined && values.mode !== 'proxy' && values.mode !== 'presigned')
    throw new Error(`--mode is "${values.mode}"; write proxy or presigned.`);
  const bytes = parseSize(values.size);
  const modes: readonly Mode[] = values.mode === undefined ? ['presigned', 'proxy'] : [values.mode as Mode];
  for (const mode of modes) {
    const plan = planOf(mode, bytes, {
      ...(values.piece !== undefined && { pieceSize: parseSize(values.piece) }),
      bitsPerSecond: Number(values.rate) * 1_000_000,
    });
    console.log(`${costDetails(plan, counted)}\n`);
  }
  if (modes.includes('presigned'))
    console.log(`With S3 Transfer Acceleration: ${dollars(accelerationDollars(bytes))} more.`);
}

if (import.meta.main) main();
