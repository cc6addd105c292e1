import type { LifecycleRule } from './bucket.ts';

const day = 86_400_000;

/** An action that a rule takes, and when. */
export interface Due {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly ruleId: string;
}

/** S3 adds the days and rounds up to the next midnight UTC: https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html */
const afterDays = (from: number, days: number): number => Math.ceil((from + days * day) / day) * day;

/** When the rules abort an upload that was started at that time, or undefined. */
export const abortDue = (
  rules: readonly LifecycleRule[],
  key: string,
  initiatedAt: number,
): Due | undefined => earliest(rules, key, initiatedAt, (rule) => rule.abortIncompleteMultipartUploadDays);

/** When the rules remove an object that was stored at that time, or undefined. */
export const expiryDue = (rules: readonly LifecycleRule[], key: string, storedAt: number): Due | undefined =>
  earliest(rules, key, storedAt, (rule) => rule.expirationDays);

function earliest(
  rules: readonly LifecycleRule[],
  key: string,
  from: number,
  daysOf: (rule: LifecycleRule) => number | undefined,
): Due | undefined {
  let first: Due | undefined;
  rules.forEach((rule, index) => {
    const days = daysOf(rule);
    if (days === undefined || rule.enabled === false || !key.startsWith(rule.prefix ?? '')) return;
    const at = afterDays(from, days);
    if (first === undefined || at < first.at) first = { at, ruleId: rule.id ?? `rule-${index + 1}` };
  });
  return first;
}
