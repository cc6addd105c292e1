/** S3 over HTTP: signature, permission, faults, then the engine on the untouched streams, and the log. */
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { bucketOptions, type CorsRule } from '../s3/bucket.ts';
import { answerHeaders } from '../s3/cors.ts';
import type { AwsCall } from '../types.ts';
import { halves } from './partial.ts';
import {
  type CallSource,
  type FrontDoorParts,
  faultTarget,
  killCaller,
  sourceFields,
  verifyContext,
} from './parts.ts';
import { readBody } from './read-body.ts';
import {
  countIn,
  cutWithinAnswer,
  detachedResponse,
  escapeXml,
  type S3ErrorAnswer,
  sendDeleteErrors,
  sendLateError,
  sendS3Error,
  watchOut,
} from './responses.ts';
import { bucketArn, readS3Request, type S3Request, s3Needs } from './s3-operations.ts';
import { type SignatureClaim, type SignatureFailure, type SignedRequest, verifyClaim } from './sigv4.ts';
import { MalformedUri } from './sigv4-canonical.ts';

/** Serves path-style requests that are authenticated and authorised already. */
export interface S3Handler {
  handle(req: IncomingMessage, res: ServerResponse): Promise<void>;
}

/** 1,000 keys of 1,024 bytes and their elements. */
const maxDeleteBytes = 2 * 1024 * 1024;

const denied = (message: string): S3ErrorAnswer => ({ status: 403, code: 'AccessDenied', message });

const unescapeXml = (text: string): string =>
  text
    .replace(/&#x([0-9a-f]+);/gi, (_all, hex: string) => String.fromCodePoint(Number.parseInt(hex, 16)))
    .replace(/&#(\d+);/g, (_all, digits: string) => String.fromCodePoint(Number(digits)))
    .replace(
      /&(lt|gt|quot|apos|amp);/g,
      (_all, name: string) => ({ lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' })[name] as string,
    );

/** The same request with another body, and other headers where they are given. */
const withBody = (req: IncomingMessage, body: Readable, headers = req.headers): IncomingMessage => {
  const { method, url, rawHeaders, httpVersion, socket } = req;
  Object.assign(body, { method, url, headers, rawHeaders, httpVersion, socket, complete: true });
  // Engines read only these of an IncomingMessage; the prototype would bring the socket's own reading along.
  return body as unknown as IncomingMessage;
};

const bytesOnce = (bytes: Buffer): Readable => Readable.from([bytes], { objectMode: false });

/** The same request, of whose body the first half comes; then the connection goes. */
const halfOf = (req: IncomingMessage): IncomingMessage =>
  withBody(req, Readable.from(cutWithin(req), { objectMode: false }));

async function* cutWithin(req: IncomingMessage): AsyncGenerator<Buffer> {
  const { socket } = req;
  let left = Math.floor(Number(req.headers['content-length'] ?? 0) / 2);
  for await (const chunk of req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    if (left > 0) yield chunk.subarray(0, left);
    left -= chunk.length;
    if (left <= 0) break;
  }
  socket.destroy();
  throw new Error('the connection was cut within the request');
}

/** A DeleteObjects of some of its keys. */
const deletionOf = (req: IncomingMessage, keys: readonly string[]): IncomingMessage => {
  const objects = keys.map((key) => `<Object><Key>${escapeXml(key)}</Key></Object>`);
  const body = Buffer.from(`<Delete><Quiet>true</Quiet>${objects.join('')}</Delete>`);
  return withBody(req, bytesOnce(body), {
    host: req.headers.host,
    'content-length': String(body.length),
    'content-md5': createHash('md5').update(body).digest('base64'),
  });
};

/** An S3 caller that may not list the bucket must not learn from 404 that a key is missing: it gets 403. */
const hideMissing = (
  req: IncomingMessage,
  res: ServerResponse,
  refusal: () => S3ErrorAnswer | undefined,
  { resource, headers: corsHeaders }: { readonly resource: string; readonly headers: Record<string, string> },
): void => {
  type Method = (...args: unknown[]) => unknown;
  const original = [
    res.writeHead.bind(res) as Method,
    res.write.bind(res) as Method,
    res.end.bind(res) as Method,
  ] as const;
  const [writeHead, write, end] = original;
  let error: S3ErrorAnswer | undefined;
  const judge = (status: number): void => {
    if (status === 404 && !res.headersSent) error ??= refusal();
  };
  // The engine still writes its 404: its head and body go nowhere, and its end is ours.
  const hidden: Record<'writeHead' | 'write' | 'end', Method> = {
    writeHead: (status, ...rest) => {
      judge(status as number);
      return error ? res : writeHead(status, ...rest);
    },
    write: (...args) => {
      judge(res.statusCode);
      return error ? true : write(...args);
    },
    end: (...args) => {
      judge(res.statusCode);
      if (!error) return end(...args);
      const kept = Object.entries(res.getHeaders()).filter(([name]) => /^(access-control-|date$)/.test(name));
      for (const name of res.getHeaderNames()) res.removeHeader(name);
      Object.assign(res, { writeHead, write, end });
      const headers = Object.fromEntries(kept.map(([name, value]) => [name, String(value)]));
      sendS3Error(req, res, error, { resource, headers: { ...corsHeaders, ...headers } });
      return res;
    },
  };
  Object.assign(res, hidden);
};

export const createS3Face = (parts: FrontDoorParts, engine: S3Handler) => {
  const corsRules = new Map<string, readonly CorsRule[]>(
    parts.template
      .byType('AWS::S3::Bucket')
      .map((bucket) => [bucket.physicalId, bucketOptions(bucket.properties).corsRules ?? []]),
  );

  const refusalOf = (
    source: CallSource,
    request: SignedRequest,
    s3: S3Request,
  ): S3ErrorAnswer | undefined => {
    const refusal = parts.access.refusal(
      source.caller,
      s3Needs(parts.template, request, s3, { presigned: source.presigned }),
    );
    return refusal && denied(source.caller.kind === 'anonymous' ? 'Access Denied' : refusal.message);
  };

  /** Keys of a DeleteObjects that are refused, each by itself; the request is then replayed to the engine. */
  const readDelete = async (
    source: CallSource,
    request: SignedRequest,
    s3: S3Request,
    req: IncomingMessage,
  ): Promise<{ body: Buffer; keys: string[]; refused: string[]; message: string } | S3ErrorAnswer> => {
    const body = await readBody(req, maxDeleteBytes);
    if (body === 'too large')
      return { status: 400, code: 'MalformedXML', message: 'The XML you provided was not well-formed' };
    if (String(req.headers['content-encoding'] ?? '').includes('aws-chunked'))
      return { status: 501, code: 'NotImplemented', message: 'DeleteObjects with an aws-chunked body' };
    const keys = [...body.toString().matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, key = '']) =>
      unescapeXml(key),
    );
    let message = '';
    const refused = keys.filter((key) => {
      const needs = s3Needs(parts.template, request, s3, { presigned: source.presigned, deleteKeys: [key] });
      const refusal = parts.access.refusal(source.caller, needs);
      message = refusal?.message ?? message;
      return refusal !== undefined;
    });
    if (refused.length > 0 && refused.length < keys.length)
      return {
        status: 501,
        code: 'NotImplemented',
        message: `A DeleteObjects of which some keys are allowed and some are not: ${message}`,
      };
    return { body, keys, refused, message };
  };

  const deletePartly = async (
    req: IncomingMessage,
    res: ServerResponse,
    keys: readonly string[],
    code: string,
  ): Promise<void> => {
    const { undone, done } = halves(keys);
    const nowhere = detachedResponse(req);
    if (done.length > 0) await engine.handle(deletionOf(req, done), nowhere);
    if (nowhere.statusCode !== 200) throw new Error(`the engine's DeleteObjects: ${nowhere.statusCode}`);
    sendDeleteErrors(req, res, undone, { code, message: code }, done);
  };

  return async (
    claim: SignatureClaim | SignatureFailure | undefined,
    request: SignedRequest,
    req: IncomingMessage,
    res: ServerResponse,
  ): Promise<void> => {
    const started = performance.now();
    const at = parts.clock.now();
    const bytesIn = countIn(req);
    let s3: S3Request | undefined;
    let source: CallSource = { caller: { kind: 'anonymous' }, presigned: false };
    let fault: string | undefined;
    let noted = false;
    const note = (
      out: { status: number; bytes: number; start: string },
      more: Partial<AwsCall> = {},
    ): void => {
      if (noted) return;
      noted = true;
      const errorCode = /<Error>\s*<Code>([^<]+)</.exec(out.start)?.[1];
      parts.calls.add({
        at,
        service: 's3',
        operation: req.method === 'OPTIONS' ? 'OPTIONS' : (s3?.operation ?? 'Unknown'),
        ...sourceFields(parts, source),
        resource: s3 ? (s3.key === '' ? s3.bucket : `${s3.bucket}/${s3.key}`) : request.url,
        status: out.status,
        ...(errorCode !== undefined && { errorCode }),
        bytesIn: bytesIn(),
        bytesOut: out.bytes,
        durationMs: performance.now() - started,
        ...(fault !== undefined && { fault }),
        ...more,
      });
    };
    /** Logs when the answer's last byte is handed over, so that who has the answer finds the call in the log. */
    const watch = (response: ServerResponse) => {
      const out = watchOut(response, () =>
        note({ status: response.statusCode, bytes: out.bytes(), start: out.start() }),
      );
      // Status 0: the connection ended before the answer did.
      return () =>
        note({
          status: response.writableEnded ? response.statusCode : 0,
          bytes: out.bytes(),
          start: out.start(),
        });
    };

    const path = request.url.split('?')[0] ?? '/';
    const bucket = path.split('/')[1] ?? '';
    const headers = answerHeaders(corsRules.get(bucket) ?? [], req.headers.origin, req.method ?? 'GET');
    const answerOptions = { resource: path, headers };
    const done = watch(res);
    const refuse = (error: S3ErrorAnswer): void => sendS3Error(req, res, error, answerOptions);

    if (req.method === 'OPTIONS') {
      try {
        await engine.handle(req, res);
      } finally {
        done();
      }
      return;
    }
    try {
      s3 = readS3Request(request);
    } catch (error) {
      if (!(error instanceof MalformedUri)) throw error;
      return refuse({ status: 400, code: 'InvalidURI', message: error.message });
    }
    if (claim) {
      const verified = claim.ok ? verifyClaim(claim, request, verifyContext(parts, 's3')) : claim;
      if (!verified.ok) return refuse(verified);
      source = { caller: verified.credentials.caller, presigned: verified.presigned };
    }
    if (!s3)
      return refuse({
        status: 501,
        code: 'NotImplemented',
        message: 'A header you provided implies functionality that is not implemented',
      });

    let input = req;
    let asked = request.url;
    let deleteKeys: readonly string[] = [];
    if (s3.operation === 'DeleteObjects') {
      const read = await readDelete(source, request, s3, req);
      if ('status' in read) return refuse(read);
      const { body, refused, message } = read;
      if (refused.length > 0) return sendDeleteErrors(req, res, refused, { code: 'AccessDenied', message });
      input = withBody(req, bytesOnce(body));
      asked += body.toString();
      deleteKeys = read.keys;
    } else {
      const refusal = refusalOf(source, request, s3);
      if (refusal) return refuse(refusal);
    }

    const resource = s3.key === '' ? s3.bucket : `${s3.bucket}/${s3.key}`;
    const struck = parts.faults.strike(
      faultTarget(parts, source, { service: 's3', operation: s3.operation, resource }, () => asked),
    );
    const { action } = struck;
    fault = struck.label;
    if (struck.delayMs > 0) await sleep(struck.delayMs);
    if (action?.kind === 'fail')
      return refuse({ status: action.status, code: action.code, message: action.message ?? action.code });
    if (action?.kind === 'late-error') return sendLateError(req, res, action.code, answerOptions);
    if (action?.kind === 'partial') return deletePartly(req, res, deleteKeys, action.code);
    // Of a read, half of the answer is heard; of a write, half of the request.
    const isHalfHeard = action?.when === 'midway' && s3.operation === 'GetObject';
    if (action && !isHalfHeard) {
      if (action.when === 'before') note({ status: 0, bytes: 0, start: '' });
      else {
        const nowhere = detachedResponse(req);
        const doneNowhere = watch(nowhere);
        const heard = action.when === 'midway' ? halfOf(req) : input;
        try {
          await engine.handle(heard, nowhere);
        } finally {
          doneNowhere();
        }
      }
      if (action.kind === 'kill') killCaller(parts, source);
      req.socket.destroy();
      return;
    }
    if (isHalfHeard) cutWithinAnswer(req, res);

    const { caller } = source;
    if ((s3.operation === 'GetObject' || s3.operation === 'HeadObject') && caller.kind !== 'root') {
      const owner = parts.template.byType('AWS::S3::Bucket').find(({ physicalId }) => physicalId === bucket);
      const list = { action: 's3:ListBucket', resource: bucketArn(bucket), ...(owner && { owner }) };
      hideMissing(
        req,
        res,
        () => {
          const refusal = parts.access.refusal(caller, [list]);
          return refusal && denied(refusal.message);
        },
        answerOptions,
      );
    }
    try {
      await engine.handle(input, res);
    } finally {
      done();
    }
  };
};
