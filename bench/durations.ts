import { UPLOAD_FUNCTIONS, type UploadFunctionName } from '../infra/function-map.ts';
import { MiB } from '../lambdas/parts/geometry.ts';

/**
 * How long functions run, for their bill: assumed, not measured on AWS. Waiting is taken from what AWS documents of
 * S3 and DynamoDB, and work from `npm run bench:cpu` on one core, stretched to the share of a core that the
 * function's memory buys.
 */
export const ASSUMED = {
  /** "roughly 100–200 milliseconds": https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html */
  s3Ms: 150,
  /** "85–90 MB/s" for one request: https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance-design-patterns.html */
  s3BytesPerMs: 85_000,
  /** "single-digit millisecond": https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Introduction.html */
  dynamodbMs: 9,
  /** Reading the request, writing the answer, logging. */
  requestMs: 5,
  /** To parse a chunk's form and sign its bytes, on one core: `npm run bench:cpu`. */
  chunkMsPerMiB: 5,
  /** To sign one URL, on one core: `npm run bench:cpu`. */
  presignMs: 0.8,
  /** S3 joins parts: a second, and longer for many. AWS says only that it "can take several minutes". */
  completeMs: (parts: number): number => 1000 + parts,
} as const;

/** https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html: 1,769 MB are one core. */
const ONE_CORE_MB = 1769;

/** What a run of a function has to do. */
export interface Work {
  readonly bytes?: number;
  readonly presigned?: number;
  readonly parts?: number;
  /** Consecutive calls to DynamoDB. */
  readonly dynamodbCalls?: number;
  /** Consecutive requests to S3, besides the one that moves `bytes`. */
  readonly s3Calls?: number;
}

/** GB-seconds of one run, without its cold start. */
export function gbSeconds(name: UploadFunctionName, work: Work): number {
  const { memory } = UPLOAD_FUNCTIONS[name];
  const { bytes = 0, presigned = 0, parts = 0, dynamodbCalls = 0, s3Calls = 0 } = work;
  const cpu = ASSUMED.requestMs + (bytes / MiB) * ASSUMED.chunkMsPerMiB + presigned * ASSUMED.presignMs;
  const waiting =
    dynamodbCalls * ASSUMED.dynamodbMs +
    s3Calls * ASSUMED.s3Ms +
    (bytes > 0 ? ASSUMED.s3Ms + bytes / ASSUMED.s3BytesPerMs : 0) +
    (parts > 0 ? ASSUMED.completeMs(parts) : 0);
  const ms = cpu / Math.min(1, memory / ONE_CORE_MB) + waiting;
  return (memory / 1024) * (ms / 1000);
}
