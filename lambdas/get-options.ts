import { settings } from './environment.ts';
import { type ApiAnswer, apiHandler } from './http/handler.ts';
import { logger } from './http/logger.ts';
import { MAX_CHUNK_SIZE, MAX_CHUNKS, MIN_CHUNK_SIZE, MiB } from './parts/geometry.ts';
import { MAX_PART_URLS, MAX_REPORTED_PARTS } from './parts/limits.ts';
import { largestFile } from './upload/policy.ts';
import type { UploadSettings } from './upload/settings.ts';

/**
 * `GET /upload/options`: what suits this deployment, so that a page need not repeat it: what files are taken, and in
 * what pieces. Sizes in bytes.
 */
export const options = (settings: UploadSettings): ApiAnswer => {
  const { minFileSize, allowedContentTypes, allowedExtensions, partSize, urlExpirySeconds } = settings;
  return {
    status: 200,
    body: {
      minFileSize,
      maxFileSize: largestFile(settings),
      allowedContentTypes,
      allowedExtensions,
      proxy: {
        chunkSize: 4 * MiB,
        maxChunkSize: MAX_CHUNK_SIZE,
        minChunkSize: MIN_CHUNK_SIZE,
        maxChunks: MAX_CHUNKS,
      },
      presigned: {
        partSize,
        maxPartUrls: MAX_PART_URLS,
        maxReportedParts: MAX_REPORTED_PARTS,
        urlExpirySeconds,
      },
    },
  };
};

const answer = options(settings());
export const handler = apiHandler(logger(), async () => answer);
