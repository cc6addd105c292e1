import { Token } from 'aws-cdk-lib';
import { InvalidOption } from './invalid-option.ts';

/** Who may upload; the caller's identity is also the owner of what is uploaded. */
export type UploadAuth =
  | {
      readonly type: 'jwt';
      readonly issuer: string;
      readonly audience: readonly string[];
      readonly scopes: readonly string[];
    }
  | { readonly type: 'iam' }
  | { readonly type: 'none' };

export interface JwtAuthOptions {
  /**
   * The issuer's URL, exactly as in the tokens' `iss`, for example
   * `https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_abc`. API Gateway reads its keys from
   * `<issuer>/.well-known/openid-configuration`; it takes RSA signatures only.
   */
  readonly issuer: string;
  /** What a token's `aud` (or, where it has none, `client_id`) must be: one of these. */
  readonly audience: string | readonly string[];
  /**
   * A token must carry one of these scopes.
   * @default any scope, or none
   */
  readonly scopes?: readonly string[];
}

/** @example auth: UploadAuth.jwt({ issuer: 'https://login.example.com', audience: 'uploads' }) */
export const UploadAuth = {
  /** Bearer tokens of an OpenID Connect issuer; the owner is the token's `sub`. */
  jwt({ issuer, audience, scopes = [] }: JwtAuthOptions): UploadAuth {
    const audiences = typeof audience === 'string' ? [audience] : audience;
    if (!isIssuer(issuer)) {
      throw new InvalidOption(
        `auth: the issuer "${issuer}" is not an https URL: write it exactly as in the tokens' "iss", for example "https://login.example.com".`,
      );
    }
    if (audiences.length === 0 || audiences.some((one) => one.trim() === '')) {
      throw new InvalidOption(
        'auth: without an audience, a token made for any other service of the issuer could upload here: name at least one audience.',
      );
    }
    return { type: 'jwt', issuer, audience: audiences, scopes };
  },

  /** Requests signed with AWS credentials (Signature Version 4); the owner is the IAM principal. */
  iam(): UploadAuth {
    return { type: 'iam' };
  },

  /** No authorization: every caller is the one owner `anonymous`, and shares all uploads with all others. */
  none(options?: { readonly iUnderstandThatAnyoneCanUpload: boolean }): UploadAuth {
    if (options?.iUnderstandThatAnyoneCanUpload !== true) {
      throw new InvalidOption(
        'auth: "none" lets anyone on the internet upload at your cost, and see and abort the uploads of others; if that is what you want, add iUnderstandThatAnyoneCanUpload: true, otherwise choose jwt or iam.',
      );
    }
    return { type: 'none' };
  },
} as const;

/** Plain http is for an issuer on this machine alone: keys fetched over it can be replaced on the way. */
function isIssuer(text: string): boolean {
  // Of a user pool in the same app: known at deployment only.
  if (Token.isUnresolved(text)) return true;
  const url = URL.parse(text);
  if (url === null || url.search !== '' || url.hash !== '') return false;
  const loopback = ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname);
  return url.protocol === 'https:' || (url.protocol === 'http:' && loopback);
}
