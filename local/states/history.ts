/** An execution's history, in the shapes of GetExecutionHistory. */

/**
 * One event as GetExecutionHistory gives it. `<what>EventDetails` goes by the type: `stateEnteredEventDetails`,
 * `taskFailedEventDetails` … https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html
 */
export interface HistoryEvent {
  readonly id: number;
  /** 0 for the first event and for the first state's. */
  readonly previousEventId: number;
  /** Seconds since the epoch, with a fraction. */
  readonly timestamp: number;
  readonly type: string;
  readonly [details: `${string}EventDetails`]: Readonly<Record<string, unknown>>;
}

/**
 * Event 25,000 is ExecutionFailed, whatever would have come.
 * https://docs.aws.amazon.com/step-functions/latest/dg/bp-history-limit.html
 */
export const MAX_HISTORY_EVENTS = 25_000;

/** Of inputDetails and outputDetails: payloads are kept whole, since they are within the quota for data. */
export const truncated = { truncated: false };

/** Where the details of an event type go; undefined for types that have none. */
export function detailsKey(type: string): `${string}EventDetails` | undefined {
  if (type.endsWith('StateEntered')) return 'stateEnteredEventDetails';
  if (type.endsWith('StateExited')) return 'stateExitedEventDetails';
  if (/State(Aborted|Failed|Succeeded)$/.test(type) || type === 'LambdaFunctionStarted') return undefined;
  return `${type.charAt(0).toLowerCase()}${type.slice(1)}EventDetails`;
}

/** The event as it is kept and given out. Absent values (an error without a cause) are left out. */
export function historyEvent(
  id: number,
  previousEventId: number,
  now: number,
  type: string,
  details: Readonly<Record<string, unknown>> = {},
): HistoryEvent {
  const key = detailsKey(type);
  const given = Object.fromEntries(Object.entries(details).filter(([, value]) => value !== undefined));
  return { id, previousEventId, timestamp: now / 1000, type, ...(key && { [key]: given }) };
}

/** `includeExecutionData: false` leaves the payloads out. */
export function withoutData(event: HistoryEvent): HistoryEvent {
  const dataFields = ['input', 'output', 'inputDetails', 'outputDetails', 'parameters'];
  return Object.fromEntries(
    Object.entries(event).map(([key, value]) => [
      key,
      typeof value === 'object'
        ? Object.fromEntries(Object.entries(value).filter(([field]) => !dataFields.includes(field)))
        : value,
    ]),
  ) as unknown as HistoryEvent;
}
