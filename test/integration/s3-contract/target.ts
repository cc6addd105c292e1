import { createHash, randomBytes } from 'node:crypto';
import { Agent, request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { S3Client } from '@aws-sdk/client-s3';
import { sign } from '../../../local/aws/sigv4.ts';
import { uriEncode } from '../../../local/aws/sigv4-canonical.ts';
import type { BucketOptions } from '../../../local/s3/bucket.ts';

/** The options of the bucket that the cases run in; CORS cases count on them. */
export const contractBucket: BucketOptions = {
  corsRules: [
    {
      allowedOrigins: ['https://app.example', 'https://*.apps.example'],
      allowedMethods: ['GET', 'PUT'],
      allowedHeaders: ['content-type', 'x-amz-*'],
      exposedHeaders: ['ETag'],
      maxAge: 3000,
    },
  ],
};

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface RawRequest {
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer | string;
  /** What `x-amz-content-sha256` says. @default 'UNSIGNED-PAYLOAD' */
  readonly payloadHash?: string;
}

export interface RawAnswer {
  readonly status: number;
  /** The error document's code; empty where there is none. */
  readonly code: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Buffer;
  readonly text: string;
}

/** An S3 under test, with a bucket of {@link contractBucket}'s options and one without any. */
export interface Target {
  readonly name: string;
  readonly endpoint: URL;
  readonly region: string;
  readonly credentials: Credentials;
  readonly bucket: string;
  readonly plainBucket: string;
  readonly client: S3Client;
  /** Sends a signed request for a key of the bucket; `''` is the bucket itself. */
  send(method: string, key: string, request?: RawRequest): Promise<RawAnswer>;
  /** Sends a request as given: path and query still encoded, headers unsigned. */
  sendAsIs(method: string, url: string, headers?: Record<string, string>, body?: Buffer): Promise<RawAnswer>;
  /** The URL and headers of a signed request. */
  signed(method: string, key: string, request?: RawRequest): { url: string; headers: Record<string, string> };
  /**
   * Writes a signed request to a socket byte by byte: for what an HTTP client would not send. Headers are sent as
   * given (nothing is added but the signature's); the socket is closed after the bytes if `cut` says so.
   */
  sendBytes(
    method: string,
    key: string,
    request: RawRequest & { readonly bytes: Buffer; readonly cut?: boolean },
  ): Promise<RawAnswer>;
  close(): void;
}

export function createTarget(options: {
  readonly name: string;
  readonly endpoint: string;
  readonly credentials: Credentials;
  readonly bucket: string;
  readonly plainBucket: string;
  readonly region?: string;
}): Target {
  const endpoint = new URL(options.endpoint);
  const region = options.region ?? 'us-east-1';
  const agent = new Agent({ keepAlive: true });
  const client = new S3Client({
    endpoint: options.endpoint,
    region,
    credentials: options.credentials,
    forcePathStyle: true,
    maxAttempts: 1,
    // Ceph 16.2 knows no checksum trailers.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });

  const pathOf = (bucketAndKey: string): string =>
    `/${bucketAndKey}`
      .split('/')
      .map((segment) => uriEncode(segment))
      .join('/');

  const signed: Target['signed'] = (method, key, request = {}) => {
    const query = Object.entries(request.query ?? {})
      .map(([name, value]) => `${uriEncode(name)}=${uriEncode(value)}`)
      .join('&');
    const path = key.startsWith('/') ? pathOf(key.slice(1)) : pathOf(`${options.bucket}/${key}`);
    const url = query === '' ? path : `${path}?${query}`;
    const headers: Record<string, string> = { ...request.headers, host: endpoint.host };
    const added = sign(
      { method, url, headers },
      {
        service: 's3',
        region,
        now: Date.now(),
        credentials: options.credentials,
        payloadHash: request.payloadHash ?? 'UNSIGNED-PAYLOAD',
      },
    );
    return { url, headers: { ...headers, ...added } };
  };

  const sendAsIs: Target['sendAsIs'] = (method, url, headers = {}, body) =>
    new Promise((resolve, reject) => {
      const request = httpRequest(
        {
          agent,
          method,
          hostname: endpoint.hostname,
          port: endpoint.port,
          path: url,
          headers: {
            ...(body === undefined ? {} : { 'content-length': String(body.length) }),
            host: endpoint.host,
            ...headers,
          },
        },
        (answer) => {
          const chunks: Buffer[] = [];
          answer.on('data', (chunk: Buffer) => chunks.push(chunk));
          answer.once('error', reject);
          answer.once('end', () =>
            resolve(
              rawAnswer(
                answer.statusCode ?? 0,
                answer.headers as Record<string, string>,
                Buffer.concat(chunks),
              ),
            ),
          );
        },
      );
      request.once('error', reject);
      request.end(body);
    });

  return {
    ...options,
    endpoint,
    region,
    client,
    signed,
    sendAsIs,
    send(method, key, request = {}) {
      const { url, headers } = signed(method, key, request);
      const body =
        request.body === undefined && method !== 'PUT' && method !== 'POST'
          ? undefined
          : Buffer.from(request.body ?? '');
      return sendAsIs(method, url, headers, body);
    },
    sendBytes(method, key, request) {
      const { url, headers } = signed(method, key, request);
      const head = [`${method} ${url} HTTP/1.1`, ...Object.entries(headers).map(([n, v]) => `${n}: ${v}`)];
      return new Promise((resolve, reject) => {
        const socket = connect(Number(endpoint.port), endpoint.hostname);
        const chunks: Buffer[] = [];
        const finish = (): void => {
          socket.destroy();
          resolve(parseAnswer(Buffer.concat(chunks)));
        };
        socket.once('error', reject);
        socket.on('data', (chunk: Buffer) => {
          chunks.push(chunk);
          const answer = Buffer.concat(chunks).toString('latin1');
          const [answerHead = '', answerBody = ''] = answer.split('\r\n\r\n', 2);
          const length = /content-length: *(\d+)/i.exec(answerHead)?.[1];
          if (answer.includes('\r\n\r\n') && length !== undefined && answerBody.length >= Number(length))
            finish();
        });
        socket.once('close', finish);
        socket.write(`${head.join('\r\n')}\r\n\r\n`);
        socket.write(request.bytes, () => {
          // Long enough for the bytes to arrive before the connection goes.
          if (request.cut === true) setTimeout(() => socket.destroy(), 200);
        });
      });
    },
    close() {
      agent.destroy();
      client.destroy();
    },
  };
}

function parseAnswer(bytes: Buffer): RawAnswer {
  const end = bytes.indexOf('\r\n\r\n');
  if (end === -1) return rawAnswer(0, {}, Buffer.alloc(0));
  const [statusLine = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n');
  const headers = Object.fromEntries(
    lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  return rawAnswer(Number(statusLine.split(' ')[1]), headers, bytes.subarray(end + 4));
}

function rawAnswer(status: number, headers: Record<string, string>, body: Buffer): RawAnswer {
  const text = status >= 400 || body.length < 1_000_000 ? body.toString() : '';
  const code = status >= 300 ? (/<Code>([^<]*)<\/Code>/.exec(text)?.[1] ?? '') : '';
  return { status, code, headers, body, text };
}

export const md5 = (bytes: Buffer | string): string => createHash('md5').update(bytes).digest('hex');
export const md5Base64 = (bytes: Buffer | string): string => createHash('md5').update(bytes).digest('base64');
export const unique = (): string => randomBytes(6).toString('hex');

/** The text of the first element of that name. */
export const element = (text: string, name: string): string | undefined =>
  new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1]?.replaceAll('&quot;', '"');

/** The texts of all elements of that name. */
export const elements = (text: string, name: string): string[] =>
  [...text.matchAll(new RegExp(`<${name}>([^<]*)</${name}>`, 'g'))].map((match) => match[1] ?? '');
