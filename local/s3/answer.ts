import type { Clock } from '../types.ts';
import type { BlobStore } from './blobs.ts';
import { type Checksum, checksumHeader } from './checksums.ts';
import { expiryDue } from './lifecycle.ts';
import type { BucketRecord, Metadata, ObjectRecord } from './metadata.ts';
import type { S3Request } from './request.ts';
import { type XmlValue, xmlDocument } from './xml.ts';

/** What an operation answers; headers as they are sent. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | AsyncIterable<Buffer>;
}

/** What an operation on a bucket has at hand. */
export interface OperationContext {
  readonly request: S3Request;
  readonly bucket: BucketRecord;
  readonly metadata: Metadata;
  readonly blobs: BlobStore;
  readonly clock: Clock;
  readonly minPartSize: number;
}

/** The one owner of everything here. */
export const owner = { ID: '0'.repeat(63).concat('1'), DisplayName: 'local' } as const;

export const quoted = (etag: string): string => `"${etag}"`;
export const unquoted = (etag: string): string => etag.trim().replace(/^"(.*)"$/, '$1');
export const httpDate = (at: number): string => new Date(at).toUTCString();
/** S3 keeps whole seconds. */
export const isoDate = (at: number): string => new Date(Math.floor(at / 1000) * 1000).toISOString();

export const xmlAnswer = (
  root: string,
  content: { readonly [name: string]: XmlValue },
  headers: Readonly<Record<string, string>> = {},
): Answer => ({
  status: 200,
  headers: { ...headers, 'content-type': 'application/xml' },
  body: xmlDocument(root, content),
});

export const emptyAnswer = (status: number, headers: Readonly<Record<string, string>> = {}): Answer => ({
  status,
  headers,
});

export const etagMatches = (header: string, object: ObjectRecord): boolean =>
  header
    .split(',')
    .map(unquoted)
    .some((etag) => etag === '*' || etag === object.etag);

export const checksumAnswer = (checksum: Checksum | undefined): Record<string, string> =>
  checksum === undefined
    ? {}
    : { [checksumHeader(checksum.algorithm)]: checksum.value, 'x-amz-checksum-type': checksum.type };

export function expirationAnswer(context: OperationContext, storedAt: number): Record<string, string> {
  const due = expiryDue(context.bucket.options.lifecycle ?? [], context.request.key, storedAt);
  if (due === undefined) return {};
  return {
    'x-amz-expiration': `expiry-date="${new Date(due.at).toUTCString()}", rule-id="${encodeURIComponent(due.ruleId)}"`,
  };
}
