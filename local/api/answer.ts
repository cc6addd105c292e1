/** What the gateway sends to the client. Header names are in lower case. */
export interface ApiAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly cookies?: readonly string[];
  readonly body: string | Buffer;
}

/** The gateway's own answers, word for word. */
export const gatewayAnswers = {
  notFound: message(404, 'Not Found'),
  unauthorized: message(401, 'Unauthorized'),
  forbidden: message(403, 'Forbidden'),
  /** Over the gateway's own 10 MB. */
  entityTooLarge: message(413, 'HTTP content length exceeded 10485760 bytes.'),
  /** Over Lambda's 6 MB, once the body is in its event. */
  requestTooLong: message(413, 'Request Too Long'),
  headersTooLarge: message(431, 'Request Header Fields Too Large'),
  tooManyRequests: message(429, 'Too Many Requests'),
  /** The function failed, or its answer makes no sense. */
  internalError: message(500, 'Internal Server Error'),
  /** The integration took more than its 30 s. */
  unavailable: message(503, 'Service Unavailable'),
} as const;

function message(status: number, text: string): ApiAnswer {
  return { status, headers: { 'content-type': 'application/json' }, body: JSON.stringify({ message: text }) };
}

/**
 * Reads a function's answer by the rules of payload format 2.0: an object with a `statusCode` says everything
 * itself; anything else is a 200 with that value as JSON. A malformed answer is a 500, as on AWS.
 *
 * @see https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
 */
export function readFunctionAnswer(payload: unknown): ApiAnswer {
  if (typeof payload !== 'object' || payload === null || !('statusCode' in payload)) {
    const body = typeof payload === 'string' ? payload : JSON.stringify(payload ?? null);
    return { status: 200, headers: { 'content-type': 'application/json' }, body };
  }
  const { statusCode, headers, cookies, body, isBase64Encoded } = payload as {
    statusCode: unknown;
    headers?: unknown;
    cookies?: unknown;
    body?: unknown;
    isBase64Encoded?: unknown;
  };
  const status = Number(statusCode);
  const badBody = body !== undefined && body !== null && typeof body !== 'string';
  const badCookies = cookies !== undefined && cookies !== null && !isStrings(cookies);
  if (!Number.isInteger(status) || status < 100 || status > 599 || badBody || badCookies) {
    return gatewayAnswers.internalError;
  }
  const answerHeaders: Record<string, string> = {};
  for (const [name, value] of Object.entries((headers ?? {}) as Record<string, unknown>)) {
    if (value !== null && value !== undefined) answerHeaders[name.toLowerCase()] = String(value);
  }
  answerHeaders['content-type'] ??= 'text/plain;charset=UTF-8';
  const text = typeof body === 'string' ? body : '';
  return {
    status,
    headers: answerHeaders,
    ...(isStrings(cookies) ? { cookies } : {}),
    body: isBase64Encoded === true ? Buffer.from(text, 'base64') : text,
  };
}

const isStrings = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((item) => typeof item === 'string');
