import { assemblyOf, chunksOfPart, type Pieces } from '../parts/geometry.ts';
import { isDirect, type PieceMark } from '../parts/ledger.ts';
import { objectKey, type UploadRecord } from '../upload/record.ts';
import type { ExecutionInput } from './execution.ts';

/** What the steps after "Gather parts" work with. References only: 10,000 ETags would not fit between two states. */
export interface PlannedUpload extends ExecutionInput, Pieces {
  readonly key: string;
  readonly s3UploadId: string;
}

export interface Plan {
  readonly upload: PlannedUpload;
  /** The parts to assemble from staged chunks; none in presigned mode. */
  readonly parts: readonly number[];
}

/** The assembled parts of a proxied upload that are not in S3 yet: all but one that came the short way. */
export function partsToAssemble(upload: UploadRecord, marks: ReadonlyMap<number, PieceMark>): number[] {
  if (upload.mode === 'presigned') return [];
  const { partCount } = assemblyOf(upload);
  return Array.from({ length: partCount }, (_, index) => index + 1).filter((partNumber) => {
    const { first, last } = chunksOfPart(upload, partNumber);
    // The short way stores a part whole or not at all, so one of its chunks tells for all.
    return !isDirect(marks.get(first) ?? '') && !isDirect(marks.get(last) ?? '');
  });
}

export const planOf = (
  upload: UploadRecord & { s3UploadId: string },
  marks: ReadonlyMap<number, PieceMark>,
): Plan => ({
  upload: {
    owner: upload.owner,
    uploadId: upload.uploadId,
    attempt: upload.attempt,
    run: upload.run,
    key: objectKey(upload),
    s3UploadId: upload.s3UploadId,
    totalSize: upload.totalSize,
    pieceSize: upload.pieceSize,
  },
  parts: partsToAssemble(upload, marks),
});
