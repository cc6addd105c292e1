import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { pipeline } from 'node:stream/promises';

export interface Answer {
  /** 0 where there was none. */
  readonly status: number;
  readonly body: string;
  readonly headers: IncomingMessage['headers'];
}

export interface SendOptions {
  readonly method: 'PUT' | 'POST';
  readonly url: URL;
  readonly headers: Record<string, string>;
  readonly body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
  readonly length: number;
  readonly signal: AbortSignal;
  /** Told how many more bytes have been handed to the network. */
  readonly onBytes: (bytes: number) => void;
}

/** A connection on which nothing has moved for so long is dead. */
const IDLE_MS = 60_000;

const agents = { 'http:': new HttpAgent({ keepAlive: true }), 'https:': new HttpsAgent({ keepAlive: true }) };

/**
 * Sends a body of known length as a stream. `fetch` can do either, not both: a streamed body goes without
 * Content-Length, which S3 refuses, and tells nothing of its progress.
 *
 * @throws what reading the body throws, or the signal's reason; a failed connection is an answer of status 0
 */
export async function sendBytes(options: SendOptions): Promise<Answer> {
  const { url, signal, onBytes } = options;
  signal.throwIfAborted();
  const secure = url.protocol === 'https:';
  const request = (secure ? httpsRequest : httpRequest)(url, {
    method: options.method,
    headers: { ...options.headers, 'content-length': options.length },
    agent: agents[secure ? 'https:' : 'http:'],
    signal,
    timeout: IDLE_MS,
  });
  request.on('timeout', () => request.destroy(new Error('The connection stands still.')));
  const answered = readAnswer(request);

  let readError: unknown;
  async function* counted() {
    try {
      for await (const bytes of options.body) {
        yield bytes;
        onBytes(bytes.length);
      }
    } catch (error) {
      readError = error;
      throw error;
    }
  }
  // A server may answer before it has read everything, and close: then the answer counts, not the broken pipe.
  const [answer] = await Promise.all([answered, pipeline(counted, request).catch(() => undefined)]);
  if (readError) throw readError;
  signal.throwIfAborted();
  return answer;
}

function readAnswer(request: ReturnType<typeof httpRequest>): Promise<Answer> {
  const none: Answer = { status: 0, body: '', headers: {} };
  return new Promise((resolve) => {
    let answered = false;
    request.on('error', () => answered || resolve(none));
    request.on('close', () => answered || resolve(none));
    request.on('response', (response) => {
      answered = true; // From here on the answer tells whether it is whole.
      response.setEncoding('utf8');
      response
        .toArray()
        .then((texts) =>
          resolve({ status: response.statusCode ?? 0, body: texts.join(''), headers: response.headers }),
        )
        .catch(() => resolve(none));
    });
  });
}
