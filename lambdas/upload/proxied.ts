import type { ChunkParameters } from '../http/chunk-request.ts';
import { Problem } from '../http/problems.ts';
import { chunksOfBody, MAX_CHUNK_BODY } from '../parts/geometry.ts';
import type { UploadIdentity } from './identity.ts';
import { checkChunks, checkFile } from './policy.ts';
import type { UploadSettings } from './settings.ts';

/** A chunk request as understood: whose upload it is, and which chunks its body is. */
export interface ProxiedChunk {
  readonly identity: UploadIdentity;
  readonly first: number;
  readonly last: number;
}

/**
 * Reads Resumable.js's parameters against the file's geometry and the deployment's policy.
 *
 * @throws Problem with a status at which Resumable.js stops: such a chunk can never be taken
 */
export function understandChunk(
  parameters: ChunkParameters,
  owner: string,
  settings: UploadSettings,
): ProxiedChunk {
  const { chunkNumber, chunkSize, currentChunkSize, totalSize, identifier, fileName, type } = parameters;
  checkFile({ fileName, totalSize, contentType: type }, settings);
  const chunks = { totalSize, pieceSize: chunkSize };
  checkChunks(chunks);
  if (currentChunkSize > MAX_CHUNK_BODY)
    throw new Problem('chunk-size-not-supported', `A chunk may have at most ${MAX_CHUNK_BODY} bytes.`);
  const covered = chunksOfBody(chunks, chunkNumber, currentChunkSize);
  if (!covered)
    throw new Problem(
      'chunk-length-mismatch',
      `No chunk ${chunkNumber} of ${currentChunkSize} bytes is in a file of ${totalSize} bytes in chunks of ${chunkSize}.`,
    );
  return {
    identity: { owner, mode: 'proxy', identifier, totalSize, chunkSize, fileName },
    ...covered,
  };
}
