/** The JSON services over HTTP: by X-Amz-Target at `/`, and Lambda's REST API. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { JsonAnswer } from '../types.ts';
import { errorAnswer, type Perform } from './json-face.ts';
import type { JsonService } from './json-needs.ts';
import { type FrontDoorParts, verifyContext } from './parts.ts';
import { readBody } from './read-body.ts';
import { sendJson } from './responses.ts';
import {
  type SignatureClaim,
  type SignatureFailure,
  type SignedRequest,
  sha256Hex,
  verifyClaim,
} from './sigv4.ts';

const targets: Readonly<Record<string, JsonService>> = {
  DynamoDB_20120810: 'dynamodb',
  AWSStepFunctions: 'states',
  AWSEvents: 'events',
};

/**
 * Largest request bodies: 16 MB for a BatchWriteItem, 1 MB for Step Functions and EventBridge, 6 MB for a
 * synchronous Lambda event (1 MB for an asynchronous one).
 */
const maxBodyBytes: Readonly<Record<JsonService, number>> = {
  dynamodb: 16 * 1024 * 1024,
  states: 1024 * 1024,
  events: 1024 * 1024,
  lambda: 6 * 1024 * 1024,
};
const maxAsyncEventBytes = 1024 * 1024;

export interface JsonRoute {
  readonly service: JsonService;
  readonly operation: string;
  /** Lambda's function. */
  readonly functionName?: string;
}

/** The JSON operation that a request names; undefined if it speaks to S3. */
export const jsonRoute = (request: SignedRequest): JsonRoute | 'unknown' | undefined => {
  const target = request.headers['x-amz-target'];
  if (typeof target === 'string') {
    const dot = target.lastIndexOf('.');
    const service = targets[target.slice(0, dot)];
    return service ? { service, operation: target.slice(dot + 1) } : 'unknown';
  }
  if (!request.url.startsWith('/2015-03-31/')) return undefined;
  const match = /^\/2015-03-31\/functions\/([^/?]+)\/invocations(?:\?.*)?$/.exec(request.url);
  if (!match || request.method !== 'POST') return 'unknown';
  return { service: 'lambda', operation: 'Invoke', functionName: decodeURIComponent(match[1] as string) };
};

const sendAnswer = (
  res: ServerResponse,
  service: JsonService,
  answer: JsonAnswer,
  text = JSON.stringify(answer.body),
): void => {
  if (service !== 'lambda') return sendJson(res, service, answer.status, text);
  if (answer.status >= 400)
    return sendJson(res, service, answer.status, text, { 'x-amzn-errortype': String(answer.body['__type']) });
  const { Payload, FunctionError } = answer.body;
  sendJson(res, service, answer.status, Payload === undefined ? '' : JSON.stringify(Payload), {
    'x-amz-executed-version': '$LATEST',
    ...(FunctionError !== undefined && { 'x-amz-function-error': String(FunctionError) }),
  });
};

const readInput = (
  route: JsonRoute,
  req: IncomingMessage,
  body: Buffer,
): Record<string, unknown> | undefined => {
  let value: unknown;
  try {
    value = body.length === 0 ? undefined : JSON.parse(body.toString());
  } catch {
    return undefined;
  }
  if (route.service === 'lambda')
    return {
      FunctionName: route.functionName,
      InvocationType: req.headers['x-amz-invocation-type'] ?? 'RequestResponse',
      ...(value !== undefined && { Payload: value }),
    };
  const input = value ?? {};
  return typeof input === 'object' && !Array.isArray(input) ? (input as Record<string, unknown>) : undefined;
};

export const serveJson = async (
  parts: FrontDoorParts,
  perform: Perform,
  route: JsonRoute,
  claim: SignatureClaim | SignatureFailure | undefined,
  request: SignedRequest,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<void> => {
  const { service } = route;
  const refuse = (answer: JsonAnswer) => sendAnswer(res, service, answer);
  const restStatus = service === 'lambda' ? 403 : 400;
  const body = await readBody(req, maxBodyBytes[service]);
  if (body === 'too large')
    return refuse(errorAnswer('RequestEntityTooLargeException', 'Request must be smaller', 413));
  if (!claim)
    return refuse(
      errorAnswer(
        'MissingAuthenticationTokenException',
        'Request is missing Authentication Token',
        restStatus,
      ),
    );
  const verified = claim.ok
    ? verifyClaim(claim, request, verifyContext(parts, service, sha256Hex(body)))
    : claim;
  if (!verified.ok) {
    // What only S3 calls malformed, the JSON services call incomplete.
    const code = /^(Authorization|Invalid(Argument|URI)|AccessDenied)/.test(verified.code)
      ? 'IncompleteSignatureException'
      : verified.code;
    return refuse(errorAnswer(code, verified.message, verified.status));
  }
  const input = readInput(route, req, body);
  if (!input)
    return refuse(
      service === 'lambda'
        ? errorAnswer('InvalidRequestContentException', 'Could not parse request body into json')
        : errorAnswer('SerializationException', 'Start of structure or map found where not expected.'),
    );
  if (service === 'lambda' && input['InvocationType'] === 'Event' && body.length > maxAsyncEventBytes)
    return refuse(errorAnswer('RequestTooLargeException', `${body.length} byte payload is too large`, 413));

  const performed = await perform({
    ...route,
    input,
    source: { caller: verified.credentials.caller, presigned: verified.presigned },
    bytesIn: body.length,
  });
  if (performed.kind === 'silence') {
    req.socket.destroy();
    return;
  }
  sendAnswer(res, service, performed.answer, performed.text);
};
