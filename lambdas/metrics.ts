import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';

const metrics = new Metrics();

/** What is counted. Written to the log in CloudWatch's embedded format: no call, and no cost but the metric's. */
export type UploadMetric =
  | 'UploadsCompleted'
  | 'UploadsFailed'
  | 'UploadsExpired'
  /** Completions that the watchdog had to start, since the function that should have had died. */
  | 'UploadsRescued';

export function count(metric: UploadMetric, times = 1): void {
  metrics.addMetric(metric, MetricUnit.Count, times);
  metrics.publishStoredMetrics();
}

/** Bytes of a completed upload. */
export function countCompleted(bytes: number): void {
  metrics.addMetric('BytesCompleted', MetricUnit.Bytes, bytes);
  count('UploadsCompleted');
}
