/** A DynamoDB engine behind another endpoint, such as DynamoDB Local. */
import { Agent, request } from 'node:http';
import { sha256Hex, sign } from './aws/sigv4.ts';
import type { JsonAnswer, JsonEngine } from './types.ts';

/** DynamoDB Local keeps a database for each key and region, and takes any secret. */
const credentials = { accessKeyId: 'local', secretAccessKey: 'local' };

export const createRemoteDynamoDb = (options: {
  readonly endpoint: string;
  readonly region: string;
}): { readonly call: JsonEngine; close(): Promise<void> } => {
  const url = new URL(options.endpoint);
  if (url.protocol !== 'http:') throw new Error(`The DynamoDB endpoint ${options.endpoint} is not http://…`);
  const agent = new Agent({ keepAlive: true });
  const call: JsonEngine = (operation, input) =>
    new Promise<JsonAnswer>((resolve, reject) => {
      const body = JSON.stringify(input);
      const headers = {
        host: url.host,
        'content-type': 'application/x-amz-json-1.0',
        'x-amz-target': `DynamoDB_20120810.${operation}`,
      };
      const signed = sign(
        { method: 'POST', url: '/', headers },
        {
          service: 'dynamodb',
          region: options.region,
          now: Date.now(),
          credentials,
          payloadHash: sha256Hex(body),
        },
      );
      const sent = request(
        {
          agent,
          method: 'POST',
          host: url.hostname,
          port: url.port,
          path: '/',
          headers: { ...headers, ...signed, 'content-length': Buffer.byteLength(body) },
        },
        (res) => {
          const chunks: Buffer[] = [];
          res.on('data', (chunk: Buffer) => chunks.push(chunk));
          res.on('error', reject);
          res.on('end', () => {
            try {
              const answer = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>;
              resolve({ status: res.statusCode ?? 500, body: answer });
            } catch (error) {
              reject(new Error(`DynamoDB at ${options.endpoint} did not answer with JSON`, { cause: error }));
            }
          });
        },
      );
      sent.on('error', reject);
      sent.end(body);
    });
  return {
    call,
    close: () => {
      agent.destroy();
      return Promise.resolve();
    },
  };
};
