import type { Logger } from '@aws-lambda-powertools/logger';
import type {
  APIGatewayProxyEventV2WithRequestContext,
  APIGatewayProxyStructuredResultV2,
  Context,
} from 'aws-lambda';
import { ownerSlug } from '../upload/identity.ts';
import { UploadEnded } from '../upload/lifecycle.ts';
import { Problem, tryAgain } from './problems.ts';

/** What the gateway adds to a request that an authorizer let through. */
interface RequestContext {
  readonly requestId: string;
  readonly http: { readonly method: string; readonly path: string };
  readonly authorizer?: {
    readonly jwt?: { readonly claims: Readonly<Record<string, string>> };
    readonly iam?: {
      readonly userId?: string;
      readonly userArn?: string;
      readonly cognitoIdentity?: { readonly identityId?: string } | null;
    };
  };
}

export type ApiEvent = APIGatewayProxyEventV2WithRequestContext<RequestContext>;

/** A request, with what all handlers want of it. */
export interface ApiRequest {
  readonly event: ApiEvent;
  /** Who sends it, as it stands in keys. */
  readonly owner: string;
  /** The token's claims, each as text, where there is a token. */
  readonly claims?: Readonly<Record<string, string>> | undefined;
  readonly now: number;
  readonly log: Logger;
}

export interface ApiAnswer {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * The owner of what a request makes: the token's subject, or the IAM principal. The gateway has verified either; a
 * route without an authorizer exists only where the deployer asked for it.
 */
export function ownerOf(context: RequestContext): string {
  const { jwt, iam } = context.authorizer ?? {};
  if (jwt) {
    const subject = jwt.claims.sub;
    if (!subject) throw new Problem('invalid-request', 'The token names nobody: it has no `sub` claim.');
    return ownerSlug(subject);
  }
  if (iam) {
    // `AROA…:session` of an assumed role: the role is the principal, or with Cognito the identity. A federated user's
    // `account:name` is one whole.
    const { userId } = iam;
    const role = userId?.startsWith('AROA') ? userId.split(':')[0] : userId;
    const principal = iam.cognitoIdentity?.identityId ?? role ?? iam.userArn;
    if (!principal) throw new Problem('invalid-request', 'The signature names nobody.');
    return ownerSlug(principal);
  }
  return 'anonymous';
}

/**
 * Turns a plain function into what API Gateway calls. All errors end here: a problem is answered as it is, an upload
 * that ended under the request and any fault is a 503 that the client repeats.
 */
export function apiHandler(
  log: Logger,
  answer: (request: ApiRequest) => Promise<ApiAnswer>,
): (event: ApiEvent, context: Context) => Promise<APIGatewayProxyStructuredResultV2> {
  return async (event, context) => {
    log.resetKeys();
    log.appendKeys({ requestId: event.requestContext.requestId, awsRequestId: context.awsRequestId });
    try {
      const owner = ownerOf(event.requestContext);
      const claims = event.requestContext.authorizer?.jwt?.claims;
      const { status, body, headers } = await inTime(
        answer({ event, owner, claims, now: Date.now(), log }),
        context.getRemainingTimeInMillis() - MARGIN_MS,
      );
      return {
        statusCode: status,
        headers: {
          'cache-control': 'no-store',
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      };
    } catch (error) {
      return problemAnswer(asProblem(error, log));
    }
  };
}

/** What an answer takes to leave the function. */
const MARGIN_MS = 1_000;

/**
 * A function that runs out of time is answered with a 500 by API Gateway, at which Resumable.js gives the file up. All
 * that a request does may be repeated, so that it is better told to come again.
 */
async function inTime<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('The request was not done in time.')), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
    // Late, its error is nobody's.
    work.catch(() => undefined);
  }
}

function asProblem(error: unknown, log: Logger): Problem {
  if (error instanceof Problem) {
    // The detail may quote what the client sent.
    log.info('refused', { problem: error.problem, status: error.status });
    log.debug('refused', { detail: error.message });
    return error;
  }
  if (error instanceof UploadEnded) {
    log.info('upload ended under the request');
    return tryAgain('The upload ended or was started over while this request ran. Send it again.');
  }
  log.error('request failed', { error: error instanceof Error ? error : String(error) });
  return tryAgain(
    'Something failed on our side, and nothing of what was acknowledged is lost. Send it again.',
  );
}

const problemAnswer = (problem: Problem): APIGatewayProxyStructuredResultV2 => ({
  statusCode: problem.status,
  headers: {
    'content-type': 'application/problem+json',
    'cache-control': 'no-store',
    ...problem.headers,
  },
  body: JSON.stringify({
    type: problem.type,
    title: problem.title,
    status: problem.status,
    detail: problem.message,
  }),
});
