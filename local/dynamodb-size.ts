/**
 * Sizes and write units of items, by DynamoDB's rules.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html (write considerations)
 */

export type AttributeValue = Readonly<Record<string, unknown>>;
export type Item = Readonly<Record<string, AttributeValue>>;

export interface IndexShape {
  readonly IndexName: string;
  readonly KeySchema: readonly { readonly AttributeName: string }[];
  readonly Projection: { readonly ProjectionType?: string; readonly NonKeyAttributes?: readonly string[] };
}

const numberSize = (text: string): number => {
  const digits = text
    .replace(/[eE].*$/, '')
    .replace(/[-+.]/g, '')
    .replace(/^0+|0+$/g, '');
  // "Approximately": one byte for each two significant digits, and one more; another for a minus.
  return Math.ceil(digits.length / 2) + 1 + (text.startsWith('-') ? 1 : 0);
};

const valueSize = (value: AttributeValue): number => {
  const [type, raw] = Object.entries(value)[0] ?? ['none', undefined];
  const sum = (list: readonly unknown[], size: (one: never) => number): number =>
    list.reduce<number>((total, one) => total + size(one as never), 0);
  const text = (one: string) => Buffer.byteLength(one);
  const binary = (one: string) => Buffer.byteLength(one, 'base64');
  switch (type) {
    case 'S':
      return text(raw as string);
    case 'B':
      return binary(raw as string);
    case 'N':
      return numberSize(raw as string);
    case 'SS':
      return sum(raw as string[], text);
    case 'BS':
      return sum(raw as string[], binary);
    case 'NS':
      return sum(raw as string[], numberSize);
    case 'BOOL':
    case 'NULL':
      return 1;
    case 'L':
      return 3 + sum(raw as AttributeValue[], (one: AttributeValue) => 1 + valueSize(one));
    case 'M':
      return 3 + Object.keys(raw as Item).length + itemSize(raw as Item);
    default:
      throw new Error(`an attribute of type ${type}`);
  }
};

/** Bytes: names in UTF-8 and values. */
export const itemSize = (item: Item): number =>
  Object.entries(item).reduce((sum, [name, value]) => sum + Buffer.byteLength(name) + valueSize(value), 0);

const units = (item: Item | undefined): number => (item ? Math.max(1, Math.ceil(itemSize(item) / 1024)) : 0);

/** A write to the table: each started KB of the larger of both items, at least one. */
export const tableWriteUnits = (before: Item | undefined, after: Item | undefined): number =>
  Math.max(1, units(before), units(after));

/** What an index keeps of an item; undefined where the item has not all of the index's keys. */
const projected = (
  item: Item | undefined,
  tableKeys: readonly string[],
  index: IndexShape,
): Item | undefined => {
  const keys = index.KeySchema.map(({ AttributeName }) => AttributeName);
  if (!item || keys.some((name) => item[name] === undefined)) return undefined;
  if (index.Projection.ProjectionType === 'ALL') return item;
  const kept = new Set([...tableKeys, ...keys, ...(index.Projection.NonKeyAttributes ?? [])]);
  return Object.fromEntries(Object.entries(item).filter(([name]) => kept.has(name)));
};

/** A write's units in one global index: one write to put, delete or change an entry, two to move it, none else. */
export const indexWriteUnits = (
  before: Item | undefined,
  after: Item | undefined,
  tableKeys: readonly string[],
  index: IndexShape,
): number => {
  const [old, now] = [projected(before, tableKeys, index), projected(after, tableKeys, index)];
  if (!old || !now) return units(old ?? now);
  const moved = index.KeySchema.some(
    ({ AttributeName: name }) => JSON.stringify(old[name]) !== JSON.stringify(now[name]),
  );
  if (moved) return units(old) + units(now);
  const names = [...new Set([...Object.keys(old), ...Object.keys(now)])];
  const same = names.every((name) => JSON.stringify(old[name]) === JSON.stringify(now[name]));
  return same ? 0 : Math.max(units(old), units(now));
};
