import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { AwsError, type InvokeResult, type LocalTemplate, type Resource } from '../types.ts';
import { type ApiAnswer, gatewayAnswers, readFunctionAnswer } from './answer.ts';
import { type ApiRoute, readApi } from './configuration.ts';
import { preflightAnswer, withCors } from './cors.ts';
import { type ApiRequest, buildEvent, readHeaders } from './event.ts';
import type { IamAuthorizer } from './iam-authorizer.ts';
import { type Authorization, createJwtAuthorizer, type JwtAuthorizer } from './jwt-authorizer.ts';
import { drain, readBody } from './request-body.ts';
import { matchRoute, type RouteMatch } from './routes.ts';
import { createThrottle } from './throttle.ts';

export interface GatewayOptions {
  readonly template: LocalTemplate;
  /** The stack's time in milliseconds. */
  readonly now: () => number;
  readonly invoke: (functionName: string, event: unknown) => Promise<InvokeResult>;
  /** Whether the function's own policy (AWS::Lambda::Permission) lets this API route call it. */
  readonly mayInvoke: (fn: Resource, sourceArn: string) => boolean;
  readonly authorizeIam: IamAuthorizer;
  readonly log: (line: string) => void;
}

export interface Gateway {
  /** Answers a request of the API. False, with nothing read or written, where the API has no route for it. */
  handle(request: IncomingMessage, response: ServerResponse): Promise<boolean>;
  /** The gateway's answer where there is no route: 404, with CORS headers. */
  notFound(request: IncomingMessage, response: ServerResponse): void;
  /** What the template's JWT authorizers trust. */
  readonly jwtIssuers: readonly { readonly issuer: string; readonly audience: readonly string[] }[];
}

/** "Total combined size of request line and header values" of an HTTP API. */
const MAX_HEAD_BYTES = 10_240;

/**
 * The template's HTTP API.
 *
 * @see https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
 */
export function createGateway(options: GatewayOptions): Gateway {
  const { template, now, invoke, mayInvoke, authorizeIam, log } = options;
  const { apiId, cors, routes, stage } = readApi(template);
  const throttle = createThrottle(stage.throttleOf, () => performance.now());
  const jwtAuthorizers = new Map<string, JwtAuthorizer>();
  for (const { authorization } of routes) {
    if (authorization.type !== 'JWT' || jwtAuthorizers.has(authorization.authorizerId)) continue;
    jwtAuthorizers.set(
      authorization.authorizerId,
      createJwtAuthorizer(authorization.configuration, { now, log }),
    );
  }

  const executeApiArn = (suffix: string) =>
    `arn:aws:execute-api:${template.region}:${template.account}:${apiId}/${stage.name}/${suffix}`;

  /** The path within the stage; undefined for another stage's. `$default` is the one stage without a prefix. */
  const stagePath = (path: string): string | undefined => {
    if (stage.name === '$default') return path;
    const prefix = `/${stage.name}`;
    return path === prefix || path.startsWith(`${prefix}/`) ? path.slice(prefix.length) || '/' : undefined;
  };

  async function authorize(route: ApiRoute, request: ApiRequest): Promise<Authorization | { ok: true }> {
    const { authorization } = route;
    switch (authorization.type) {
      case 'NONE':
        return { ok: true };
      case 'AWS_IAM': {
        const path = request.path.slice(1);
        return authorizeIam(request, executeApiArn(`${request.method}/${path}`));
      }
      case 'JWT': {
        const authorizer = jwtAuthorizers.get(authorization.authorizerId);
        if (!authorizer) throw new Error(`no authorizer ${authorization.authorizerId}`);
        return authorizer(findToken(authorization.identitySource, request), authorization.scopes);
      }
    }
  }

  async function answerRoute(
    { route, pathParameters }: RouteMatch<ApiRoute>,
    incoming: IncomingMessage,
    head: Omit<ApiRequest, 'body'>,
    requestId: string,
  ): Promise<ApiAnswer> {
    if (!throttle.take(route.routeKey)) return gatewayAnswers.tooManyRequests;
    const unread = { ...head, body: Buffer.alloc(0) };
    // A signature covers the body; a token does not, so without a good one nothing more is read.
    const early = route.authorization.type === 'AWS_IAM' ? undefined : await authorize(route, unread);
    if (early && !early.ok) return refusal(early);
    const body = await readBody(incoming);
    if (!body) return gatewayAnswers.entityTooLarge;
    const request = { ...head, body };
    const authorization = early ?? (await authorize(route, request));
    if (!authorization.ok) return refusal(authorization);

    const [method, ...pattern] = route.routeKey === '$default' ? ['$default'] : route.routeKey.split(' ');
    const sourceArn = executeApiArn(pattern.length > 0 ? `${method}${pattern.join(' ')}` : '$default');
    if (!mayInvoke(route.function, sourceArn)) {
      log(`${route.routeKey}: no AWS::Lambda::Permission lets the API call ${route.function.logicalId}`);
      return gatewayAnswers.internalError;
    }
    const event = buildEvent(request, {
      accountId: template.account,
      apiId,
      region: template.region,
      stage: stage.name,
      stageVariables: stage.variables,
      routeKey: route.routeKey,
      pathParameters,
      authorizer: 'authorizer' in authorization ? authorization.authorizer : undefined,
      requestId,
      now: now(),
    });
    return callFunction(route, event);
  }

  async function callFunction(route: ApiRoute, event: unknown): Promise<ApiAnswer> {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<'timeout'>((resolve) => {
      timer = setTimeout(resolve, route.timeoutMs, 'timeout');
    });
    try {
      // The function is not ended by the gateway's patience: as on AWS it runs on until its own timeout.
      const result = await Promise.race([invoke(route.function.physicalId, event), timeout]);
      if (result === 'timeout') return gatewayAnswers.unavailable;
      return result.functionError ? gatewayAnswers.internalError : readFunctionAnswer(result.payload);
    } catch (error) {
      if (error instanceof AwsError && error.name === 'RequestTooLargeException') {
        return gatewayAnswers.requestTooLong;
      }
      log(`${route.routeKey}: ${(error as Error).message}`);
      return gatewayAnswers.internalError;
    } finally {
      clearTimeout(timer);
    }
  }

  const origin = (incoming: IncomingMessage) => incoming.headers.origin;

  return {
    async handle(incoming, response) {
      const [path = '/', ...queryParts] = (incoming.url ?? '/').split('?');
      const method = incoming.method ?? 'GET';
      const within = stagePath(path);
      const match = within === undefined ? undefined : matchRoute(routes, method, within);
      const isPreflight =
        method === 'OPTIONS' &&
        origin(incoming) !== undefined &&
        'access-control-request-method' in incoming.headers;
      if (!match) {
        // The gateway itself answers a preflight unless a route takes OPTIONS (ANY or $default would).
        const ours =
          within !== undefined &&
          routes.some((route) => matchRoute([{ ...route, method: 'ANY' }], method, within));
        if (!cors || !isPreflight || !ours) return false;
        send(response, preflightAnswer(cors, origin(incoming) ?? ''));
        return true;
      }
      const requestId = randomUUID();
      const head = {
        method,
        path,
        query: queryParts.join('?'),
        rawHeaders: incoming.rawHeaders,
        protocol: `HTTP/${incoming.httpVersion}`,
        sourceIp: (incoming.socket.remoteAddress ?? '127.0.0.1').replace(/^::ffff:/, ''),
      };
      const answer =
        headBytes(incoming) > MAX_HEAD_BYTES
          ? gatewayAnswers.headersTooLarge
          : await answerRoute(match, incoming, head, requestId);
      const withId = { ...answer, headers: { ...answer.headers, 'apigw-requestid': requestId } };
      send(response, withCors(withId, cors, origin(incoming)));
      drain(incoming);
      return true;
    },
    notFound(incoming, response) {
      send(response, withCors(gatewayAnswers.notFound, cors, origin(incoming)));
      drain(incoming);
    },
    jwtIssuers: routes.flatMap(({ authorization }) =>
      authorization.type === 'JWT'
        ? [{ issuer: authorization.configuration.Issuer, audience: authorization.configuration.Audience }]
        : [],
    ),
  };
}

function refusal(authorization: Authorization & { ok: false }): ApiAnswer {
  const answer = {
    401: gatewayAnswers.unauthorized,
    403: gatewayAnswers.forbidden,
    500: gatewayAnswers.internalError,
  }[authorization.status];
  const { wwwAuthenticate } = authorization;
  if (wwwAuthenticate === undefined) return answer;
  return { ...answer, headers: { ...answer.headers, 'www-authenticate': wwwAuthenticate } };
}

/** The token at an authorizer's identity source, with or without its `Bearer` prefix. */
function findToken(identitySource: string, request: ApiRequest): string | undefined {
  const [, where, name = ''] = /^\$request\.(header|querystring)\.(.+)$/.exec(identitySource) ?? [];
  if (where === undefined) throw new Error(`identity source ${identitySource} is not supported locally`);
  const value =
    where === 'header'
      ? readHeaders(request.rawHeaders).headers[name.toLowerCase()]
      : (new URLSearchParams(request.query).get(name) ?? undefined);
  return value?.replace(/^Bearer\s+/i, '').trim();
}

function headBytes({ method = '', url = '', httpVersion, rawHeaders }: IncomingMessage): number {
  const requestLine = `${method} ${url} HTTP/${httpVersion}\r\n`.length;
  return rawHeaders.reduce((sum, text, index) => (index % 2 === 1 ? sum + text.length : sum), requestLine);
}

function send(response: ServerResponse, { status, headers, cookies, body }: ApiAnswer): void {
  response.statusCode = status;
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  if (cookies && cookies.length > 0) response.setHeader('set-cookie', [...cookies]);
  if (status === 204 || status === 304) response.end();
  else {
    response.setHeader('content-length', Buffer.byteLength(body));
    response.end(body);
  }
}
