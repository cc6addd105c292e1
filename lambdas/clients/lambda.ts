import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';

const client = new LambdaClient({ maxAttempts: 2 });

/** For all of it, the second try included: API Gateway waits 30 s. */
const LONGEST_MS = 10_000;

/**
 * Runs a function and waits for its answer.
 *
 * @returns its answer, as JSON text
 * @throws Error where the function failed or did not answer within 10 seconds
 */
export async function invokeFunction(functionName: string, payload: unknown): Promise<string> {
  const { FunctionError, Payload } = await client.send(
    new InvokeCommand({ FunctionName: functionName, Payload: JSON.stringify(payload) }),
    { abortSignal: AbortSignal.timeout(LONGEST_MS) },
  );
  if (FunctionError) throw new Error(`The function that was asked failed: ${FunctionError}.`);
  return Buffer.from(Payload ?? []).toString('utf8');
}
