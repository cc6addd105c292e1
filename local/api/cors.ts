import type { ApiAnswer } from './answer.ts';

/** `CorsConfiguration` of an HTTP API. */
export interface CorsConfiguration {
  readonly AllowOrigins?: readonly string[];
  readonly AllowMethods?: readonly string[];
  readonly AllowHeaders?: readonly string[];
  readonly ExposeHeaders?: readonly string[];
  readonly AllowCredentials?: boolean;
  readonly MaxAge?: number;
}

/** The headers that the gateway adds to an answer for this origin; none where the origin is not allowed. */
export function corsHeaders(cors: CorsConfiguration, origin: string | undefined): Record<string, string> {
  const allowed = allowedOrigin(cors, origin);
  if (allowed === undefined) return {};
  return {
    'access-control-allow-origin': allowed,
    ...(allowed === '*' ? {} : { vary: 'Origin' }),
    ...(cors.AllowCredentials ? { 'access-control-allow-credentials': 'true' } : {}),
    ...(cors.ExposeHeaders?.length ? { 'access-control-expose-headers': cors.ExposeHeaders.join(',') } : {}),
  };
}

/** The gateway's own answer to a preflight. */
export function preflightAnswer(cors: CorsConfiguration, origin: string): ApiAnswer {
  const headers = corsHeaders(cors, origin);
  const allowed = headers['access-control-allow-origin'] !== undefined;
  return {
    status: 204,
    headers: {
      ...headers,
      ...(allowed && cors.AllowMethods
        ? { 'access-control-allow-methods': cors.AllowMethods.join(',') }
        : {}),
      ...(allowed && cors.AllowHeaders
        ? { 'access-control-allow-headers': cors.AllowHeaders.join(',') }
        : {}),
      ...(allowed && cors.MaxAge !== undefined ? { 'access-control-max-age': String(cors.MaxAge) } : {}),
    },
    body: '',
  };
}

/** The answer with the gateway's CORS headers in place of the function's, which HTTP APIs ignore. */
export function withCors(
  answer: ApiAnswer,
  cors: CorsConfiguration | undefined,
  origin: string | undefined,
): ApiAnswer {
  if (!cors) return answer;
  const own = Object.entries(answer.headers).filter(([name]) => !name.startsWith('access-control-'));
  return { ...answer, headers: { ...Object.fromEntries(own), ...corsHeaders(cors, origin) } };
}

/** `*`, `https://*` and `http://*` are the patterns that HTTP APIs know; all else is compared as it is. */
function allowedOrigin(
  { AllowOrigins = [] }: CorsConfiguration,
  origin: string | undefined,
): string | undefined {
  if (origin === undefined) return undefined;
  if (AllowOrigins.includes('*')) return '*';
  const fits = (allowed: string) =>
    allowed.endsWith('://*') ? origin.startsWith(allowed.slice(0, -1)) : allowed === origin;
  return AllowOrigins.some(fits) ? origin : undefined;
}
