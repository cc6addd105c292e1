import type { CorsRule } from './bucket.ts';
import { S3Error } from './errors.ts';

/** What caches must key by, wherever a bucket has CORS rules. */
const vary = 'Origin, Access-Control-Request-Headers, Access-Control-Request-Method';

const notAllowed =
  "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.";

export interface PreflightRequest {
  readonly origin: string | undefined;
  readonly method: string | undefined;
  /** Access-Control-Request-Headers as sent. */
  readonly headers: string | undefined;
}

/**
 * The headers of a preflight's answer: the first rule that allows origin, method and every header wins.
 * See https://docs.aws.amazon.com/AmazonS3/latest/userguide/cors.html
 *
 * @throws S3Error AccessForbidden where no rule does, BadRequest where the request is no preflight.
 */
export function preflightHeaders(
  rules: readonly CorsRule[],
  request: PreflightRequest,
): Record<string, string> {
  const { origin, method } = request;
  if (origin === undefined) {
    throw new S3Error('BadRequest', 'Insufficient information. Origin request header needed.');
  }
  if (method === undefined) {
    throw new S3Error('BadRequest', 'Invalid Access-Control-Request-Method: null');
  }
  if (rules.length === 0) throw new S3Error('AccessForbidden');
  const headers = (request.headers ?? '')
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '');
  const rule = rules.find(
    (candidate) =>
      allows(candidate, origin, method) &&
      headers.every((name) =>
        (candidate.allowedHeaders ?? []).some((pattern) => matches(pattern.toLowerCase(), name)),
      ),
  );
  if (rule === undefined) {
    throw new S3Error('AccessForbidden', notAllowed, { Method: method, ResourceType: 'OBJECT' });
  }
  return {
    ...commonHeaders(rule, origin),
    ...(headers.length > 0 ? { 'Access-Control-Allow-Headers': headers.join(', ') } : {}),
    ...(rule.maxAge === undefined ? {} : { 'Access-Control-Max-Age': String(rule.maxAge) }),
  };
}

/** The CORS headers of an ordinary answer; none where no rule allows the request, which is served all the same. */
export function answerHeaders(
  rules: readonly CorsRule[],
  origin: string | undefined,
  method: string,
): Record<string, string> {
  if (origin === undefined) return {};
  const rule = rules.find((candidate) => allows(candidate, origin, method));
  return rule === undefined ? {} : commonHeaders(rule, origin);
}

const allows = (rule: CorsRule, origin: string, method: string): boolean =>
  rule.allowedMethods.includes(method) && rule.allowedOrigins.some((pattern) => matches(pattern, origin));

const commonHeaders = (rule: CorsRule, origin: string): Record<string, string> => ({
  ...(rule.allowedOrigins.includes('*')
    ? { 'Access-Control-Allow-Origin': '*' }
    : { 'Access-Control-Allow-Origin': origin, 'Access-Control-Allow-Credentials': 'true' }),
  'Access-Control-Allow-Methods': rule.allowedMethods.join(', '),
  ...(rule.exposedHeaders !== undefined && rule.exposedHeaders.length > 0
    ? { 'Access-Control-Expose-Headers': rule.exposedHeaders.join(', ') }
    : {}),
  Vary: vary,
});

/** At most one `*`, which stands for any text. */
function matches(pattern: string, text: string): boolean {
  const star = pattern.indexOf('*');
  if (star === -1) return pattern === text;
  const head = pattern.slice(0, star);
  const tail = pattern.slice(star + 1);
  return text.length >= head.length + tail.length && text.startsWith(head) && text.endsWith(tail);
}
