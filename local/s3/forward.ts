import { createHash } from 'node:crypto';
import { Agent, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { sign } from '../aws/sigv4.ts';
import { canonicalPath, queryPairs, splitTarget, uriEncode } from '../aws/sigv4-canonical.ts';
import type { BucketOptions } from './bucket.ts';
import type { S3Engine } from './engine.ts';
import { S3Error } from './errors.ts';
import { unframedBody } from './intake.ts';
import { readRequest } from './request.ts';
import { errorDocument, xmlDocument } from './xml.ts';

export interface S3ForwarderOptions {
  /** For example `http://127.0.0.1:8000`. */
  readonly endpoint: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** @default 'us-east-1' */
  readonly region?: string;
}

/** Headers of the hop or of the original signature; the rest goes on as it came. */
const droppedHeaders = new Set([
  'authorization',
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'x-amz-content-sha256',
  'x-amz-date',
  'x-amz-decoded-content-length',
  'x-amz-security-token',
  'x-amz-trailer',
  'x-amz-sdk-checksum-algorithm',
]);
const signatureParameters = new Set([
  'x-amz-algorithm',
  'x-amz-content-sha256',
  'x-amz-credential',
  'x-amz-date',
  'x-amz-expires',
  'x-amz-security-token',
  'x-amz-signature',
  'x-amz-signedheaders',
]);

/**
 * Serves S3 requests by another S3, signing them anew and streaming both ways. Requests
 * arrive authenticated; their own signature and `aws-chunked` framing are taken off.
 */
export function createS3Forwarder(options: S3ForwarderOptions): S3Engine {
  const endpoint = new URL(options.endpoint);
  const agent = new Agent({ keepAlive: true });
  /** Opens a signed request; the path and query are encoded as the signature has them. */
  function open(
    method: string,
    path: string,
    query: readonly (readonly [string, string])[],
    headers: Record<string, string>,
    payloadHash = 'UNSIGNED-PAYLOAD',
  ) {
    const search = query.map(([name, value]) => `${uriEncode(name)}=${uriEncode(value)}`).join('&');
    const url = canonicalPath(path, 's3') + (search === '' ? '' : `?${search}`);
    // Only what S3 demands is signed: other headers may change under way.
    const signed: Record<string, string> = { host: endpoint.host };
    for (const [name, value] of Object.entries(headers)) {
      if (name.startsWith('x-amz-') || name === 'content-md5') signed[name] = value;
    }
    const added = sign(
      { method, url, headers: signed },
      {
        service: 's3',
        region: options.region ?? 'us-east-1',
        // The other S3 lives in real time, wherever the local clock stands.
        now: Date.now(),
        credentials: options,
        payloadHash,
      },
    );
    return httpRequest({
      agent,
      method,
      hostname: endpoint.hostname,
      port: endpoint.port,
      path: url,
      headers: { ...headers, host: endpoint.host, ...added },
    });
  }

  async function forward(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const target = splitTarget(req.url ?? '/');
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(req.headers)) {
      if (!droppedHeaders.has(name) && value !== undefined) headers[name] = String(value);
    }
    const query = queryPairs(target.query).filter(([name, value]) => {
      const lower = name.toLowerCase();
      if (!lower.startsWith('x-amz-')) return true;
      // Not every S3 reads headers that a presigned URL carries in its query.
      if (!signatureParameters.has(lower)) headers[lower] ??= value;
      return false;
    });

    const framed = req.headers['x-amz-content-sha256']?.toString().startsWith('STREAMING-') ?? false;
    const length = framed
      ? req.headers['x-amz-decoded-content-length']?.toString()
      : req.headers['content-length'];
    if (length !== undefined) headers['content-length'] = length;
    if (framed) {
      const encodings = (headers['content-encoding'] ?? '')
        .split(',')
        .map((name) => name.trim())
        .filter((name) => name !== '' && name !== 'aws-chunked');
      if (encodings.length > 0) headers['content-encoding'] = encodings.join(',');
      else delete headers['content-encoding'];
    }
    if (length === undefined && req.method === 'PUT' && headers['x-amz-copy-source'] === undefined) {
      throw req.headers['transfer-encoding'] === undefined
        ? new S3Error('MissingContentLength')
        : new S3Error('NotImplemented', undefined, { Header: 'Transfer-Encoding' });
    }

    // A hash that the sender gave goes on being checked; framed bodies have their checksum in the trailer.
    const declared = req.headers['x-amz-content-sha256']?.toString() ?? '';
    const payloadHash = /^[0-9a-f]{64}$/.test(declared) ? declared : 'UNSIGNED-PAYLOAD';
    const body = framed ? await unframedBody(readRequest(req)) : req;
    const out = open(req.method ?? 'GET', target.path, query, headers, payloadHash);
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      out.once('response', resolve);
      out.once('error', reject);
    });
    // Both are awaited; neither may count as unhandled while the other is.
    answered.catch(() => undefined);
    const sent = pipeline(body, out);
    sent.catch(() => undefined);
    // An engine may refuse before it has read the body: its answer counts, not the pipe that broke.
    const answer = await Promise.race([answered, sent.then(() => answered)]);
    if (answer.statusCode === 404 && req.method === 'GET' && query.some(([name]) => name === 'uploadId')) {
      await throwNotListed(answer);
    }
    res.writeHead(answer.statusCode ?? 502, withoutHop(answer.headers));
    await pipeline(answer, res);
    if (!out.writableEnded) out.destroy();
  }

  async function call(method: string, path: string, query: string, body: string): Promise<number> {
    const headers = {
      'content-length': String(Buffer.byteLength(body)),
      'content-md5': createHash('md5').update(body).digest('base64'),
      ...(body === '' ? {} : { 'content-type': 'application/xml' }),
    };
    const out = open(method, path, query === '' ? [] : [[query, '']], headers);
    return new Promise((resolve, reject) => {
      out.once('error', reject);
      out.once('response', (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.once('error', reject);
        answer.once('end', () => {
          const status = answer.statusCode ?? 0;
          const text = Buffer.concat(chunks).toString();
          if (status < 300 || text.includes('BucketAlreadyOwnedByYou')) resolve(status);
          else reject(new Error(`${method} ${path}?${query} at ${options.endpoint}: ${status} ${text}`));
        });
      });
      out.end(body);
    });
  }

  return {
    async handle(req, res) {
      try {
        await forward(req, res);
      } catch (error) {
        if (req.socket.destroyed || res.destroyed) return;
        if (res.headersSent) {
          res.destroy();
          return;
        }
        const shown = error instanceof S3Error ? error : new S3Error('InternalError');
        if (shown !== error) process.emitWarning(error instanceof Error ? error : String(error));
        const document = errorDocument({ Code: shown.name, Message: shown.message, ...shown.details });
        res.writeHead(shown.status, { 'content-type': 'application/xml' });
        res.end(req.method === 'HEAD' ? undefined : document);
      }
    },

    async createBucket(name, bucket = {}) {
      await call('PUT', `/${name}`, '', '');
      if (bucket.corsRules !== undefined && bucket.corsRules.length > 0) {
        await call('PUT', `/${name}`, 'cors', corsDocument(bucket));
      }
      if (bucket.lifecycle !== undefined && bucket.lifecycle.length > 0) {
        await call('PUT', `/${name}`, 'lifecycle', lifecycleDocument(bucket));
      }
    },

    close: () => agent.destroy(),
  };
}

/**
 * Ceph says NoSuchKey where the upload whose parts are to be listed is unknown. The pipeline tells a finished upload
 * from a faulty one by this code, so it is S3's here: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
 *
 * @throws S3Error NoSuchUpload, or what the other S3 said
 */
async function throwNotListed(answer: IncomingMessage): Promise<never> {
  const text = (await answer.toArray()).join('');
  const code = /<Code>(\w+)<\/Code>/.exec(text)?.[1] ?? 'NoSuchKey';
  throw new S3Error(code === 'NoSuchBucket' ? 'NoSuchBucket' : 'NoSuchUpload');
}

/** The date is left to the front door too: SDK clients set their clocks by it, and the stack's may be ahead. */
const withoutHop = (headers: IncomingMessage['headers']): IncomingMessage['headers'] => {
  const {
    connection: _connection,
    'keep-alive': _keepAlive,
    'transfer-encoding': _encoding,
    date: _date,
    ...rest
  } = headers;
  return rest;
};

const corsDocument = (bucket: BucketOptions): string =>
  xmlDocument('CORSConfiguration', {
    CORSRule: (bucket.corsRules ?? []).map((rule) => ({
      ID: rule.id,
      AllowedOrigin: rule.allowedOrigins,
      AllowedMethod: rule.allowedMethods,
      AllowedHeader: rule.allowedHeaders,
      ExposeHeader: rule.exposedHeaders,
      MaxAgeSeconds: rule.maxAge,
    })),
  });

const lifecycleDocument = (bucket: BucketOptions): string =>
  xmlDocument('LifecycleConfiguration', {
    Rule: (bucket.lifecycle ?? []).map((rule) => ({
      ID: rule.id,
      Filter: { Prefix: rule.prefix ?? '' },
      Status: rule.enabled === false ? 'Disabled' : 'Enabled',
      Expiration: rule.expirationDays === undefined ? undefined : { Days: rule.expirationDays },
      AbortIncompleteMultipartUpload:
        rule.abortIncompleteMultipartUploadDays === undefined
          ? undefined
          : { DaysAfterInitiation: rule.abortIncompleteMultipartUploadDays },
    })),
  });
