/**
 * Canonical requests of AWS Signature Version 4, built from a request as it came over the wire.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 */
import { createHash, createHmac } from 'node:crypto';

/** A request as received: `url` is the raw request target (path and query), nothing decoded or normalised. */
export interface SignedRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** The query string or path holds a malformed percent escape. */
export class MalformedUri extends Error {
  override readonly name = 'InvalidURI';
  constructor() {
    super("Couldn't parse the specified URI.");
  }
}

/** Percent-encodes everything but RFC 3986's unreserved characters, as AWS's UriEncode. */
export const uriEncode = (text: string): string =>
  encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );

const decode = (text: string): string => {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new MalformedUri();
  }
};

export const splitTarget = (url: string): { path: string; query: string } => {
  const mark = url.indexOf('?');
  return mark < 0 ? { path: url, query: '' } : { path: url.slice(0, mark), query: url.slice(mark + 1) };
};

/** The query's pairs in their order, decoded; `+` is a space, as the S3 engine reads it too. */
export const queryPairs = (query: string): [name: string, value: string][] =>
  query
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair) => {
      const mark = pair.indexOf('=');
      const [name, value] = mark < 0 ? [pair, ''] : [pair.slice(0, mark), pair.slice(mark + 1)];
      return [decode(name.replaceAll('+', ' ')), decode(value.replaceAll('+', ' '))];
    });

/** S3 signs the path encoded once and takes `//` and `..` as part of a key; all others normalise and encode twice. */
export const canonicalPath = (path: string, service: string): string => {
  if (service === 's3')
    return path
      .split('/')
      .map((segment) => uriEncode(decode(segment)))
      .join('/');
  const segments: string[] = [];
  for (const segment of path.split('/')) {
    if (segment === '' || segment === '.') continue;
    if (segment === '..') segments.pop();
    else segments.push(uriEncode(segment));
  }
  return `/${segments.join('/')}${segments.length > 0 && path.endsWith('/') ? '/' : ''}`;
};

export const canonicalQuery = (pairs: readonly (readonly [string, string])[]): string =>
  pairs
    .map(([name, value]) => [uriEncode(name), uriEncode(value)] as const)
    // By code point: both sides are ASCII after encoding, where UTF-16 order is byte order.
    .sort(([a, x], [b, y]) => (a === b ? (x < y ? -1 : x > y ? 1 : 0) : a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');

/** A header's value for the canonical request; undefined if it did not come. */
export const canonicalHeader = (headers: SignedRequest['headers'], name: string): string | undefined => {
  const value = headers[name];
  if (value === undefined) return undefined;
  return (Array.isArray(value) ? value : [value])
    .map((one) => one.trim().replace(/[ \t\r\n]+/g, ' '))
    .join(',');
};

export const sha256Hex = (data: string | Uint8Array): string =>
  createHash('sha256').update(data).digest('hex');

const hmac = (key: string | Buffer, data: string): Buffer => createHmac('sha256', key).update(data).digest();

const signingKeys = new Map<string, Buffer>();

/** The day's signing key; four HMACs, so kept for the next request (at most 1,000 keys). */
const signingKey = (secret: string, date: string, region: string, service: string): Buffer => {
  const name = `${secret}\n${date}\n${region}\n${service}`;
  const known = signingKeys.get(name);
  if (known) return known;
  const key = hmac(hmac(hmac(hmac(`AWS4${secret}`, date), region), service), 'aws4_request');
  if (signingKeys.size >= 1000) signingKeys.clear();
  signingKeys.set(name, key);
  return key;
};

export interface Scope {
  /** YYYYMMDD */
  readonly date: string;
  readonly region: string;
  readonly service: string;
}

/** The signature (lower-case hex) over a canonical request. */
export const signatureOf = (
  secret: string,
  scope: Scope,
  /** YYYYMMDDTHHMMSSZ */
  amzDate: string,
  canonicalRequest: string,
): string => {
  const scopeText = `${scope.date}/${scope.region}/${scope.service}/aws4_request`;
  const toSign = `AWS4-HMAC-SHA256\n${amzDate}\n${scopeText}\n${sha256Hex(canonicalRequest)}`;
  return hmac(signingKey(secret, scope.date, scope.region, scope.service), toSign).toString('hex');
};

/** The canonical request over the given header names (lower case, sorted). Throws {@link MalformedUri}. */
export const canonicalRequest = (
  request: SignedRequest,
  service: string,
  signedHeaders: readonly string[],
  payloadHash: string,
): string => {
  const { path, query } = splitTarget(request.url);
  const pairs = queryPairs(query).filter(([name]) => name !== 'X-Amz-Signature');
  const headerLines = signedHeaders.map(
    (name) => `${name}:${canonicalHeader(request.headers, name) ?? ''}\n`,
  );
  return [
    request.method,
    canonicalPath(path, service),
    canonicalQuery(pairs),
    headerLines.join(''),
    signedHeaders.join(';'),
    payloadHash,
  ].join('\n');
};
