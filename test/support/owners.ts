import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { importJWK, type JWK, SignJWT } from 'jose';
import type { TestStack } from './stack.ts';

/** What may be wrong with a token. Times are seconds from now. */
export interface TokenOptions {
  readonly issuer?: string;
  readonly audience?: string;
  readonly expiresIn?: number;
  readonly notBefore?: number;
  /** In place of the issuer's own. */
  readonly key?: CryptoKey;
  readonly claims?: Record<string, unknown>;
  /** How far the stack's clock has been put forward. */
  readonly clockOffset?: number;
}

/** The development issuer's key pair, as the stack keeps it. */
export const issuerKey = (stack: TestStack): JWK =>
  JSON.parse(readFileSync(join(stack.dir, 'issuer-key.json'), 'utf8')) as JWK;

/** A token of the stack's issuer; good unless the options spoil it. */
export async function token(stack: TestStack, subject: string, options: TokenOptions = {}): Promise<string> {
  const { jwt } = stack;
  if (!jwt) throw new Error('The stack asks for no tokens.');
  const key = issuerKey(stack);
  const now = Math.floor(Date.now() / 1000) + (options.clockOffset ?? 0);
  const signed = new SignJWT(options.claims ?? {})
    .setProtectedHeader({ alg: 'RS256', kid: key.kid ?? '', typ: 'JWT' })
    .setIssuer(options.issuer ?? jwt.issuer)
    .setAudience(options.audience ?? jwt.audience)
    .setSubject(subject)
    .setIssuedAt(now - 10)
    .setExpirationTime(now + (options.expiresIn ?? 3600));
  if (options.notBefore !== undefined) signed.setNotBefore(now + options.notBefore);
  return await signed.sign(options.key ?? (await importJWK(key, 'RS256')));
}

export const bearer = (text: string): Record<string, string> => ({ authorization: `Bearer ${text}` });

/** The same stack, every request to its API with these headers. */
export function withHeaders(stack: TestStack, headers: Record<string, string>): TestStack {
  return new Proxy(stack, {
    get(target, name) {
      if (name === 'api')
        return async (method: string, path: string, body?: unknown, more: Record<string, string> = {}) =>
          await target.api(method, path, body, { ...headers, ...more });
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** The stack as its API's user `subject` sees it. */
export const as = async (stack: TestStack, subject: string, options: TokenOptions = {}): Promise<TestStack> =>
  withHeaders(stack, bearer(await token(stack, subject, options)));

/** Every route of the API, from the template that it runs from. */
export function routes(stack: TestStack): { method: string; path: string }[] {
  const folder = join(stack.dir, 'cdk.out');
  const { artifacts } = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as {
    artifacts: Record<string, { type: string; properties: { templateFile: string } }>;
  };
  const file = Object.values(artifacts).find(({ type }) => type === 'aws:cloudformation:stack')?.properties
    .templateFile;
  const { Resources } = JSON.parse(readFileSync(join(folder, file ?? ''), 'utf8')) as {
    Resources: Record<string, { Type: string; Properties: { RouteKey: string } }>;
  };
  return Object.values(Resources)
    .filter(({ Type }) => Type === 'AWS::ApiGatewayV2::Route')
    .map(({ Properties }) => {
      const [method = '', path = ''] = Properties.RouteKey.split(' ');
      return { method, path };
    });
}
