import type { UploadsStackProps } from '../../infra/stack.ts';

/**
 * Every option as it is written in `uploads.config.json`, each with a value that is not its default. Tests synthesise
 * all of them and run what the local stack can, so that an option which is added has to be added here: until then it
 * is a type error.
 */

/** Of a stack that makes what it needs. */
export const WRITTEN = {
  auth: { type: 'jwt', issuer: 'https://login.example.com', audience: 'uploads', scopes: ['upload'] },
  allowedOrigins: ['https://app.example.com'],
  allowedContentTypes: ['Video/*'],
  allowedExtensions: ['.MP4'],
  checkContent: true,
  maxUploadsPerOwner: 100,
  maxBytesPerOwner: '1 GiB',
  minFileSize: 100,
  maxFileSize: '20 MiB',
  partSize: '5 MiB',
  urlExpiry: '30m',
  abandonAfter: '2h',
  maxUploadAge: '2d',
  keepRecords: '1d',
  transferAcceleration: true,
  removalPolicy: 'destroy',
  deletionProtection: true,
  pointInTimeRecovery: true,
  logRetentionDays: 7,
  logLevel: 'DEBUG',
  workflowLogs: 'all',
  accessLogs: false,
  bucketAccessLogsBucketName: 'logs-of-buckets',
  dataEventsBucketName: 'records-of-calls',
  tracing: true,
  sourceMaps: true,
  reservedConcurrency: { 'receive-chunk': 2, watchdog: 1 },
  throttle: {
    rateLimit: 1000,
    burstLimit: 1000,
    routes: { 'GET /upload/options': { rateLimit: 1, burstLimit: 2 } },
  },
  kmsKey: 'new',
  alarms: true,
  alarmTopicArn: 'arn:aws:sns:us-east-1:000000000000:ops',
  dashboard: true,
} as const;

/** In place of what a stack makes, and what it asks. */
export const WRITTEN_NAMES = {
  bucketName: 'videos',
  eventBusName: 'default',
  authorizeFunctionArn: 'arn:aws:lambda:us-east-1:000000000000:function:authorize',
} as const;

export const ALL_WRITTEN = { ...WRITTEN, ...WRITTEN_NAMES } satisfies Record<
  keyof Required<UploadsStackProps>,
  unknown
>;
