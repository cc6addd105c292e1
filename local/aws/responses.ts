/** What the AWS endpoint puts on the wire: S3's error documents, the JSON services' errors, stand-in responses. */
import { randomUUID } from 'node:crypto';
import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Writable } from 'node:stream';
import { crc32 } from 'node:zlib';

export interface S3ErrorAnswer {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  /** Further elements. */
  readonly details?: Readonly<Record<string, string>>;
}

export const escapeXml = (text: string): string =>
  text.replace(
    /[&<>"']/g,
    (character) =>
      ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;' })[character] as string,
  );

const xmlHeader = '<?xml version="1.0" encoding="UTF-8"?>\n';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#RESTErrorResponses */
export const s3ErrorXml = (error: Omit<S3ErrorAnswer, 'status'>, resource: string): string => {
  const elements = Object.entries({
    Code: error.code,
    Message: error.message,
    Resource: resource,
    ...error.details,
    RequestId: randomUUID(),
  });
  return `<Error>${elements.map(([name, value]) => `<${name}>${escapeXml(value)}</${name}>`).join('')}</Error>`;
};

/** Answers with S3's error document, and lets what is left of the request's body pass. */
export const sendS3Error = (
  req: IncomingMessage,
  res: ServerResponse,
  error: S3ErrorAnswer,
  options: { readonly resource: string; readonly headers: Readonly<Record<string, string>> },
): void => {
  req.resume();
  const body = Buffer.from(xmlHeader + s3ErrorXml(error, options.resource));
  res.writeHead(error.status, {
    ...options.headers,
    'content-type': 'application/xml',
    'content-length': body.length,
    'x-amz-request-id': randomUUID(),
  });
  res.end(req.method === 'HEAD' ? undefined : body);
};

/** DeleteObjects' answer where keys stay: S3 says so key by key, with 200. */
export const sendDeleteErrors = (
  req: IncomingMessage,
  res: ServerResponse,
  keys: readonly string[],
  { code, message }: { readonly code: string; readonly message: string },
  deleted: readonly string[] = [],
): void => {
  req.resume();
  const elements = [
    ...deleted.map((key) => `<Deleted><Key>${escapeXml(key)}</Key></Deleted>`),
    ...keys.map(
      (key) =>
        `<Error><Key>${escapeXml(key)}</Key><Code>${code}</Code><Message>${escapeXml(message)}</Message></Error>`,
    ),
  ];
  res.writeHead(200, { 'content-type': 'application/xml' });
  res.end(
    `${xmlHeader}<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${elements.join('')}</DeleteResult>`,
  );
};

/** CompleteMultipartUpload that fails late: 200, white space to keep the connection, then the error. */
export const sendLateError = async (
  req: IncomingMessage,
  res: ServerResponse,
  code: string,
  options: { readonly resource: string; readonly headers: Readonly<Record<string, string>> },
): Promise<void> => {
  req.resume();
  res.writeHead(200, {
    ...options.headers,
    'content-type': 'application/xml',
    'x-amz-request-id': randomUUID(),
  });
  res.write(xmlHeader);
  for (let space = 0; space < 3; space += 1) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    res.write(' ');
  }
  const message = 'We encountered an internal error. Please try again.';
  res.end(s3ErrorXml({ code, message }, options.resource));
};

/** DynamoDB and Step Functions speak 1.0, EventBridge 1.1; Lambda speaks REST. */
const contentTypes: Readonly<Record<string, string>> = {
  dynamodb: 'application/x-amz-json-1.0',
  states: 'application/x-amz-json-1.0',
  events: 'application/x-amz-json-1.1',
  lambda: 'application/json',
};

/** `text` is the body, JSON already. */
export const sendJson = (
  res: ServerResponse,
  service: string,
  status: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): void => {
  const body = Buffer.from(text);
  res.writeHead(status, {
    'content-type': contentTypes[service] ?? 'application/json',
    'content-length': body.length,
    'x-amzn-requestid': randomUUID(),
    ...(service === 'dynamodb' && { 'x-amz-crc32': String(crc32(body)) }),
    ...headers,
  });
  res.end(body);
};

/** A response that goes nowhere: the engine works to its end and the caller gets no byte of it. */
export const detachedResponse = (req: IncomingMessage): ServerResponse => {
  const res = new ServerResponse(req);
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  res.assignSocket(nowhere as Socket);
  // A server's own sockets do this; without it, an answer larger than a buffer would wait for ever.
  nowhere.on('drain', () => res.emit('drain'));
  return res;
};

/** Lets half of an answer's body out, and then the connection go. */
export const cutWithinAnswer = (req: IncomingMessage, res: ServerResponse): void => {
  const cut = () => req.socket.destroy();
  type Write = (chunk: unknown, flushed: () => void) => boolean;
  const write = res.write.bind(res) as Write;
  let left: number | undefined;
  /** Whether the engine may go on writing at once. */
  const pass = (chunk: unknown): boolean => {
    if (left !== undefined && left <= 0) return true;
    const bytes = Buffer.from(chunk as Uint8Array);
    left ??= Math.floor(Number(res.getHeader('content-length') ?? bytes.length) / 2);
    const half = bytes.subarray(0, left);
    left -= half.length;
    // Cut when the bytes are on their way: they are not lost with the connection.
    return write(half, left <= 0 ? cut : () => {});
  };
  res.write = ((chunk: unknown) => pass(chunk)) as typeof res.write;
  res.end = ((chunk: unknown) => {
    if (typeof chunk === 'string' || chunk instanceof Uint8Array) pass(chunk);
    // An answer without a body has no middle.
    if (left === undefined) cut();
    return res;
  }) as typeof res.end;
};

/** Counts a request's body as it arrives. Must be called before the first turn of the event loop. */
export const countIn = (req: IncomingMessage): (() => number) => {
  let bytes = 0;
  const push = req.push.bind(req);
  // Node's parser hands the body over by push(); a data listener would set the stream flowing too early.
  req.push = (chunk: unknown, encoding?: BufferEncoding) => {
    if (chunk instanceof Uint8Array) bytes += chunk.length;
    return push(chunk, encoding);
  };
  return () => bytes;
};

/** Watches a response's body without holding it up; `onEnd` runs just before the last byte leaves. */
export const watchOut = (
  res: ServerResponse,
  onEnd: () => void,
): { readonly bytes: () => number; readonly start: () => string } => {
  let bytes = 0;
  let start = '';
  const see = (chunk: unknown): void => {
    if (typeof chunk !== 'string' && !(chunk instanceof Uint8Array)) return;
    bytes += typeof chunk === 'string' ? Buffer.byteLength(chunk) : chunk.length;
    // Enough to find an error's code in it.
    if (start.length < 400 && !(res.statusCode < 400 && bytes > 4096)) start += String(chunk).slice(0, 400);
  };
  type Write = (chunk: unknown, ...rest: unknown[]) => boolean;
  type End = (...args: unknown[]) => ServerResponse;
  const write = res.write.bind(res) as Write;
  const end = res.end.bind(res) as End;
  res.write = ((chunk: unknown, ...rest: unknown[]) => {
    see(chunk);
    return write(chunk, ...rest);
  }) as typeof res.write;
  res.end = ((...args: unknown[]) => {
    see(args[0]);
    onEnd();
    return end(...args);
  }) as typeof res.end;
  return { bytes: () => bytes, start: () => start };
};
