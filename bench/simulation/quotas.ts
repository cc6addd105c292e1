/** AWS's default quotas of an account in us-east-1. */
export const QUOTAS = {
  /** https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-throttling.html; the stack takes half. */
  apiRequestsPerSecond: 5_000,
  /** All functions of the account together: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html */
  lambdaConcurrency: 1_000,
  /** Of each function, "every 10 seconds": https://docs.aws.amazon.com/lambda/latest/dg/scaling-behavior.html */
  lambdaNewInstances: 1_000,
  lambdaNewInstancesPerSecond: 100,
  /** Of one partition key: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html */
  partitionWriteUnits: 1_000,
  partitionReadUnits: 3_000,
  /** A new on-demand table's: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html */
  newTableWriteUnits: 4_000,
  newTableReadUnits: 12_000,
  /** Of Standard workflows; 800, 150 and 800 outside us-east-1, us-west-2 and eu-west-1: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html */
  startExecutions: 1_300,
  startExecutionsPerSecond: 300,
  stateTransitionsPerSecond: 5_000,
  historyEvents: 25_000,
  stateBytes: 262_144,
  /** Of one prefix: https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html */
  prefixWritesPerSecond: 3_500,
  prefixReadsPerSecond: 5_500,
  /** Of one event: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html */
  eventBytes: 262_144,
} as const;
