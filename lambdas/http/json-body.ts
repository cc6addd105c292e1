import { Buffer } from 'node:buffer';
import type { ApiEvent } from './handler.ts';
import { Problem } from './problems.ts';

/** Far more than the largest legal request of ours needs. */
const MAX_JSON_BYTES = 256 * 1024;

/** Twice as deep as the deepest legal request of ours. */
const MAX_JSON_DEPTH = 8;

/**
 * The JSON object in a request's body.
 *
 * @throws Problem `invalid-request`, `unsupported-body`
 */
export function jsonBody(event: ApiEvent): Readonly<Record<string, unknown>> {
  const contentType = event.headers['content-type'] ?? 'application/json';
  if (!/^application\/json\b/i.test(contentType))
    throw new Problem('unsupported-body', 'Send application/json.');
  const text = event.isBase64Encoded
    ? Buffer.from(event.body ?? '', 'base64').toString('utf8')
    : (event.body ?? '');
  if (text.length > MAX_JSON_BYTES)
    throw new Problem('invalid-request', `The body is longer than ${MAX_JSON_BYTES} bytes.`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Problem('invalid-request', 'The body is not JSON.');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Problem('invalid-request', 'The body must be a JSON object.');
  if (isDeeper(value, MAX_JSON_DEPTH))
    throw new Problem('invalid-request', `The body is nested deeper than ${MAX_JSON_DEPTH} levels.`);
  return value as Record<string, unknown>;
}

/** Level by level, not by recursion: the depth is the client's to choose. */
function isDeeper(value: object, most: number): boolean {
  let level: readonly unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth === most) return true;
    level = level
      .flatMap((one) => Object.values(one as object))
      .filter((one) => typeof one === 'object' && one);
  }
  return false;
}

/** A whole number from `least` to `most`. */
export function wholeNumber(value: unknown, name: string, least: number, most: number): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < least || value > most)
    throw new Problem('invalid-request', `${name} must be a whole number from ${least} to ${most}.`);
  return value;
}

/** Text of 1 to `most` characters; or absent, where a fallback is given. */
export function text(value: unknown, name: string, most: number, fallback?: string): string {
  if (value === undefined && fallback !== undefined) return fallback;
  if (typeof value !== 'string' || value.length > most || (value === '' && fallback === undefined))
    throw new Problem('invalid-request', `${name} must be text of 1 to ${most} characters.`);
  return value;
}

/** A list of 1 to `most` entries, each read by `read`. */
export function list<T>(value: unknown, name: string, most: number, read: (entry: unknown) => T): T[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > most)
    throw new Problem('invalid-request', `${name} must be a list of 1 to ${most} entries.`);
  return value.map(read);
}

/** At most 20 names with texts, 2,000 bytes in all: what S3 would take as an object's own metadata. */
export const metadata = (value: unknown): Readonly<Record<string, string>> | undefined =>
  value === undefined ? undefined : checkedMetadata(value);

/** @throws Problem */
export function checkedMetadata(value: unknown): Readonly<Record<string, string>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Problem('invalid-request', 'metadata must be an object of texts.');
  const entries = Object.entries(value);
  for (const [name, content] of entries) {
    if (!/^[A-Za-z][A-Za-z0-9_-]{0,63}$/.test(name) || ['constructor', 'prototype'].includes(name))
      throw new Problem(
        'invalid-request',
        'Names in metadata begin with a letter and hold up to 64 letters, digits, _ and -.',
      );
    if (typeof content !== 'string' || /\p{Cc}/u.test(content))
      throw new Problem('invalid-request', `metadata.${name} must be text without control characters.`);
  }
  if (entries.length > 20 || Buffer.byteLength(JSON.stringify(value)) > 2000)
    throw new Problem('invalid-request', 'metadata holds at most 20 entries and 2,000 bytes.');
  return value as Record<string, string>;
}
