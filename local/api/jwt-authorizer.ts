import { createRemoteJWKSet, errors, type JWTPayload, jwtVerify } from 'jose';

export interface JwtConfiguration {
  readonly Issuer: string;
  readonly Audience: readonly string[];
}

export type Authorization =
  | { readonly ok: true; readonly authorizer: Record<string, unknown> }
  | { readonly ok: false; readonly status: 401 | 403 | 500; readonly wwwAuthenticate?: string };

/** @param scopes the route's: the token must have at least one of them, where there are any */
export type JwtAuthorizer = (token: string | undefined, scopes: readonly string[]) => Promise<Authorization>;

/**
 * An HTTP API's JWT authorizer: RSA signatures only, keys by the issuer's discovery document (fetched at first
 * use and kept), `iss`, `aud` (or `client_id`), `exp`, `nbf`, `iat` and scopes.
 *
 * @see https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html
 */
export function createJwtAuthorizer(
  { Issuer, Audience }: JwtConfiguration,
  { now, log }: { now: () => number; log: (line: string) => void },
): JwtAuthorizer {
  let keys: Promise<ReturnType<typeof createRemoteJWKSet>> | undefined;
  const issuerKeys = () => {
    keys ??= discoverKeys(Issuer).catch((error: Error) => {
      keys = undefined;
      throw error;
    });
    return keys;
  };

  return async (token, scopes) => {
    if (!token) return { ok: false, status: 401, wwwAuthenticate: 'Bearer' };
    let claims: JWTPayload;
    try {
      const key = await issuerKeys();
      const verified = await jwtVerify(token, key, {
        algorithms: ['RS256', 'RS384', 'RS512'],
        issuer: Issuer,
        currentDate: new Date(now()),
        requiredClaims: ['exp'],
      });
      claims = verified.payload;
    } catch (error) {
      // A generic JOSEError is an answer of the issuer that is no key set.
      const { JOSEError, JWKSTimeout } = errors;
      const ofToken =
        error instanceof JOSEError && !(error instanceof JWKSTimeout) && error.code !== 'ERR_JOSE_GENERIC';
      if (ofToken) return refuse(describe(error));
      log(`JWT authorizer: cannot get the keys of ${Issuer}: ${(error as Error).message}`);
      return { ok: false, status: 500 };
    }
    const audiences = claims.aud === undefined ? [claims.client_id] : [claims.aud].flat();
    if (!audiences.some((audience) => Audience.includes(String(audience)))) return refuse('invalid audience');
    if (claims.iat !== undefined && claims.iat * 1000 > now()) return refuse('token used before issued');
    const granted = grantedScopes(claims);
    if (scopes.length > 0 && !scopes.some((scope) => granted.includes(scope))) {
      return { ok: false, status: 403 };
    }
    return {
      ok: true,
      authorizer: { jwt: { claims: asStrings(claims), scopes: scopes.length > 0 ? scopes : null } },
    };
  };
}

/** API Gateway waits 1.5 s for the discovery document and for the keys. */
const FETCH_TIMEOUT_MS = 1500;

async function discoverKeys(issuer: string) {
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const answer = await fetch(url, { signal: AbortSignal.timeout(FETCH_TIMEOUT_MS) });
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}`);
  const { jwks_uri } = (await answer.json()) as { jwks_uri?: string };
  if (!jwks_uri) throw new Error(`${url} names no jwks_uri`);
  return createRemoteJWKSet(new URL(jwks_uri), { timeoutDuration: FETCH_TIMEOUT_MS });
}

function refuse(reason: string): Authorization {
  const wwwAuthenticate = `Bearer scope="" error="invalid_token" error_description="${reason}"`;
  return { ok: false, status: 401, wwwAuthenticate };
}

function describe(error: errors.JOSEError): string {
  if (error instanceof errors.JWTExpired) return 'the token has expired';
  return error.message.replaceAll('"', "'");
}

function grantedScopes(claims: JWTPayload): string[] {
  const claim = claims.scope ?? claims.scp;
  return Array.isArray(claim) ? claim.map(String) : String(claim ?? '').split(' ');
}

/** Functions get every claim as a string; a list as `[a b]`. */
function asStrings(claims: JWTPayload): Record<string, string> {
  const text = (value: unknown): string => {
    if (Array.isArray(value)) return `[${value.map(text).join(' ')}]`;
    return typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value);
  };
  return Object.fromEntries(Object.entries(claims).map(([name, value]) => [name, text(value)]));
}
