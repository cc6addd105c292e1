/** Reads what a request says of its signature, in the Authorization header or in the query; nothing is checked yet. */
import { MalformedUri, queryPairs, type Scope, type SignedRequest, splitTarget } from './sigv4-canonical.ts';

/** Seven days, the longest life of a presigned URL. */
const maxExpirySeconds = 604_800;

export interface SignatureFailure {
  readonly ok: false;
  readonly status: number;
  readonly code: string;
  readonly message: string;
  /** Further elements of S3's error document, such as `Expires`. */
  readonly details?: Readonly<Record<string, string>>;
}

/** What a request says of its signature, before anything is checked. */
export interface SignatureClaim {
  readonly ok: true;
  readonly presigned: boolean;
  readonly accessKeyId: string;
  readonly scope: Scope;
  /** YYYYMMDDTHHMMSSZ */
  readonly amzDate: string;
  /** Lower case, in the order given. */
  readonly signedHeaders: readonly string[];
  readonly signature: string;
  readonly sessionToken: string | undefined;
  /** Presigned only: seconds. */
  readonly expires: number | undefined;
}

export const refuse = (
  status: number,
  code: string,
  message: string,
  details?: Record<string, string>,
): SignatureFailure => ({ ok: false, status, code, message, ...(details && { details }) });

/** A header's first value. */
export const header = (request: SignedRequest, name: string): string | undefined => {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
};

const parseScope = (credential: string): { accessKeyId: string; scope: Scope } | undefined => {
  const [accessKeyId, date, region, service, end, ...more] = credential.split('/');
  if (!accessKeyId || !date || !region || !service || end !== 'aws4_request' || more.length > 0)
    return undefined;
  return { accessKeyId, scope: { date, region, service } };
};

const readHeader = (request: SignedRequest, authorization: string): SignatureClaim | SignatureFailure => {
  const malformed = refuse(400, 'AuthorizationHeaderMalformed', 'The authorization header is malformed.');
  if (!authorization.startsWith('AWS4-HMAC-SHA256 ')) return malformed;
  const fields = new Map(
    authorization
      .slice('AWS4-HMAC-SHA256 '.length)
      .split(',')
      .map((field): [string, string] => {
        const mark = field.indexOf('=');
        return [field.slice(0, mark).trim(), field.slice(mark + 1).trim()];
      }),
  );
  const credential = parseScope(fields.get('Credential') ?? '');
  const signature = fields.get('Signature');
  const signedHeaders = fields.get('SignedHeaders');
  if (!credential || !signature || !signedHeaders) return malformed;
  const amzDate = header(request, 'x-amz-date');
  if (!amzDate)
    return refuse(403, 'AccessDenied', 'AWS authentication requires a valid Date or x-amz-date header');
  return {
    ok: true,
    presigned: false,
    ...credential,
    amzDate,
    signedHeaders: signedHeaders.split(';'),
    signature,
    sessionToken: header(request, 'x-amz-security-token'),
    expires: undefined,
  };
};

const readQuery = (query: ReadonlyMap<string, string>): SignatureClaim | SignatureFailure => {
  const malformed = (message: string) => refuse(400, 'AuthorizationQueryParametersError', message);
  if (query.get('X-Amz-Algorithm') !== 'AWS4-HMAC-SHA256')
    return malformed('X-Amz-Algorithm only supports "AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256"');
  const needed = [
    'X-Amz-Credential',
    'X-Amz-Signature',
    'X-Amz-Date',
    'X-Amz-SignedHeaders',
    'X-Amz-Expires',
  ];
  const [credentialText, signature, amzDate, signedHeaders, expiresText] = needed.map((name) =>
    query.get(name),
  );
  if (!credentialText || !signature || !amzDate || !signedHeaders || !expiresText)
    return malformed(
      'Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.',
    );
  const credential = parseScope(credentialText);
  if (!credential)
    return malformed(
      'Error parsing the X-Amz-Credential parameter; the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".',
    );
  if (!/^\d+$/.test(expiresText)) return malformed('X-Amz-Expires should be a number');
  const expires = Number(expiresText);
  if (expires > maxExpirySeconds)
    return malformed(
      'X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds',
    );
  return {
    ok: true,
    presigned: true,
    ...credential,
    amzDate,
    signedHeaders: signedHeaders.split(';'),
    signature,
    sessionToken: query.get('X-Amz-Security-Token'),
    expires,
  };
};

/** What the request says of its signature; `undefined` for an anonymous request. */
export const readSignature = (request: SignedRequest): SignatureClaim | SignatureFailure | undefined => {
  let query: Map<string, string>;
  try {
    query = new Map(queryPairs(splitTarget(request.url).query));
  } catch (error) {
    if (error instanceof MalformedUri) return refuse(400, 'InvalidURI', error.message);
    throw error;
  }
  const authorization = header(request, 'authorization');
  const presigned = query.has('X-Amz-Algorithm') || query.has('X-Amz-Signature');
  if (authorization !== undefined && presigned)
    return refuse(
      400,
      'InvalidArgument',
      'Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified',
      { ArgumentName: 'Authorization', ArgumentValue: authorization },
    );
  if (authorization !== undefined) return readHeader(request, authorization);
  return presigned ? readQuery(query) : undefined;
};
