/**
 * What the workflow's functions throw on purpose. Step Functions sees the class's name: the state machine's retries
 * name these classes, and a test holds the two together.
 */
export class WorkflowError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** A fault of S3's or DynamoDB's that passes: throttling, a time-out, a 5xx. Worth another try later. */
export class PassingFault extends WorkflowError {}

/**
 * S3 lacks parts that were recorded. They have been taken off the record, and the upload is open again: its client
 * sends them anew, and another execution follows. Not worth a retry.
 */
export class PartsMissing extends WorkflowError {}

/** The upload is no longer this execution's to complete: aborted, expired, or started over. Final. */
export class UploadSuperseded extends WorkflowError {}

/** S3 knows neither the multipart upload nor a finished object of the right size. Final; the client must start over. */
export class MultipartUploadGone extends WorkflowError {}

/** Parts turned out missing time and again. Final. */
export class ReconcileExhausted extends WorkflowError {}

/** The first bytes are not of the type that was announced. Final. */
export class ContentMismatch extends WorkflowError {}

/** The deployment's rules changed since the upload began, and it is not allowed any more. Final. */
export class NotAllowedAnyMore extends WorkflowError {}

/** An execution was started by hand, with an input that names no upload. Final. */
export class InvalidExecutionInput extends WorkflowError {}

/** What no repetition mends. All else may pass, be it an outage or a permission that was missing. */
const FINAL = new Set([
  PartsMissing.name,
  UploadSuperseded.name,
  MultipartUploadGone.name,
  ReconcileExhausted.name,
  ContentMismatch.name,
  NotAllowedAnyMore.name,
  InvalidExecutionInput.name,
  // Stopped by an operator, who will know why.
  'ABORTED',
]);

export const isFinal = ({ error }: { readonly error: string }): boolean => FINAL.has(error);

/** Of these a client is told the cause: it is about its file, and can name nothing of the deployment. */
const CLIENTS_OWN = new Set([
  ContentMismatch.name,
  NotAllowedAnyMore.name,
  MultipartUploadGone.name,
  ReconcileExhausted.name,
]);

/** What a client is told of a failure. The cause of any other may name roles and resources: it is the operators'. */
export const failureForClient = ({ error, cause }: { readonly error: string; readonly cause: string }) => ({
  error,
  cause: CLIENTS_OWN.has(error) ? cause : '',
});

const PASSING = new Set([
  'SlowDown',
  'InternalError',
  'ServiceUnavailable',
  'RequestTimeout',
  'OperationAborted',
  'InternalServerError',
  'ProvisionedThroughputExceededException',
  'ThrottlingException',
  'Throttling',
  'ThrottledException',
  'RequestThrottled',
  'RequestThrottledException',
  'TooManyRequestsException',
  'BandwidthLimitExceeded',
  'RequestLimitExceeded',
  'LimitExceededException',
  'TransactionConflictException',
  'TimeoutError',
  'NetworkingError',
  'ECONNRESET',
  'ECONNREFUSED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'KMS.ThrottlingException',
]);

/** Whether an error of an AWS call is one that passes. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { $metadata, code } = error as { $metadata?: { httpStatusCode?: number }; code?: string };
  const status = $metadata?.httpStatusCode ?? 0;
  return PASSING.has(error.name) || PASSING.has(code ?? '') || status >= 500 || status === 429;
}

/** Runs a task, giving passing faults the one name under which the state machine retries. */
export async function namingPassingFaults<T>(task: () => Promise<T>): Promise<T> {
  try {
    return await task();
  } catch (error) {
    if (isPassing(error)) {
      const { name, message } = error as Error;
      throw new PassingFault(`${name}: ${message}`, { cause: error });
    }
    throw error;
  }
}
