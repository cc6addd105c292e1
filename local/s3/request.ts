import type { IncomingMessage } from 'node:http';
import { invalidArgument, S3Error } from './errors.ts';

const maxKeyBytes = 1024;
/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html */
const maxUserMetadataBytes = 2048;
const maxPartNumber = 10_000;

/** A request as the operations read it. */
export interface S3Request {
  readonly method: string;
  /** Empty for the service itself. */
  readonly bucket: string;
  /** Empty for the bucket itself. */
  readonly key: string;
  readonly query: URLSearchParams;
  /** A header's value, or an `x-amz-*` query parameter's: presigned URLs may carry signed headers there. */
  header(name: string): string | undefined;
  readonly headerNames: readonly string[];
  readonly body: IncomingMessage;
}

/** Query parameters of the signature; all other `x-amz-*` parameters stand for headers. */
const signatureParameters = new Set([
  'x-amz-algorithm',
  'x-amz-credential',
  'x-amz-date',
  'x-amz-expires',
  'x-amz-security-token',
  'x-amz-signature',
  'x-amz-signedheaders',
  'x-amz-content-sha256',
]);

/** @throws S3Error InvalidURI or KeyTooLongError */
export function readRequest(req: IncomingMessage): S3Request {
  const [path, search] = splitOnce(req.url ?? '/', '?');
  const [bucket, key] = splitOnce(path.replace(/^\/+/, ''), '/').map(decode) as [string, string];
  if (Buffer.byteLength(key) > maxKeyBytes) {
    throw new S3Error('KeyTooLongError', undefined, {
      Size: Buffer.byteLength(key),
      MaxSizeAllowed: maxKeyBytes,
    });
  }
  const query = new URLSearchParams(search);
  const hoisted = new Map<string, string>();
  for (const [name, value] of query) {
    const lower = name.toLowerCase();
    if (lower.startsWith('x-amz-') && !signatureParameters.has(lower)) hoisted.set(lower, value);
  }
  return {
    method: req.method ?? 'GET',
    bucket,
    key,
    query,
    header: (name) => {
      const value = req.headers[name] ?? hoisted.get(name);
      return Array.isArray(value) ? value.join(',') : value;
    },
    headerNames: [...Object.keys(req.headers), ...hoisted.keys()],
    body: req,
  };
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new S3Error('InvalidURI', undefined, { URI: text });
  }
}

const contentHeaders = [
  'content-type',
  'cache-control',
  'content-disposition',
  'content-language',
  'expires',
] as const;
const encryptionHeaders = [
  'x-amz-server-side-encryption',
  'x-amz-server-side-encryption-aws-kms-key-id',
  'x-amz-server-side-encryption-bucket-key-enabled',
] as const;
/** Headers that imply what this S3 does not do. */
const unsupportedHeaders = [
  'x-amz-object-lock-mode',
  'x-amz-object-lock-legal-hold',
  'x-amz-object-lock-retain-until-date',
  'x-amz-server-side-encryption-customer-algorithm',
  'x-amz-website-redirect-location',
  'x-amz-write-offset-bytes',
] as const;

/** What a request says of the object that it makes: to be answered with the object later. */
export function storedHeaders(request: S3Request): Record<string, string> {
  for (const name of unsupportedHeaders) {
    if (request.header(name) !== undefined) throw new S3Error('NotImplemented', undefined, { Header: name });
  }
  // The bucket's owner owns all objects, as in every bucket made since April 2023.
  const acl = request.header('x-amz-acl');
  if (acl !== undefined && acl !== 'bucket-owner-full-control')
    throw new S3Error('AccessControlListNotSupported');

  const stored: Record<string, string> = { 'content-type': 'binary/octet-stream' };
  for (const name of [...contentHeaders, 'x-amz-tagging', 'x-amz-storage-class', ...encryptionHeaders]) {
    const value = request.header(name);
    if (value !== undefined && value !== '') stored[name] = value;
  }
  stored['x-amz-server-side-encryption'] ??= 'AES256';
  const encoding = (request.header('content-encoding') ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '' && name !== 'aws-chunked');
  if (encoding.length > 0) stored['content-encoding'] = encoding.join(',');

  let metadataBytes = 0;
  for (const name of request.headerNames) {
    if (!name.startsWith('x-amz-meta-')) continue;
    const value = request.header(name) ?? '';
    stored[name] = value;
    metadataBytes += Buffer.byteLength(name) - 'x-amz-meta-'.length + Buffer.byteLength(value);
  }
  if (metadataBytes > maxUserMetadataBytes) {
    throw new S3Error('MetadataTooLarge', undefined, {
      Size: metadataBytes,
      MaxSizeAllowed: maxUserMetadataBytes,
    });
  }
  return stored;
}

/** The encryption headers that S3 repeats in the answers to writes. */
export const encryptionAnswer = (stored: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(
    encryptionHeaders.flatMap((name) => (stored[name] === undefined ? [] : [[name, stored[name]]])),
  );

export function partNumberOf(request: S3Request): number {
  const text = request.query.get('partNumber') ?? '';
  const number = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (number < 1 || number > maxPartNumber) {
    throw invalidArgument(
      `Part number must be an integer between 1 and ${maxPartNumber}, inclusive`,
      'partNumber',
      text,
    );
  }
  return number;
}

/** A paging limit: at most 1,000 whatever is asked for, as S3 caps it. */
export function pageSize(request: S3Request, name: string): number {
  const text = request.query.get(name);
  if (text === null) return 1000;
  if (!/^\d{1,10}$/.test(text) || Number(text) > 2_147_483_647) {
    throw invalidArgument(`Argument ${name} must be an integer between 0 and 2147483647`, name, text);
  }
  return Math.min(1000, Number(text));
}

/** `encoding-type=url` for listings: keys may hold characters that XML 1.0 cannot. */
export function keyEncoder(request: S3Request): {
  type: string | undefined;
  encode: (key: string) => string;
} {
  const type = request.query.get('encoding-type') ?? undefined;
  if (type === undefined) return { type, encode: (key) => key };
  if (type !== 'url')
    throw invalidArgument('Invalid Encoding Method specified in Request', 'encoding-type', type);
  return { type, encode: (key) => encodeURIComponent(key).replaceAll('%2F', '/') };
}

export interface ByteRange {
  readonly start: number;
  /** Inclusive. */
  readonly end: number;
}

/**
 * A Range header against an object's size. Undefined where there is none or S3 ignores it (several ranges, other
 * units): the whole object is answered.
 *
 * @throws S3Error InvalidRange
 */
export function byteRange(header: string | undefined, size: number): ByteRange | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? '');
  if (match === null || (match[1] === '' && match[2] === '')) return undefined;
  const [first, last] = [match[1] ?? '', match[2] ?? ''];
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === '' || last === '' ? size - 1 : Math.min(Number(last), size - 1);
  if (first !== '' && last !== '' && Number(last) < Number(first)) return undefined;
  if (start >= size || (first === '' && Number(last) === 0)) {
    throw new S3Error('InvalidRange', undefined, { RangeRequested: header ?? '', ActualObjectSize: size });
  }
  return { start, end };
}
