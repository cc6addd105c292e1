/**
 * AWS's list prices in US dollars, us-east-1, without free tier or volume discounts; as published on 2026-11-22.
 * Other regions cost up to about half more.
 */
export const PRICES_AS_OF = '2026-11-22';
export const PRICES_REGION = 'us-east-1';

const MILLION = 1_000_000;

export const PRICES = {
  /** Each started 512 KB of a request: https://aws.amazon.com/api-gateway/pricing/ */
  httpApiUnit: 1 / MILLION,
  /** arm64: https://aws.amazon.com/lambda/pricing/ */
  lambdaGbSecond: 0.0000133334,
  lambdaRequest: 0.2 / MILLION,
  /** PUT, COPY, POST, LIST; deleting and aborting are free: https://aws.amazon.com/s3/pricing/ */
  s3Write: 0.005 / 1000,
  s3Read: 0.0004 / 1000,
  /** S3 Transfer Acceleration, by edge locations in the United States, Europe and Japan. */
  accelerationGb: 0.04,
  /** On demand: https://aws.amazon.com/dynamodb/pricing/on-demand/ */
  dynamodbWriteUnit: 0.625 / MILLION,
  dynamodbReadUnit: 0.125 / MILLION,
  /** Standard workflows: https://aws.amazon.com/step-functions/pricing/ */
  stateTransition: 0.025 / 1000,
  /** Custom events, each started 64 KB: https://aws.amazon.com/eventbridge/pricing/ */
  event: 1 / MILLION,
} as const;
