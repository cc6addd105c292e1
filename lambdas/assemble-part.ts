import { Readable } from 'node:stream';
import { dynamoDbClient } from './clients/dynamodb.ts';
import { s3Client } from './clients/s3.ts';
import { settings, variable } from './environment.ts';
import { logger } from './http/logger.ts';
import { bytesOfPieces, chunksOfPart, pieceLength } from './parts/geometry.ts';
import { readPage } from './parts/ledger.ts';
import { pageOf } from './parts/pages.ts';
import { type Bucket, isS3Error, uploadPart } from './storage/multipart.ts';
import { readChunk } from './storage/staging.ts';
import { stagedChunkKey, type UploadRecord } from './upload/record.ts';
import type { UploadSettings } from './upload/settings.ts';
import type { Table } from './upload/store.ts';
import { isPassing, namingPassingFaults, PassingFault, UploadSuperseded } from './workflow/errors.ts';
import type { PlannedUpload } from './workflow/plan.ts';
import { reopen } from './workflow/reopen.ts';
import { uploadOfExecution } from './workflow/upload-of-execution.ts';

export interface AssembleInput {
  readonly upload: PlannedUpload;
  readonly partNumber: number;
}

export interface Services {
  readonly table: Table;
  readonly bucket: Bucket;
  readonly settings: UploadSettings;
}

/** Chunks read ahead of the one being written: hides S3's latency, at 4.25 MiB of memory each at most. */
const READ_AHEAD = 8;

/**
 * "Assemble part": joins the staged chunks of one part and stores them as that part. Each byte is read once and
 * written once, and memory does not grow with the part. Done again, it stores the same part again.
 */
export async function assemblePart({ upload, partNumber }: AssembleInput, services: Services, now: number) {
  const { bucket } = services;
  const { first, last } = chunksOfPart(upload, partNumber);
  const size = bytesOfPieces(upload, first, last);
  try {
    const body = Readable.from(chunksInOrder(bucket, upload, first, last), { objectMode: false });
    const etag = await uploadStream(bucket, upload, { partNumber, body, size });
    return { partNumber, etag, size };
  } catch (error) {
    if (error instanceof ChunkUnusable) return await unrecord(services, upload, error.chunkNumber, now);
    if (isS3Error(error, 'NoSuchUpload'))
      throw new UploadSuperseded('The multipart upload ended while its parts were being assembled.');
    // A streamed body cannot be sent twice, so the SDK does not retry it: the state machine does.
    if (isPassing(error))
      throw new PassingFault(`Part ${partNumber}: ${(error as Error).message}`, { cause: error });
    throw error;
  }
}

/** The SDK pipes a body without minding its errors: without this, a chunk that cannot be read would hang the request. */
async function uploadStream(
  bucket: Bucket,
  upload: PlannedUpload,
  part: { partNumber: number; body: Readable; size: number },
): Promise<string> {
  const reading = new AbortController();
  part.body.once('error', (error) => reading.abort(error));
  try {
    return await uploadPart(bucket, upload, part, reading.signal);
  } catch (error) {
    part.body.destroy();
    throw reading.signal.aborted ? reading.signal.reason : error;
  }
}

/** A staged chunk is not there, or not as long as it was when it was acknowledged. */
class ChunkUnusable extends Error {
  readonly chunkNumber: number;
  constructor(chunkNumber: number, reason: string) {
    super(`Chunk ${chunkNumber}: ${reason}`);
    this.chunkNumber = chunkNumber;
  }
}

async function* chunksInOrder(
  bucket: Bucket,
  upload: PlannedUpload,
  first: number,
  last: number,
): AsyncGenerator<Uint8Array> {
  const read = async (number: number): Promise<Uint8Array> => {
    try {
      const bytes = await readChunk(bucket, stagedChunkKey(upload, number));
      if (bytes.byteLength === pieceLength(upload, number)) return bytes;
      throw new ChunkUnusable(number, `has ${bytes.byteLength} bytes`);
    } catch (error) {
      throw isS3Error(error, 'NoSuchKey') ? new ChunkUnusable(number, 'is not staged') : error;
    }
  };
  const ahead: Promise<Uint8Array>[] = [];
  for (let next = first; next <= last || ahead.length > 0; ) {
    for (; next <= last && ahead.length < READ_AHEAD; next++) {
      const reading = read(next);
      // The error surfaces when it is this chunk's turn; until then it must not count as unhandled.
      reading.catch(() => undefined);
      ahead.push(reading);
    }
    const bytes = await ahead.shift();
    if (bytes) yield bytes;
  }
}

async function unrecord(
  { table, settings }: Services,
  planned: PlannedUpload,
  chunkNumber: number,
  now: number,
): Promise<never> {
  const upload: UploadRecord = await uploadOfExecution(table, planned, now);
  const { marks } = await readPage(table, upload, pageOf(chunkNumber));
  return await reopen(table, upload, new Map([[chunkNumber, marks.get(chunkNumber)]]), settings, now);
}

const log = logger();
const services: Services = {
  table: { client: dynamoDbClient(), tableName: variable('TABLE_NAME') },
  bucket: { client: s3Client(), bucketName: variable('BUCKET_NAME') },
  settings: settings(),
};

export const handler = async (input: AssembleInput) => {
  log.resetKeys();
  log.appendKeys({ uploadId: input.upload.uploadId, attempt: input.upload.attempt, part: input.partNumber });
  const part = await namingPassingFaults(async () => await assemblePart(input, services, Date.now()));
  log.info('part assembled', { bytes: part.size });
  return part;
};
