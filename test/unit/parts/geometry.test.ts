import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  assemblyOf,
  bytesOfPieces,
  choosePartSize,
  chunksOfBody,
  chunksOfPart,
  GiB,
  MAX_ASSEMBLED_PARTS,
  MiB,
  type Pieces,
  partOfBody,
  partOfChunk,
  pieceCount,
  pieceLength,
  pieceStart,
  S3_LIMITS,
} from '../../../lambdas/parts/geometry.ts';

const files = fc
  .record({ pieceSize: fc.integer({ min: 1, max: 6 * MiB }), pieces: fc.integer({ min: 1, max: 300 }) })
  .chain(({ pieceSize, pieces }) =>
    fc.record({
      pieceSize: fc.constant(pieceSize),
      totalSize: fc.integer({ min: (pieces - 1) * pieceSize + 1, max: pieces * pieceSize }),
    }),
  );

/** The chunks that Resumable.js 1.1.0 sends, by its own arithmetic. */
function resumableChunks({ totalSize, pieceSize }: Pieces, forceChunkSize: boolean): [number, number][] {
  const round = forceChunkSize ? Math.ceil : Math.floor;
  const count = Math.max(round(totalSize / pieceSize), 1);
  return Array.from({ length: count }, (_, offset) => {
    const start = offset * pieceSize;
    let end = Math.min(totalSize, (offset + 1) * pieceSize);
    if (totalSize - end < pieceSize && !forceChunkSize) end = totalSize;
    return [offset + 1, end - start];
  });
}

describe('pieces', () => {
  test('cover every byte of a file once, without gap or overlap', () => {
    fc.assert(
      fc.property(files, (file) => {
        let offset = 0;
        for (let number = 1; number <= pieceCount(file); number++) {
          expect(pieceStart(file, number)).toBe(offset);
          expect(pieceLength(file, number)).toBeGreaterThan(0);
          offset += pieceLength(file, number);
        }
        expect(offset).toBe(file.totalSize);
        expect(bytesOfPieces(file, 1, pieceCount(file))).toBe(file.totalSize);
      }),
      { numRuns: 50 },
    );
  });

  test('of a file of a million chunks are found by arithmetic', () => {
    const file = { totalSize: 1_000_000 * MiB - 5, pieceSize: MiB };
    expect(pieceCount(file)).toBe(1_000_000);
    expect(pieceLength(file, 1_000_000)).toBe(MiB - 5);
    expect(chunksOfBody(file, 1_000_000, MiB - 5)).toEqual({ first: 1_000_000, last: 1_000_000 });
    expect(assemblyOf(file)).toEqual({ chunksPerPart: 1000, partCount: 1000 });
  });
});

describe('the part size of a presigned upload', () => {
  test('keeps every file that S3 can hold within 10,000 legal parts', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: S3_LIMITS.maxObjectSize }), (totalSize) => {
        const pieceSize = choosePartSize(totalSize, 16 * MiB);
        expect(pieceCount({ totalSize, pieceSize })).toBeLessThanOrEqual(S3_LIMITS.maxParts);
        expect(pieceSize).toBeGreaterThanOrEqual(S3_LIMITS.minPartSize);
        expect(pieceSize).toBeLessThanOrEqual(S3_LIMITS.maxPartSize);
      }),
    );
    expect(choosePartSize(S3_LIMITS.maxObjectSize, 16 * MiB)).toBe(5 * GiB);
  });

  test('is the preferred one as long as that suffices', () => {
    expect(choosePartSize(10_000 * 16 * MiB, 16 * MiB)).toBe(16 * MiB);
    expect(choosePartSize(10_000 * 16 * MiB + 1, 16 * MiB)).toBe(17 * MiB);
  });
});

describe('chunks of a body', () => {
  test.each([true, false])(
    'take whatever Resumable.js sends with forceChunkSize %s, each byte once',
    (force) => {
      fc.assert(
        fc.property(files, (file) => {
          let next = 1;
          for (const [number, length] of resumableChunks(file, force)) {
            const covered = chunksOfBody(file, number, length);
            expect(covered?.first).toBe(next);
            next = (covered?.last ?? 0) + 1;
          }
          expect(next).toBe(pieceCount(file) + 1);
        }),
        { numRuns: 50 },
      );
    },
  );

  test('refuse a number or a length that no chunk of the file has', () => {
    const file = { totalSize: 10 * MiB + 1, pieceSize: MiB };
    expect(chunksOfBody(file, 11, 1)).toEqual({ first: 11, last: 11 });
    expect(chunksOfBody(file, 10, MiB + 1)).toEqual({ first: 10, last: 11 });
    for (const [number, length] of [
      [12, 1],
      [0, MiB],
      [1, MiB - 1],
      [1, MiB + 1],
      [9, 2 * MiB],
      [11, 2],
      [10, MiB + 2],
      [1.5, MiB],
      [-1, MiB],
    ] as const)
      expect(chunksOfBody(file, number, length)).toBeUndefined();
  });
});

describe('assembly', () => {
  test('makes parts of legal size, few enough for one execution, of whole chunks', () => {
    fc.assert(
      fc.property(files, (file) => {
        const { partCount } = assemblyOf(file);
        expect(partCount).toBeLessThanOrEqual(MAX_ASSEMBLED_PARTS);
        let next = 1;
        for (let part = 1; part <= partCount; part++) {
          const { first, last } = chunksOfPart(file, part);
          expect(first).toBe(next);
          expect(partOfChunk(file, first)).toBe(part);
          expect(partOfChunk(file, last)).toBe(part);
          if (part < partCount)
            expect(bytesOfPieces(file, first, last)).toBeGreaterThanOrEqual(S3_LIMITS.minPartSize);
          next = last + 1;
        }
        expect(next).toBe(pieceCount(file) + 1);
      }),
      { numRuns: 50 },
    );
  });

  test('takes the short way for exactly the whole last part, and for nothing else', () => {
    const seventeen = { totalSize: 17 * MiB, pieceSize: MiB };
    expect(partOfBody(seventeen, { first: 17, last: 17 })).toBe(2);
    expect(partOfBody(seventeen, { first: 16, last: 16 })).toBeUndefined();
    expect(partOfBody(seventeen, { first: 16, last: 17 })).toBeUndefined();
    expect(partOfBody({ totalSize: 18 * MiB, pieceSize: MiB }, { first: 18, last: 18 })).toBeUndefined();
    expect(partOfBody({ totalSize: 18 * MiB, pieceSize: MiB }, { first: 17, last: 18 })).toBe(2);
    expect(partOfBody({ totalSize: 1, pieceSize: MiB }, { first: 1, last: 1 })).toBe(1);
    expect(partOfBody({ totalSize: 1.5 * MiB, pieceSize: MiB }, { first: 1, last: 2 })).toBe(1);
    expect(partOfBody({ totalSize: 1.5 * MiB, pieceSize: MiB }, { first: 1, last: 1 })).toBeUndefined();
  });
});
