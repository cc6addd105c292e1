import { Problem } from '../http/problems.ts';
import {
  MAX_CHUNK_SIZE,
  MAX_CHUNKS,
  MIN_CHUNK_SIZE,
  type Pieces,
  pieceCount,
  S3_LIMITS,
} from '../parts/geometry.ts';
import { cleanFileName, extensionOf } from './file-name.ts';
import type { UploadSettings } from './settings.ts';

export interface AnnouncedFile {
  readonly fileName: string;
  readonly totalSize: number;
  /** As the client names it; may be empty. */
  readonly contentType: string;
}

/** What is stored with the object: the media type alone, lower case; `application/octet-stream` when none is named. */
export function mediaType(contentType: string): string {
  const type = (contentType.split(';')[0] ?? '').trim().toLowerCase();
  if (type === '') return 'application/octet-stream';
  if (!/^[a-z0-9!#$&^_.+-]{1,64}\/[a-z0-9!#$&^_.+-]{1,64}$/.test(type))
    throw new Problem(
      'content-type-not-allowed',
      'The content type is not one; it should read like video/mp4.',
    );
  return type;
}

/** Bytes; what does not fit into its owner's quota by itself can never be taken. */
export const largestFile = ({ maxFileSize, maxBytesPerOwner }: UploadSettings): number =>
  Math.min(maxFileSize, S3_LIMITS.maxObjectSize, maxBytesPerOwner ?? Number.POSITIVE_INFINITY);

/**
 * Whether this deployment takes such a file.
 *
 * @throws Problem that says what would be taken
 */
export function checkFile(file: AnnouncedFile, settings: UploadSettings): void {
  const { totalSize, fileName } = file;
  if (totalSize === 0) throw new Problem('empty-file', 'The file has no bytes; choose one that has.');
  if (totalSize < settings.minFileSize)
    throw new Problem('file-too-small', `Files must have at least ${settings.minFileSize} bytes.`);
  const most = largestFile(settings);
  if (totalSize > most) throw new Problem('file-too-large', `Files may have at most ${most} bytes.`);
  if (!fileName.isWellFormed() || fileName.includes('\0'))
    throw new Problem('invalid-file-name', 'The file name holds characters that are none.');

  const { allowedContentTypes, allowedExtensions } = settings;
  const type = mediaType(file.contentType);
  const isAllowed = (allowed: string): boolean =>
    allowed === type || (allowed.endsWith('/*') && type.startsWith(allowed.slice(0, -1)));
  if (allowedContentTypes.length > 0 && !allowedContentTypes.some(isAllowed))
    throw new Problem(
      'content-type-not-allowed',
      `Content types taken here: ${allowedContentTypes.join(', ')}. This is ${type}.`,
    );
  if (allowedExtensions.length > 0 && !allowedExtensions.includes(extensionOf(cleanFileName(fileName))))
    throw new Problem(
      'file-extension-not-allowed',
      `File names must end in ${allowedExtensions.join(', ')}.`,
    );
}

/** Whether a file can be cut into these chunks within the limits of Lambda and of this service. */
export function checkChunks(chunks: Pieces): void {
  const { pieceSize } = chunks;
  const count = pieceCount(chunks);
  if (count === 1) return;
  if (pieceSize > MAX_CHUNK_SIZE || pieceSize < MIN_CHUNK_SIZE || count > MAX_CHUNKS)
    throw new Problem(
      'chunk-size-not-supported',
      `Set chunkSize from ${MIN_CHUNK_SIZE} to ${MAX_CHUNK_SIZE} bytes, and so that there are at most ${MAX_CHUNKS}` +
        ' chunks; or upload larger files in presigned mode.',
    );
}
