/** S3 calls of the state machine's own integrations: real signed requests to the stack's endpoint. */
import * as s3 from '@aws-sdk/client-s3';
import type { Caller, JsonAnswer } from '../types.ts';
import type { Credentials } from './credentials.ts';
import { errorAnswer } from './json-face.ts';

type Command = ConstructorParameters<typeof s3.PutObjectCommand>;
type CommandClass = new (input: Command[0]) => s3.PutObjectCommand;

const commands = s3 as unknown as Readonly<Record<string, CommandClass | undefined>>;

export type CallS3 = (
  operation: string,
  input: Record<string, unknown>,
  caller: Caller,
) => Promise<JsonAnswer>;

/** Errors of the service come back as `{__type, message}`; a cut connection as 503 ServiceUnavailable. */
export const createS3Caller = (options: {
  readonly endpoint: () => string;
  readonly region: string;
  readonly credentials: Credentials;
  readonly now: () => number;
}): { call: CallS3; close(): void } => {
  const clients = new Map<string, s3.S3Client>();
  const close = () => {
    for (const client of clients.values()) client.destroy();
    clients.clear();
  };
  const clientFor = (caller: Caller): s3.S3Client => {
    const name = JSON.stringify(caller);
    const known = clients.get(name);
    if (known) return known;
    // One for each execution; the old ones go before they are many.
    if (clients.size >= 50) close();
    const client = new s3.S3Client({
      endpoint: options.endpoint(),
      region: options.region,
      forcePathStyle: true,
      credentials: caller.kind === 'root' ? options.credentials.root : options.credentials.issue(caller),
      // Retries are the state machine's: a second try here would hide a fault from it.
      maxAttempts: 1,
      requestChecksumCalculation: 'WHEN_REQUIRED',
      systemClockOffset: options.now() - Date.now(),
    });
    clients.set(name, client);
    return client;
  };
  return {
    close,
    async call(operation, input, caller) {
      const Command = commands[`${operation}Command`];
      if (!Command) return errorAnswer('UnknownOperationException', `S3 has no ${operation}`);
      const client = clientFor(caller);
      // The stack's clock may have been advanced since the client was made.
      client.config.systemClockOffset = options.now() - Date.now();
      try {
        const { $metadata, ...output } = await client.send(new Command(input as unknown as Command[0]));
        const body: Record<string, unknown> = { ...output };
        const stream = body['Body'] as { transformToString?: () => Promise<string> } | undefined;
        if (stream?.transformToString) body['Body'] = await stream.transformToString();
        // Dates and the like become text, as between states.
        return {
          status: $metadata.httpStatusCode ?? 200,
          body: JSON.parse(JSON.stringify(body)) as Record<string, unknown>,
        };
      } catch (error) {
        if (error instanceof s3.S3ServiceException)
          return errorAnswer(error.name, error.message, error.$metadata.httpStatusCode ?? 500);
        return errorAnswer('ServiceUnavailable', (error as Error).message, 503);
      }
    },
  };
};
