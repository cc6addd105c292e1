import type * as events from 'aws-cdk-lib/aws-events';
import { DETAIL_TYPES, EVENT_SOURCE } from '../lambdas/events/upload-event.ts';

export type UploadEvent = keyof typeof DETAIL_TYPES;

export const uploadEventPattern = (event: UploadEvent): events.EventPattern => ({
  source: [EVENT_SOURCE],
  detailType: [DETAIL_TYPES[event]],
});
