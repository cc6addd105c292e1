import { assemblyOf, choosePartSize, MiB, pieceCount } from '../lambdas/parts/geometry.ts';
import { type Count, type Counted, type CountedUpload, flat, type Mode } from './counted.ts';
import { gbSeconds } from './durations.ts';

/** What is billed, by the kinds that AWS's price lists have. */
export interface Quantities {
  readonly httpApiUnits: number;
  readonly lambdaRequests: number;
  readonly lambdaGbSeconds: number;
  readonly s3Writes: number;
  readonly s3Reads: number;
  readonly dynamodbWriteUnits: number;
  readonly dynamodbReadUnits: number;
  readonly stateTransitions: number;
  readonly events: number;
}

/** A file, and how it travels. */
export interface Plan {
  readonly mode: Mode;
  readonly bytes: number;
  /** Bytes of a chunk in proxy mode, of a part in presigned mode. */
  readonly pieceSize: number;
  /** The client's line: how long the upload lasts, and so how often the watchdog looks at it. */
  readonly bitsPerSecond: number;
}

export const DEFAULT_CHUNK = 4 * MiB;
export const DEFAULT_PART = 16 * MiB;

export const planOf = (
  mode: Mode,
  bytes: number,
  { pieceSize, bitsPerSecond = 100_000_000 }: { pieceSize?: number; bitsPerSecond?: number } = {},
): Plan => ({
  mode,
  bytes,
  pieceSize:
    mode === 'proxy' ? (pieceSize ?? DEFAULT_CHUNK) : choosePartSize(bytes, pieceSize ?? DEFAULT_PART),
  bitsPerSecond,
});

/** HTTP APIs meter each started 512 KB. */
const METERED_BYTES = 512 * 1024;
/** What Resumable.js's form has around a chunk's bytes. */
const FORM_BYTES = 2000;
const LOOK_EVERY_SECONDS = 300;

const S3_READS = ['s3:GetObject', 's3:HeadObject'];
/** DELETE and CANCEL requests are free of charge; DeleteObjects is one though it is POSTed. */
const S3_FREE = ['s3:DeleteObjects', 's3:AbortMultipartUpload'];

/** What one upload is billed for, from what was counted of uploads of 1,000 and 10,000 pieces. */
export function quantitiesOf(plan: Plan, counted: Counted): Quantities {
  const pieces = pieceCount({ totalSize: plan.bytes, pieceSize: plan.pieceSize });
  // A file of one chunk is a whole part as it comes.
  const isAssembled = plan.mode === 'proxy' && pieces > 1;
  const parts = isAssembled ? assemblyOf({ totalSize: plan.bytes, pieceSize: plan.pieceSize }).partCount : 0;
  const line = lineOf(counted.uploads.filter(({ mode }) => mode === plan.mode));
  const figure = (name: string, of: keyof Count = 'calls'): number => {
    // These follow the assembled parts, whose number depends on the size of chunks.
    if (of === 'calls' && name === 'assemble-part s3:UploadPart') return parts;
    return line((upload) => flat(upload.calls).get(name)?.[of] ?? 0, pieces);
  };
  const names = [...new Set(counted.uploads.flatMap(({ calls }) => [...flat(calls).keys()]))];
  const sum = (of: keyof Count, matches: (operation: string) => boolean): number =>
    names.filter((name) => matches(operationOf(name))).reduce((total, name) => total + figure(name, of), 0);
  const requests = (route: string): number => line((upload) => upload.requests[route] ?? 0, pieces);

  const { looks, lookReads, lookWrites } = looksAt(plan, pieces, counted);
  const isS3 = (operation: string): boolean => operation.startsWith('s3:') && !S3_FREE.includes(operation);
  const chunkUnits = Math.ceil((Math.min(plan.pieceSize, plan.bytes) + FORM_BYTES) / METERED_BYTES);
  const [chunks, creates, signs, reports] = [
    requests('POST /upload'),
    requests('POST /uploads'),
    requests('POST /uploads/{uploadId}/part-urls'),
    requests('POST /uploads/{uploadId}/parts'),
  ];
  const perSigning = signs > 0 ? pieces / signs : 0;
  return {
    httpApiUnits: chunks * chunkUnits + creates + signs + reports,
    lambdaRequests: chunks + creates + signs + reports + 2 + parts + looks,
    lambdaGbSeconds:
      chunks * gbSeconds('receive-chunk', { bytes: plan.bytes / pieces, dynamodbCalls: 2 }) +
      creates *
        gbSeconds('create-upload', { presigned: Math.min(50, pieces), dynamodbCalls: 3, s3Calls: 1 }) +
      signs * gbSeconds('sign-parts', { presigned: perSigning, dynamodbCalls: 1 }) +
      reports * gbSeconds('record-parts', { dynamodbCalls: 3 }) +
      parts * gbSeconds('assemble-part', { bytes: plan.bytes / (parts || 1), s3Calls: 1 }) +
      gbSeconds('gather-parts', { dynamodbCalls: 2 + pieces / 20_000, s3Calls: 1 }) +
      gbSeconds('complete-upload', {
        dynamodbCalls: 1,
        s3Calls: plan.mode === 'proxy' ? 2 + pieces / 16_000 : 0,
        parts: parts || pieces,
      }) +
      (looks + 1) * gbSeconds('watchdog', { dynamodbCalls: 2, s3Calls: 2 }),
    s3Writes: sum('calls', (operation) => isS3(operation) && !S3_READS.includes(operation)),
    s3Reads: sum('calls', (operation) => S3_READS.includes(operation)),
    dynamodbWriteUnits: sum('writeUnits', () => true) + lookWrites,
    dynamodbReadUnits: sum('readUnits', () => true) + lookReads,
    stateTransitions: line(({ transitions, assembledParts }) => transitions - assembledParts, pieces) + parts,
    events: sum('calls', (operation) => operation === 'events:PutEvents'),
  };
}

const operationOf = (name: string): string => name.split(' ')[1] ?? '';

/** The straight line through what was counted at 1,000 and at 10,000 pieces; one piece is as counted. */
function lineOf(uploads: readonly CountedUpload[]) {
  const at = (pieces: number): CountedUpload => {
    const upload = uploads.find((one) => one.pieces === pieces);
    if (!upload) throw new Error(`No upload of ${pieces} pieces has been counted.`);
    return upload;
  };
  const [one, few, many] = [at(1), at(1_000), at(10_000)];
  return (figure: (upload: CountedUpload) => number, pieces: number): number => {
    if (pieces === 1) return figure(one);
    const slope = (figure(many) - figure(few)) / (many.pieces - few.pieces);
    return Math.max(0, figure(few) + (pieces - few.pieces) * slope);
  };
}

/** The watchdog's looks while the upload goes on: on the average half of the pieces are recorded by then. */
function looksAt({ bytes, bitsPerSecond }: Plan, pieces: number, { look }: Counted) {
  const looks = Math.floor((bytes * 8) / bitsPerSecond / LOOK_EVERY_SECONDS);
  const counts = flat(look.calls);
  const pageReads = counts.get('watchdog dynamodb:Query')?.readUnits ?? 0;
  const itemReads = counts.get('watchdog dynamodb:GetItem')?.readUnits ?? 0;
  return {
    looks,
    lookReads: looks * (itemReads + (pageReads * pieces) / 2 / look.pieces),
    lookWrites: looks * (counts.get('watchdog dynamodb:UpdateItem')?.writeUnits ?? 0),
  };
}

/**
 * The design that tutorials on resumable uploads with Lambda, S3 and Resumable.js describe, counted the same way:
 * each chunk becomes an S3 part at once and an item of its own, and after each chunk the function asks for the item
 * of every part, to see whether all are there. It has no workflow, no event and no watchdog.
 *
 * Favourable to it: the same chunks, though S3 completes no upload of parts under 5 MiB; no retries; reads of half a
 * unit, fifty at once.
 */
export function tutorialQuantities({ bytes, pieceSize }: Plan): Quantities {
  const chunks = pieceCount({ totalSize: bytes, pieceSize });
  const lookups = chunks * chunks;
  const chunkUnits = Math.ceil((Math.min(pieceSize, bytes) + FORM_BYTES) / METERED_BYTES);
  const READS_AT_ONCE = 50;
  return {
    httpApiUnits: chunks * chunkUnits,
    lambdaRequests: chunks,
    lambdaGbSeconds:
      chunks *
      gbSeconds('receive-chunk', {
        bytes: bytes / chunks,
        dynamodbCalls: 2 + Math.ceil(chunks / READS_AT_ONCE),
      }),
    s3Writes: chunks + 2,
    s3Reads: 0,
    dynamodbWriteUnits: chunks + 1,
    dynamodbReadUnits: (chunks + lookups) / 2,
    stateTransitions: 0,
    events: 0,
  };
}
