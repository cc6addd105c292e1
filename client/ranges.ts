/** Runs of part numbers, both ends included: 1, 2, 3, 7 is `[[1, 3], [7, 7]]`. */
export type Ranges = ReadonlyArray<readonly [number, number]>;

export function* numbersIn(ranges: Ranges): Generator<number> {
  for (const [first, last] of ranges) {
    for (let number = first; number <= last; number++) yield number;
  }
}

/** The numbers from 1 to `count` that `has` does not hold. */
export function* missingNumbers(count: number, has: { has(number: number): boolean }): Generator<number> {
  for (let number = 1; number <= count; number++) {
    if (!has.has(number)) yield number;
  }
}
