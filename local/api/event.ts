import { decode } from './routes.ts';

/** A request as the gateway took it in. */
export interface ApiRequest {
  readonly method: string;
  /** With the stage, percent-encoded as it came. */
  readonly path: string;
  /** Without `?`. */
  readonly query: string;
  /** Name and value in turn, as on the wire (`IncomingMessage.rawHeaders`). */
  readonly rawHeaders: readonly string[];
  /** `HTTP/1.1`. */
  readonly protocol: string;
  readonly sourceIp: string;
  readonly body: Buffer;
}

export interface EventContext {
  readonly accountId: string;
  readonly apiId: string;
  readonly region: string;
  readonly stage: string;
  readonly stageVariables?: Readonly<Record<string, string>> | undefined;
  readonly routeKey: string;
  readonly pathParameters: Readonly<Record<string, string>>;
  readonly authorizer?: Readonly<Record<string, unknown>> | undefined;
  readonly requestId: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/**
 * Bodies of these types reach the function as text, all others in base64, forms and missing types among them.
 * The documentation says no more than "binary"; this is what the service does.
 */
const textTypes = /^(text\/|application\/(json|xml|javascript)(;|$))/i;

/**
 * The event that an HTTP API sends to a function, payload format 2.0.
 *
 * @see https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
 */
export function buildEvent(request: ApiRequest, context: EventContext): Record<string, unknown> {
  const { headers, cookies } = readHeaders(request.rawHeaders);
  const { query, body } = request;
  const isText = textTypes.test(headers['content-type'] ?? '');
  const queryStringParameters = parseQuery(query);
  const has = (record: Readonly<Record<string, string>>) => Object.keys(record).length > 0;
  return {
    version: '2.0',
    routeKey: context.routeKey,
    rawPath: decode(request.path),
    rawQueryString: query,
    ...(cookies.length > 0 ? { cookies } : {}),
    headers,
    ...(has(queryStringParameters) ? { queryStringParameters } : {}),
    requestContext: {
      accountId: context.accountId,
      apiId: context.apiId,
      ...(context.authorizer ? { authorizer: context.authorizer } : {}),
      domainName: `${context.apiId}.execute-api.${context.region}.amazonaws.com`,
      domainPrefix: context.apiId,
      http: {
        method: request.method,
        path: decode(request.path),
        protocol: request.protocol,
        sourceIp: request.sourceIp,
        userAgent: headers['user-agent'] ?? '',
      },
      requestId: context.requestId,
      routeKey: context.routeKey,
      stage: context.stage,
      time: accessLogTime(context.now),
      timeEpoch: context.now,
    },
    ...(has(context.pathParameters) ? { pathParameters: context.pathParameters } : {}),
    ...(context.stageVariables && has(context.stageVariables)
      ? { stageVariables: context.stageVariables }
      : {}),
    ...(body.length > 0 ? { body: body.toString(isText ? 'utf8' : 'base64') } : {}),
    isBase64Encoded: body.length > 0 && !isText,
  };
}

/** Names in lower case, repeated headers joined by commas, cookies apart. */
export function readHeaders(rawHeaders: readonly string[]): {
  readonly headers: Record<string, string>;
  readonly cookies: string[];
} {
  const headers = new Map<string, string>();
  const cookies: string[] = [];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = (rawHeaders[index] ?? '').toLowerCase();
    const value = rawHeaders[index + 1] ?? '';
    if (name === 'cookie') cookies.push(...value.split(/;\s*/).filter(Boolean));
    else if (!hopByHop.has(name)) append(headers, name, value);
  }
  return { headers: Object.fromEntries(headers), cookies };
}

const hopByHop = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
  'proxy-connection',
  'te',
]);

function parseQuery(query: string): Record<string, string> {
  const parameters = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(query)) append(parameters, name, value);
  return Object.fromEntries(parameters);
}

function append(values: Map<string, string>, name: string, value: string): void {
  const earlier = values.get(name);
  values.set(name, earlier === undefined ? value : `${earlier},${value}`);
}

/** `12/Mar/2020:19:03:58 +0000` */
function accessLogTime(ms: number): string {
  const [, day, month, year, time] = new Date(ms).toUTCString().split(' ');
  return `${day}/${month}/${year}:${time} +0000`;
}
