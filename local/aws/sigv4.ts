/**
 * Verifies AWS Signature Version 4, in the Authorization header or in the query (presigned URLs), with the
 * answers that AWS gives: S3's codes for `s3`, the JSON services' for all others.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
 * https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
 */
import { timingSafeEqual } from 'node:crypto';
import {
  canonicalRequest,
  MalformedUri,
  type Scope,
  type SignedRequest,
  sha256Hex,
  signatureOf,
} from './sigv4-canonical.ts';
import { header, readSignature, refuse, type SignatureClaim, type SignatureFailure } from './sigv4-claim.ts';

export type { SignedRequest } from './sigv4-canonical.ts';
export { sha256Hex } from './sigv4-canonical.ts';
export { readSignature, type SignatureClaim, type SignatureFailure } from './sigv4-claim.ts';

const maxSkewMs = 15 * 60 * 1000;
export interface Verified<S extends SigningSecret = SigningSecret> {
  readonly ok: true;
  readonly presigned: boolean;
  readonly accessKeyId: string;
  readonly scope: Scope;
  /** What the lookup found. */
  readonly credentials: S;
}

export interface SigningSecret {
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface VerifyContext<S extends SigningSecret = SigningSecret> {
  readonly region: string;
  /** The service that the request is for, as in credential scopes: `s3`, `dynamodb`, `execute-api` … */
  readonly service: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /**
   * The secret of an access key: undefined for a key that nobody issued, `invalid-token` for a good key with
   * another key's session token or none.
   */
  readonly lookup: (accessKeyId: string, sessionToken: string | undefined) => S | 'invalid-token' | undefined;
  /** Hex SHA-256 of the body that came. For S3 leave it out: there the declared hash is signed, and the engine checks it. */
  readonly payloadHash?: string;
}

/** Lambda and API Gateway speak REST and refuse with 403; the JSON services with 400. */
const jsonStatus = (service: string): number =>
  service === 'lambda' || service === 'execute-api' ? 403 : 400;

const parseAmzDate = (text: string): number | undefined => {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (!match) return undefined;
  const [, year, month, day, hour, minute, second] = match;
  const time = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(time) ? undefined : time;
};

const iso = (ms: number): string => new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z');
export const amzDateOf = (ms: number): string => iso(ms).replace(/[-:]/g, '');

const checkScope = (claim: SignatureClaim, context: VerifyContext): SignatureFailure | undefined => {
  const { scope } = claim;
  if (context.service === 's3') {
    const code = claim.presigned ? 'AuthorizationQueryParametersError' : 'AuthorizationHeaderMalformed';
    const where = claim.presigned
      ? 'Error parsing the X-Amz-Credential parameter'
      : 'The authorization header is malformed';
    if (scope.service !== 's3')
      return refuse(
        400,
        code,
        `${where}; incorrect service "${scope.service}". This endpoint belongs to "s3".`,
      );
    if (scope.region !== context.region)
      return refuse(
        400,
        code,
        `${where}; the region '${scope.region}' is wrong; expecting '${context.region}'`,
        {
          Region: context.region,
        },
      );
    if (scope.date !== claim.amzDate.slice(0, 8))
      return refuse(
        400,
        code,
        `${where}; Invalid credential date "${scope.date}". This date is not the same as X-Amz-Date: "${claim.amzDate.slice(0, 8)}".`,
      );
    return undefined;
  }
  const invalid = (message: string) =>
    refuse(jsonStatus(context.service), 'InvalidSignatureException', message);
  if (scope.service !== context.service)
    return invalid(`Credential should be scoped to correct service: '${context.service}'. `);
  if (scope.region !== context.region)
    return invalid(`Credential should be scoped to a valid region, not '${scope.region}'. `);
  if (scope.date !== claim.amzDate.slice(0, 8))
    return invalid(
      `Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '${scope.date}' != '${claim.amzDate.slice(0, 8)}', from '${claim.amzDate}'.`,
    );
  return undefined;
};

const checkTime = (claim: SignatureClaim, context: VerifyContext): SignatureFailure | undefined => {
  const { now, service } = context;
  const signedAt = parseAmzDate(claim.amzDate);
  if (signedAt === undefined)
    return service === 's3'
      ? refuse(403, 'AccessDenied', 'AWS authentication requires a valid Date or x-amz-date header')
      : refuse(
          jsonStatus(service),
          'IncompleteSignatureException',
          `Date must be in ISO-8601 'basic format'. Got '${claim.amzDate}'.`,
        );
  if (claim.expires !== undefined) {
    const expiresAt = signedAt + claim.expires * 1000;
    if (now > expiresAt)
      return refuse(403, 'AccessDenied', 'Request has expired', {
        'X-Amz-Expires': String(claim.expires),
        Expires: iso(expiresAt),
        ServerTime: iso(now),
      });
    if (signedAt - now > maxSkewMs) return refuse(403, 'AccessDenied', 'Request is not valid yet');
    return undefined;
  }
  if (Math.abs(now - signedAt) <= maxSkewMs) return undefined;
  if (service === 's3')
    return refuse(
      403,
      'RequestTimeTooSkewed',
      'The difference between the request time and the current time is too large.',
      { RequestTime: claim.amzDate, ServerTime: iso(now), MaxAllowedSkewMilliseconds: String(maxSkewMs) },
    );
  const [edge, words] =
    signedAt < now
      ? [now - maxSkewMs, 'expired: ? is now earlier than']
      : [now + maxSkewMs, 'not yet current: ? is still later than'];
  return refuse(
    jsonStatus(service),
    'InvalidSignatureException',
    `Signature ${words.replace('?', claim.amzDate)} ${amzDateOf(edge)} (${amzDateOf(now)} ${signedAt < now ? '-' : '+'} 15 min.)`,
  );
};

/**
 * S3 wants every x-amz-* header under the signature: otherwise whoever holds a URL could add, say, an ACL.
 * `host` must be signed everywhere, and what is signed must have come.
 */
const checkSignedHeaders = (
  claim: SignatureClaim,
  request: SignedRequest,
  service: string,
): SignatureFailure | undefined => {
  const signed = new Set(claim.signedHeaders);
  const unsigned = Object.keys(request.headers).filter(
    (name) => name.startsWith('x-amz-') && !signed.has(name),
  );
  if (service === 's3' && (unsigned.length > 0 || !signed.has('host')))
    return refuse(403, 'AccessDenied', 'There were headers present in the request which were not signed', {
      HeadersNotSigned: (unsigned.length > 0 ? unsigned : ['host']).join(', '),
    });
  if (!signed.has('host'))
    return refuse(
      jsonStatus(service),
      'InvalidSignatureException',
      "'Host' must be a 'SignedHeader' in the AWS Authorization.",
    );
  return undefined;
};

const payloadHashFor = (
  claim: SignatureClaim,
  request: SignedRequest,
  context: VerifyContext,
): string | SignatureFailure => {
  const declared = header(request, 'x-amz-content-sha256');
  if (context.service === 's3') {
    if (claim.presigned) return declared ?? 'UNSIGNED-PAYLOAD';
    return (
      declared ??
      refuse(400, 'InvalidRequest', 'Missing required header for this request: x-amz-content-sha256')
    );
  }
  // A caller that declares another hash than its body's signed something else than what came.
  return context.payloadHash ?? sha256Hex('');
};

const equal = (a: string, b: string): boolean => {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
};

/** Checks a claim read by {@link readSignature}: scope, time, key, session token, signed headers, signature. */
export const verifyClaim = <S extends SigningSecret>(
  claim: SignatureClaim,
  request: SignedRequest,
  context: VerifyContext<S>,
): Verified<S> | SignatureFailure => {
  const { service } = context;
  const early = checkScope(claim, context) ?? checkTime(claim, context);
  if (early) return early;

  const secret = context.lookup(claim.accessKeyId, claim.sessionToken);
  if (secret === undefined)
    return service === 's3'
      ? refuse(
          403,
          'InvalidAccessKeyId',
          'The AWS Access Key Id you provided does not exist in our records.',
          { AWSAccessKeyId: claim.accessKeyId },
        )
      : refuse(
          jsonStatus(service),
          'UnrecognizedClientException',
          'The security token included in the request is invalid.',
        );
  if (secret === 'invalid-token' || (secret.sessionToken ?? '') !== (claim.sessionToken ?? ''))
    return service === 's3'
      ? refuse(400, 'InvalidToken', 'The provided token is malformed or otherwise invalid.')
      : refuse(
          jsonStatus(service),
          'UnrecognizedClientException',
          'The security token included in the request is invalid.',
        );

  const unsigned = checkSignedHeaders(claim, request, service);
  if (unsigned) return unsigned;
  const payloadHash = payloadHashFor(claim, request, context);
  if (typeof payloadHash !== 'string') return payloadHash;

  let canonical: string;
  try {
    canonical = canonicalRequest(request, service, claim.signedHeaders, payloadHash);
  } catch (error) {
    if (error instanceof MalformedUri) return refuse(400, 'InvalidURI', error.message);
    throw error;
  }
  const expected = signatureOf(secret.secretAccessKey, claim.scope, claim.amzDate, canonical);
  if (equal(expected, claim.signature))
    return {
      ok: true,
      presigned: claim.presigned,
      accessKeyId: claim.accessKeyId,
      scope: claim.scope,
      credentials: secret,
    };
  return service === 's3'
    ? refuse(
        403,
        'SignatureDoesNotMatch',
        'The request signature we calculated does not match the signature you provided. Check your key and signing method.',
        {
          AWSAccessKeyId: claim.accessKeyId,
          SignatureProvided: claim.signature,
          CanonicalRequest: canonical,
        },
      )
    : refuse(
        jsonStatus(service),
        'InvalidSignatureException',
        'The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.',
      );
};

/** Reads and checks a request's signature; `undefined` for an anonymous request. */
export const verify = <S extends SigningSecret>(
  request: SignedRequest,
  context: VerifyContext<S>,
): Verified<S> | SignatureFailure | undefined => {
  const claim = readSignature(request);
  return claim?.ok ? verifyClaim(claim, request, context) : claim;
};

/**
 * An API route's AWS_IAM authorisation (service `execute-api`). `payloadHash` is the hex SHA-256 of the body.
 * An HTTP API answers every failure with 403 `{"message":"Forbidden"}`; the code and message are for logs.
 */
export const verifyExecuteApi = <S extends SigningSecret>(
  request: SignedRequest,
  context: Omit<VerifyContext<S>, 'service'> & { readonly payloadHash: string },
): Verified<S> | SignatureFailure =>
  verify(request, { ...context, service: 'execute-api' }) ??
  refuse(403, 'MissingAuthenticationTokenException', 'Missing Authentication Token');

/**
 * Signs a request in its Authorization header. `headers` are signed as given and must hold `host`.
 * Returns the headers to add.
 *
 * @example sign({ method: 'PUT', url: '/b/k', headers: { host } }, { service: 's3', region, now, credentials, payloadHash: 'UNSIGNED-PAYLOAD' })
 */
export const sign = (
  request: SignedRequest,
  by: {
    readonly service: string;
    readonly region: string;
    readonly now: number;
    readonly credentials: SigningSecret & { readonly accessKeyId: string };
    /** Hex SHA-256 of the body, or S3's `UNSIGNED-PAYLOAD`. */
    readonly payloadHash: string;
  },
): Record<string, string> => {
  const amzDate = amzDateOf(by.now);
  const added: Record<string, string> = { 'x-amz-date': amzDate };
  if (by.service === 's3') added['x-amz-content-sha256'] = by.payloadHash;
  if (by.credentials.sessionToken) added['x-amz-security-token'] = by.credentials.sessionToken;
  const headers = { ...request.headers, ...added };
  const signedHeaders = Object.keys(headers).sort();
  const scope = { date: amzDate.slice(0, 8), region: by.region, service: by.service };
  const canonical = canonicalRequest({ ...request, headers }, by.service, signedHeaders, by.payloadHash);
  const signature = signatureOf(by.credentials.secretAccessKey, scope, amzDate, canonical);
  const credential = `${by.credentials.accessKeyId}/${scope.date}/${scope.region}/${scope.service}/aws4_request`;
  return {
    ...added,
    authorization: `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${signedHeaders.join(';')}, Signature=${signature}`,
  };
};
