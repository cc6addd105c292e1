import { paginateListObjectsV2 } from '@aws-sdk/client-s3';
import { bytesOfPieces, chunksOfPart, pieceLength } from '../parts/geometry.ts';
import { directMark, isDirect, type PieceMark } from '../parts/ledger.ts';
import { complete, type RecordServices, recordStoredPieces } from '../parts/record.ts';
import { type Bucket, isS3Error, listParts, unquoted } from '../storage/multipart.ts';
import { objectKey, stagedChunkKey, type UploadRecord, type UploadStatus } from './record.ts';

/**
 * Pieces that S3 has and the record does not: their function or their browser died before it could say so. Only whole
 * ones count.
 */
export async function unrecordedPieces(
  bucket: Bucket,
  upload: UploadRecord,
  marks: ReadonlyMap<number, PieceMark>,
): Promise<Map<number, PieceMark>> {
  const found = new Map<number, PieceMark>();
  for (const [number, mark] of [
    ...(await storedParts(bucket, upload, marks)),
    ...(await staged(bucket, upload)),
  ])
    if (!marks.has(number) && !found.has(number)) found.set(number, mark);
  return found;
}

/**
 * Records them, and starts the completion where nothing else is missing.
 *
 * @param bytes recorded already
 * @throws UploadEnded when the upload is not this attempt's any more
 */
export async function recordUnrecorded(
  services: RecordServices,
  upload: UploadRecord,
  bytes: number,
  unrecorded: ReadonlyMap<number, PieceMark>,
  now: number,
): Promise<UploadStatus> {
  const recorded =
    unrecorded.size > 0 ? await recordStoredPieces(services, upload, unrecorded, now) : undefined;
  const isWhole = bytes + bytesOfMarks(upload, unrecorded) === upload.totalSize;
  // A full page may not have been noted, since its function died: then nobody else knows that all is there.
  if (isWhole && recorded?.status !== 'completing') return (await complete(services, upload, now)).status;
  return recorded?.status ?? upload.status;
}

export const bytesOfMarks = (upload: UploadRecord, marks: ReadonlyMap<number, PieceMark>): number =>
  [...marks.keys()].reduce((bytes, number) => bytes + pieceLength(upload, number), 0);

async function staged(
  { client, bucketName }: Bucket,
  upload: UploadRecord,
): Promise<readonly (readonly [number, PieceMark])[]> {
  if (upload.mode === 'presigned' && !upload.firstPartStaged) return [];
  const found: [number, PieceMark][] = [];
  const prefix = stagedChunkKey(upload, 1).slice(0, -7);
  for await (const { Contents } of paginateListObjectsV2(
    { client },
    { Bucket: bucketName, Prefix: prefix },
  )) {
    for (const { Key = '', Size, ETag } of Contents ?? []) {
      const number = Number(Key.slice(prefix.length));
      if (Key === stagedChunkKey(upload, number) && Size === pieceLength(upload, number))
        found.push([number, unquoted(ETag)]);
    }
  }
  return found;
}

async function storedParts(
  bucket: Bucket,
  upload: UploadRecord,
  marks: ReadonlyMap<number, PieceMark>,
): Promise<readonly (readonly [number, PieceMark])[]> {
  const { s3UploadId, mode } = upload;
  if (!s3UploadId) return [];
  try {
    const parts = await listParts(bucket, { key: objectKey(upload), s3UploadId });
    return parts.flatMap(({ partNumber, size, etag }): (readonly [number, PieceMark])[] => {
      if (mode === 'presigned') return size === pieceLength(upload, partNumber) ? [[partNumber, etag]] : [];
      const { first, last } = chunksOfPart(upload, partNumber);
      const numbers = Array.from({ length: last - first + 1 }, (_, index) => first + index);
      // A part with staged chunks recorded was assembled, and will be again.
      const cameWhole = numbers.every((number) => isDirect(marks.get(number) ?? directMark('')));
      return cameWhole && size === bytesOfPieces(upload, first, last)
        ? numbers.map((number) => [number, directMark(etag)] as const)
        : [];
    });
  } catch (error) {
    // Ended between our read and this call: the next look sees it as it is then.
    if (isS3Error(error, 'NoSuchUpload')) return [];
    throw error;
  }
}
