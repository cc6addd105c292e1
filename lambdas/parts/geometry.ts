/**
 * How a file is cut. A *piece* is what a client sends and what we record: an S3 part in presigned mode, a chunk
 * in proxy mode. Pieces are numbered from 1, all of one size but the last, which holds what is left.
 *
 * Everything here follows from sizes alone. The number of chunks that Resumable.js reports is not used: early
 * requests report too few.
 */

export const MiB = 1024 * 1024;
export const GiB = 1024 * MiB;

/** S3's limits: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
export const S3_LIMITS = {
  minPartSize: 5 * MiB,
  maxPartSize: 5 * GiB,
  maxParts: 10_000,
  maxObjectSize: 10_000 * 5 * GiB,
} as const;

/**
 * Lambda takes 6,291,456 bytes of event JSON, in which a binary body is base64 (× 4/3): some 4.7 million bytes
 * less headers, query and form fields. 4.25 MiB leaves room for all of those.
 */
export const MAX_CHUNK_SIZE = 4.25 * MiB;

/** What one chunk's body may hold: a whole chunk, and with floor chunking the rest of the file behind it. */
export const MAX_CHUNK_BODY = 4_700_000;

/** Smaller chunks, in a file of more than one, would cost more in requests than in storage. */
export const MIN_CHUNK_SIZE = 64 * 1024;

export const MAX_CHUNKS = 1_000_000;

/**
 * Assembled parts are this large at least, so that a workflow has few of them; and there are at most
 * {@link MAX_ASSEMBLED_PARTS}, since each takes about seven of an execution's 25,000 history events.
 */
const ASSEMBLED_PART_SIZE = 16 * MiB;
export const MAX_ASSEMBLED_PARTS = 1_000;

export interface Pieces {
  /** Bytes of the whole file, 1 at least. */
  readonly totalSize: number;
  /** Bytes of every piece but the last. */
  readonly pieceSize: number;
}

export const pieceCount = ({ totalSize, pieceSize }: Pieces): number => Math.ceil(totalSize / pieceSize);

export const isPieceNumber = (pieces: Pieces, number: number): boolean =>
  Number.isSafeInteger(number) && number >= 1 && number <= pieceCount(pieces);

/** Offset of a piece's first byte. */
export const pieceStart = ({ pieceSize }: Pieces, number: number): number => (number - 1) * pieceSize;

/** Bytes of piece `number`. */
export const pieceLength = (pieces: Pieces, number: number): number =>
  Math.min(pieces.pieceSize, pieces.totalSize - pieceStart(pieces, number));

/** Bytes of the pieces `first` to `last`, both included. */
export const bytesOfPieces = (pieces: Pieces, first: number, last: number): number =>
  Math.min(last * pieces.pieceSize, pieces.totalSize) - pieceStart(pieces, first);

/**
 * The part size for a presigned upload: `preferred`, or as many whole MiB more as it takes to stay within 10,000
 * parts.
 */
export function choosePartSize(totalSize: number, preferred: number): number {
  const least = Math.ceil(totalSize / S3_LIMITS.maxParts / MiB) * MiB;
  return Math.max(preferred, least, S3_LIMITS.minPartSize);
}

/** How the chunks of a proxied file become S3 parts: always the same whole number of chunks, the last part excepted. */
export interface Assembly {
  readonly chunksPerPart: number;
  readonly partCount: number;
}

export function assemblyOf(chunks: Pieces): Assembly {
  const count = pieceCount(chunks);
  const chunksPerPart = Math.max(
    Math.ceil(ASSEMBLED_PART_SIZE / chunks.pieceSize),
    Math.ceil(count / MAX_ASSEMBLED_PARTS),
  );
  return { chunksPerPart, partCount: Math.ceil(count / chunksPerPart) };
}

/** The chunks of assembled part `partNumber`, both ends included. */
export function chunksOfPart(chunks: Pieces, partNumber: number): { first: number; last: number } {
  const { chunksPerPart } = assemblyOf(chunks);
  return {
    first: (partNumber - 1) * chunksPerPart + 1,
    last: Math.min(partNumber * chunksPerPart, pieceCount(chunks)),
  };
}

/** The assembled part that chunk `number` belongs to. */
export const partOfChunk = (chunks: Pieces, number: number): number =>
  Math.ceil(number / assemblyOf(chunks).chunksPerPart);

/**
 * The chunks that one request's body covers.
 *
 * With `forceChunkSize` that is one chunk. Without it, Resumable.js sends the last two as one body of up to twice
 * the chunk size (floor chunking); we cut that body where the chunks meet, so that one numbering serves both ways
 * and a client may change its mind between two sessions.
 *
 * @returns undefined where `number` and `length` fit no chunk of this file.
 */
export function chunksOfBody(
  chunks: Pieces,
  number: number,
  length: number,
): { first: number; last: number } | undefined {
  if (!isPieceNumber(chunks, number)) return undefined;
  if (length === pieceLength(chunks, number)) return { first: number, last: number };
  const count = pieceCount(chunks);
  const floorTail = number === count - 1 && pieceStart(chunks, number) + length === chunks.totalSize;
  return floorTail ? { first: number, last: count } : undefined;
}

/**
 * The short way: the S3 part that a body can be as it stands, without staging. Only the last part may be under
 * 5 MiB, so the body must be exactly the whole of it.
 */
export function partOfBody(
  chunks: Pieces,
  { first, last }: { first: number; last: number },
): number | undefined {
  const { partCount } = assemblyOf(chunks);
  const part = chunksOfPart(chunks, partCount);
  return part.first === first && part.last === last ? partCount : undefined;
}
