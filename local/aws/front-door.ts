/**
 * The AWS endpoint: all that functions, state machines, the command line, tests and browsers send to AWS comes
 * through here. Signature → caller → permission by the template's policies → faults → engine → call log.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type {
  AwsCall,
  Caller,
  Clock,
  FunctionPool,
  JsonAnswer,
  JsonEngine,
  LocalTemplate,
} from '../types.ts';
import { type Access, createAccess } from './access.ts';
import { type CallLog, createCallLog } from './calls.ts';
import { createControl, type LocalRoutes, ownRoutes } from './control.ts';
import type { Credentials } from './credentials.ts';
import { createFaults, type Faults } from './faults.ts';
import { createPerform, errorAnswer } from './json-face.ts';
import { jsonRoute, serveJson } from './json-http.ts';
import { createLambdaEngine } from './lambda-engine.ts';
import type { FrontDoorParts } from './parts.ts';
import { sendJson } from './responses.ts';
import { createS3Caller } from './s3-caller.ts';
import { createS3Face, type S3Handler } from './s3-face.ts';
import { readSignature, type SignedRequest } from './sigv4.ts';

export interface FrontDoorOptions {
  readonly template: LocalTemplate;
  readonly credentials: Credentials;
  readonly clock: Clock;
  readonly pool: Pick<FunctionPool, 'invoke' | 'invokeAsync' | 'kill' | 'shortName'>;
  readonly engines: {
    readonly s3: S3Handler;
    readonly dynamodb: JsonEngine;
    readonly states: JsonEngine;
    readonly events: JsonEngine;
  };
  /** The URL that this front door listens at, for its own S3 calls. */
  readonly endpoint: () => string;
  /** Further `/_local` routes; one of the same name replaces the front door's own. */
  readonly routes?: LocalRoutes;
  readonly log: (line: string) => void;
}

export interface FrontDoor {
  /** The request listener of the AWS endpoint. Never rejects. */
  handle(req: IncomingMessage, res: ServerResponse): Promise<void>;
  /**
   * A call from within the stack, under the same permissions, faults and log. Errors are answers with
   * `__type` and `message`; a connection cut by a fault is 503 ServiceUnavailable.
   */
  call(
    service: AwsCall['service'],
    operation: string,
    input: Record<string, unknown>,
    caller: Caller,
  ): Promise<JsonAnswer>;
  readonly calls: CallLog;
  readonly faults: Faults;
  readonly access: Access;
  close(): void;
}

/** Throws if the template's roles cannot be assumed by the services that use them. */
export const createFrontDoor = (options: FrontDoorOptions): FrontDoor => {
  const { template, credentials, clock, pool, engines, log } = options;
  const parts: FrontDoorParts = {
    template,
    credentials,
    clock,
    pool,
    log,
    access: createAccess(template),
    faults: createFaults(),
    calls: createCallLog(),
  };
  const perform = createPerform(parts, { ...engines, lambda: createLambdaEngine(template, pool) });
  const serveS3 = createS3Face(parts, engines.s3);
  const s3Caller = createS3Caller({
    endpoint: options.endpoint,
    region: template.region,
    credentials,
    now: () => clock.now(),
  });
  const control = createControl({ ...ownRoutes(parts), ...options.routes });

  const serve = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const request: SignedRequest = { method: req.method ?? 'GET', url: req.url ?? '/', headers: req.headers };
    if (request.url === '/_local' || request.url.startsWith('/_local/')) return control(req, res);
    const claim = readSignature(request);
    // A key may look like another service's path: what is signed for S3 is S3's.
    const route = claim?.ok && claim.scope.service === 's3' ? undefined : jsonRoute(request);
    if (route === 'unknown') {
      req.resume();
      return sendJson(res, '', 400, JSON.stringify(errorAnswer('UnknownOperationException', '').body));
    }
    return route
      ? serveJson(parts, perform, route, claim, request, req, res)
      : serveS3(claim, request, req, res);
  };

  return {
    async handle(req, res) {
      // SDK clients set their clocks by this header, on every answer: it must be the stack's time, not the machine's.
      res.setHeader('date', new Date(clock.now()).toUTCString());
      try {
        await serve(req, res);
      } catch (error) {
        // A client that goes away in mid-request breaks its own streams; that is no fault of the stack.
        if ((req.destroyed && !req.complete) || req.socket.destroyed) return;
        log(`${req.method} ${req.url}: ${(error as Error).stack ?? String(error)}`);
        if (res.headersSent) req.socket.destroy();
        else {
          req.resume();
          sendJson(
            res,
            '',
            500,
            JSON.stringify({ __type: 'InternalFailure', message: (error as Error).message }),
          );
        }
      }
    },
    async call(service, operation, input, caller) {
      if (service === 's3') return s3Caller.call(operation, input, caller);
      const bytesIn = Buffer.byteLength(JSON.stringify(input));
      const performed = await perform({
        service,
        operation,
        input,
        source: { caller, presigned: false },
        bytesIn,
      });
      return performed.kind === 'answer'
        ? performed.answer
        : errorAnswer('ServiceUnavailable', 'The connection was cut', 503);
    },
    calls: parts.calls,
    faults: parts.faults,
    access: parts.access,
    close: () => s3Caller.close(),
  };
};
