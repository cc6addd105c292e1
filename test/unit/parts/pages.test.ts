import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  CHILDREN_PER_NODE,
  childNumber,
  childrenOf,
  levelsOf,
  type PageAddress,
  PIECES_PER_PAGE,
  pageIndexOf,
  pageOf,
  pageSortKey,
  pagesPrefix,
  parentOf,
  piecesBelow,
  topCount,
} from '../../../lambdas/parts/pages.ts';

const counts = fc.oneof(
  fc.integer({ min: 1, max: 200 }),
  fc.integer({ min: 900, max: 1100 }),
  fc.integer({ min: 60_000, max: 70_000 }),
);

/** Notes full pages as the ledger does, in memory, and tells which top child became full. */
function notes(count: number) {
  const nodes = new Map<string, Set<number>>();
  const top = new Set<number>();
  return (page: number): boolean => {
    let child: PageAddress = { level: 0, index: page };
    for (;;) {
      const parent = parentOf(child, count);
      if (!parent) {
        top.add(childNumber(child, count));
        return top.size === topCount(count);
      }
      const key = pageSortKey('a', parent);
      const node = nodes.get(key) ?? new Set();
      nodes.set(key, node.add(childNumber(child, count)));
      if (node.size < childrenOf(parent, count)) return false;
      child = parent;
    }
  };
}

describe('the tree of pages', () => {
  test('notices the last page whatever the order, and not one page earlier', () => {
    fc.assert(
      fc.property(counts, fc.integer(), (count, seed) => {
        const pages = Array.from({ length: Math.ceil(count / PIECES_PER_PAGE) }, (_, index) => index);
        const order = pages
          .map((page) => [Math.imul(page + 1, seed | 1) >>> 0, page] as const)
          .sort(([a], [b]) => a - b)
          .map(([, page]) => page);
        const note = notes(count);
        order.forEach((page, step) => {
          expect(note(page)).toBe(step === order.length - 1);
        });
      }),
      { numRuns: 30 },
    );
  });

  test('noting a page twice changes nothing', () => {
    const note = notes(40);
    expect([note(0), note(0), note(1), note(1), note(1)]).toEqual([false, false, false, false, false]);
    expect(note(2)).toBe(true);
  });

  test('keeps the upload item small: at most 64 children hang on it', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000_000 }), (count) => {
        expect(topCount(count)).toBeLessThanOrEqual(CHILDREN_PER_NODE);
      }),
    );
    expect(levelsOf(1)).toEqual([1]);
    expect(levelsOf(1024)).toEqual([64]);
    expect(levelsOf(1025)).toEqual([65, 2]);
    expect(levelsOf(1_000_000)).toEqual([62_500, 977, 16]);
  });

  test('knows which pieces lie below every page and node', () => {
    fc.assert(
      fc.property(counts, (count) => {
        levelsOf(count).forEach((width, level) => {
          let next = 1;
          for (let index = 0; index < width; index++) {
            const { first, last } = piecesBelow({ level, index }, count);
            expect(first).toBe(next);
            next = last + 1;
          }
          expect(next).toBe(count + 1);
        });
      }),
      { numRuns: 20 },
    );
  });

  test('puts pieces on pages of sixteen whose keys sort in order and lead back', () => {
    expect([1, 16, 17, 10_000].map(pageOf)).toEqual([0, 0, 1, 624]);
    const keys = [0, 9, 10, 62_499].map((index) => pageSortKey('0mabc', { level: 0, index }));
    expect([...keys].sort()).toEqual(keys);
    expect(keys.map(pageIndexOf)).toEqual([0, 9, 10, 62_499]);
    expect(keys.every((key) => key.startsWith(pagesPrefix('0mabc')))).toBe(true);
    expect(pageSortKey('0mabc', { level: 1, index: 0 }).startsWith(pagesPrefix('0mabc'))).toBe(false);
  });
});
