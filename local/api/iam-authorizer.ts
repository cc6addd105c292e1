import { createHash } from 'node:crypto';
import type { Caller } from '../types.ts';
import { type ApiRequest, readHeaders } from './event.ts';
import type { Authorization } from './jwt-authorizer.ts';

/** @param resourceArn `arn:aws:execute-api:region:account:api/stage/METHOD/path` */
export type IamAuthorizer = (request: ApiRequest, resourceArn: string) => Promise<Authorization>;

export interface IamAuthorizerOptions {
  readonly account: string;
  /** Checks the signature (Signature Version 4, service `execute-api`) and tells whose it is. */
  readonly verify: (request: {
    readonly method: string;
    /** Path and query as they came. */
    readonly url: string;
    /** Names in lower case. */
    readonly headers: Readonly<Record<string, string>>;
    /** SHA-256 of the body in hex. */
    readonly payloadHash: string;
  }) => { readonly accessKeyId: string; readonly caller: Caller } | undefined;
  /** Whether the caller's policies allow `execute-api:Invoke` on the resource. */
  readonly allows: (caller: Caller, resourceArn: string) => boolean;
}

/** An HTTP API's AWS_IAM authorization. Whatever is wrong, AWS answers 403 here, never 401. */
export function createIamAuthorizer({ account, verify, allows }: IamAuthorizerOptions): IamAuthorizer {
  return async ({ method, path, query, rawHeaders, body }, resourceArn) => {
    const signed = verify({
      method,
      url: query === '' ? path : `${path}?${query}`,
      headers: readHeaders(rawHeaders).headers,
      payloadHash: createHash('sha256').update(body).digest('hex'),
    });
    const identity = signed && identityOf(signed.caller, account);
    if (!identity || !allows(signed.caller, resourceArn)) return { ok: false, status: 403 };
    return {
      ok: true,
      authorizer: {
        iam: {
          accessKey: signed.accessKeyId,
          accountId: account,
          callerId: identity.userId,
          cognitoIdentity: null,
          principalOrgId: null,
          userArn: identity.userArn,
          userId: identity.userId,
        },
      },
    };
  };
}

/** A principal as IAM names it: the account for its root user, `<role id>:<session>` for a role. */
function identityOf(caller: Caller, account: string): { userId: string; userArn: string } | undefined {
  switch (caller.kind) {
    case 'root':
      return { userId: account, userArn: `arn:aws:iam::${account}:root` };
    case 'role': {
      const role = caller.roleArn.split('/').at(-1) ?? '';
      const session = caller.functionName ?? 'session';
      const roleId = `AROA${createHash('sha256').update(caller.roleArn).digest('hex').slice(0, 16).toUpperCase()}`;
      return {
        userId: `${roleId}:${session}`,
        userArn: `arn:aws:sts::${account}:assumed-role/${role}/${session}`,
      };
    }
    case 'anonymous':
    case 'service':
      return undefined;
  }
}
