import type { UploadSettings } from '../../lambdas/upload/settings.ts';

/** What the construct sets by default. */
export const SETTINGS: UploadSettings = {
  minFileSize: 1,
  maxFileSize: 2 ** 40,
  allowedContentTypes: [],
  allowedExtensions: [],
  partSize: 16 * 2 ** 20,
  urlExpirySeconds: 3600,
  abandonAfterSeconds: 86_400,
  maxAgeSeconds: 7 * 86_400,
  keepRecordSeconds: 7 * 86_400,
  accelerate: false,
};

// The modules read their environment when they are loaded. Their own services are never used here.
Object.assign(process.env, {
  AWS_REGION: 'us-east-1',
  TABLE_NAME: 'table',
  BUCKET_NAME: 'bucket',
  STATE_MACHINE_ARN: 'arn:aws:states:us-east-1:000000000000:stateMachine:uploads',
  EVENT_BUS_NAME: 'bus',
  SETTINGS: JSON.stringify(SETTINGS),
  POWERTOOLS_LOG_LEVEL: 'SILENT',
  POWERTOOLS_METRICS_DISABLED: 'true',
  POWERTOOLS_METRICS_NAMESPACE: 'Simulation',
});

export const { receiveChunk } = await import('../../lambdas/receive-chunk.ts');
export const { createUpload } = await import('../../lambdas/create-upload.ts');
export const { signParts } = await import('../../lambdas/sign-parts.ts');
export const { recordParts } = await import('../../lambdas/record-parts.ts');
export const { gatherParts } = await import('../../lambdas/gather-parts.ts');
export const { assemblePart } = await import('../../lambdas/assemble-part.ts');
export const { completeUpload } = await import('../../lambdas/complete-upload.ts');
export const { watch } = await import('../../lambdas/watchdog.ts');
export const { logger } = await import('../../lambdas/http/logger.ts');
