/** Runs of consecutive numbers, both ends included: 1, 2, 3, 7 is `[[1, 3], [7, 7]]`. */
export type Ranges = ReadonlyArray<readonly [number, number]>;

/** @param numbers in any order, without duplicates */
export function toRanges(numbers: Iterable<number>): Ranges {
  const ranges: [number, number][] = [];
  for (const number of [...numbers].sort((a, b) => a - b)) {
    const run = ranges.at(-1);
    if (run && run[1] === number - 1) run[1] = number;
    else ranges.push([number, number]);
  }
  return ranges;
}

/** The first `limit` numbers from 1 to `count` that no range holds. */
export function firstMissing(ranges: Ranges, count: number, limit: number): number[] {
  const missing: number[] = [];
  let next = 1;
  for (const [first, last] of [...ranges, [count + 1, count + 1] as const]) {
    for (; next < first && missing.length < limit; next++) missing.push(next);
    next = last + 1;
  }
  return missing;
}
