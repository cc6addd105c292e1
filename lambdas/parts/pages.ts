/**
 * Where the record of a piece lives, and how the last piece is noticed without reading the others.
 *
 * Recording a piece must cost one write unit whatever the file's size, so pieces are recorded on *pages* of 16,
 * which stay under 1 KB. A full page is noted on its parent, a set of up to 64 children; a full parent on the next
 * one; and the top ones on the upload's own item. A million chunks make a tree of three levels, and a chunk costs
 * 1 + 1/16 + 1/1024 + … write units. Noting is a set union: doing it twice, or again after a crash, is harmless.
 */

/** 16 ETags of 32 characters and their names take some 700 bytes: one write unit, keys included. */
export const PIECES_PER_PAGE = 16;
/** 64 numbers of a set take some 200 bytes. */
export const CHILDREN_PER_NODE = 64;

/** A page (level 0, holding pieces) or a node above it (holding the indexes of its full children). */
export interface PageAddress {
  readonly level: number;
  /** From 0. */
  readonly index: number;
}

/** How many pages or nodes each level has, from the pages up; the last level has at most 64 and hangs on the upload. */
export function levelsOf(pieceCount: number): readonly number[] {
  const levels = [Math.ceil(pieceCount / PIECES_PER_PAGE)];
  for (let top = levels[0] ?? 0; top > CHILDREN_PER_NODE; ) {
    top = Math.ceil(top / CHILDREN_PER_NODE);
    levels.push(top);
  }
  return levels;
}

/** The page of a piece. */
export const pageOf = (pieceNumber: number): number => Math.floor((pieceNumber - 1) / PIECES_PER_PAGE);

/** The pieces below a page or node, both ends included. */
export function piecesBelow(
  { level, index }: PageAddress,
  pieceCount: number,
): { first: number; last: number } {
  const span = PIECES_PER_PAGE * CHILDREN_PER_NODE ** level;
  return { first: index * span + 1, last: Math.min((index + 1) * span, pieceCount) };
}

/** Where a full page or node is noted: `undefined` is the upload's own item. */
export function parentOf(address: PageAddress, pieceCount: number): PageAddress | undefined {
  return address.level === levelsOf(pieceCount).length - 1
    ? undefined
    : { level: address.level + 1, index: Math.floor(address.index / CHILDREN_PER_NODE) };
}

/** The number under which a child is noted on its parent. */
export const childNumber = (child: PageAddress, pieceCount: number): number =>
  parentOf(child, pieceCount) ? child.index % CHILDREN_PER_NODE : child.index;

/** How many children a node must have noted to be full. */
export function childrenOf(node: PageAddress, pieceCount: number): number {
  const below = levelsOf(pieceCount)[node.level - 1] ?? 0;
  return Math.min(CHILDREN_PER_NODE, below - node.index * CHILDREN_PER_NODE);
}

/** How many pages or nodes the upload's own item must have noted for the upload to be whole. */
export const topCount = (pieceCount: number): number => levelsOf(pieceCount).at(-1) ?? 0;

/** The sort key of a page or node: pages of one attempt sort together, in order. */
export const pageSortKey = (attempt: string, { level, index }: PageAddress): string =>
  `${attempt}#${level}#${String(index).padStart(6, '0')}`;

/** The prefix of the sort keys of an attempt's pages (level 0 only: the nodes above hold no ETags). */
export const pagesPrefix = (attempt: string): string => `${attempt}#0#`;

/** The page index in a page's sort key. */
export const pageIndexOf = (sortKey: string): number => Number(sortKey.slice(sortKey.lastIndexOf('#') + 1));
