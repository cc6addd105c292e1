/** PutEvents' rules. https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html */
import { AwsError } from '../types.ts';
import type { ServiceEvent } from './envelope.ts';

const MAX_ENTRIES = 10;
/** "The total entry size must be less than 256KB." */
const MAX_BYTES = 262_144;

export type Entry =
  | { readonly bus: string; readonly event: ServiceEvent; readonly at: number | undefined }
  | { readonly ErrorCode: string; readonly ErrorMessage: string };

/**
 * The request's entries, each an event or what is wrong with it.
 *
 * @throws AwsError ValidationException where the request as a whole is refused
 */
export function readEntries(input: Readonly<Record<string, unknown>>): Entry[] {
  const entries = input['Entries'];
  if (!Array.isArray(entries) || entries.length === 0 || entries.length > MAX_ENTRIES) {
    const more = Array.isArray(entries) && entries.length > 0;
    const rule = more ? 'less than or equal to 10' : 'greater than or equal to 1';
    throw new AwsError(
      'ValidationException',
      `1 validation error detected: Value at 'entries' failed to satisfy constraint: Member must have length ${rule}`,
    );
  }
  const bytes = entries.reduce<number>((sum, entry) => sum + entryBytes(entry as Record<string, unknown>), 0);
  if (bytes > MAX_BYTES) {
    throw new AwsError('ValidationException', 'Total size of the entries in the request is over the limit.');
  }
  return entries.map((entry) => readEntry(entry as Record<string, unknown>));
}

/** https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html#eb-putevent-size */
function entryBytes(entry: Readonly<Record<string, unknown>>): number {
  const { Time, Source, DetailType, Detail, Resources = [] } = entry;
  const texts = [Source, DetailType, Detail, ...(Resources as unknown[])].filter(
    (text) => typeof text === 'string',
  );
  return texts.reduce((sum, text) => sum + Buffer.byteLength(text), Time === undefined ? 0 : 14);
}

function readEntry(entry: Readonly<Record<string, unknown>>): Entry {
  const { Source, DetailType, Detail, Resources, Time, EventBusName } = entry;
  for (const [name, value] of Object.entries({ Source, DetailType, Detail })) {
    if (typeof value !== 'string' || value === '') {
      return invalid(`Parameter ${name} is not valid. Reason: ${name} is a required argument.`);
    }
  }
  if (String(Source).startsWith('aws.')) {
    return {
      ErrorCode: 'NotAuthorizedForSourceException',
      ErrorMessage: 'Not authorized for the source.',
    };
  }
  const detail = parseObject(String(Detail));
  if (!detail) return { ErrorCode: 'MalformedDetail', ErrorMessage: 'Detail is malformed.' };
  return {
    // A name or an ARN.
    bus: String(EventBusName ?? 'default')
      .split('/')
      .at(-1) as string,
    event: {
      source: String(Source),
      detailType: String(DetailType),
      detail,
      ...(Array.isArray(Resources) && { resources: Resources.map(String) }),
    },
    at: Time === undefined || Time === null ? undefined : Number(Time) * 1000,
  };
}

const invalid = (ErrorMessage: string): Entry => ({ ErrorCode: 'InvalidArgument', ErrorMessage });

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
