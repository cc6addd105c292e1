/** DynamoDB, Step Functions, EventBridge and Lambda: permission, faults, engine, log. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { AwsCall, JsonAnswer, JsonEngine } from '../types.ts';
import { AwsError } from '../types.ts';
import { meter } from './dynamodb-units.ts';
import { type JsonService, jsonSubject } from './json-needs.ts';
import { performPartly } from './partial.ts';
import { type CallSource, type FrontDoorParts, faultTarget, killCaller, sourceFields } from './parts.ts';

/** `silence`: the caller must not hear anything, its connection goes. */
export type Performed =
  | { readonly kind: 'answer'; readonly answer: JsonAnswer; readonly text: string }
  | { readonly kind: 'silence' };

export interface JsonCall {
  readonly service: JsonService;
  readonly operation: string;
  readonly input: Record<string, unknown>;
  readonly source: CallSource;
  readonly bytesIn: number;
}

export type Perform = (call: JsonCall) => Promise<Performed>;

export const errorAnswer = (code: string, message: string, status = 400): JsonAnswer => ({
  status,
  body: { __type: code, message },
});

/** The error's bare name: `com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException` → the last part. */
const codeOf = ({ status, body }: JsonAnswer): string | undefined =>
  status >= 400
    ? String(body['__type'] ?? '')
        .split('#')
        .at(-1)
    : undefined;

export const createPerform = (
  parts: FrontDoorParts,
  engines: Readonly<Record<JsonService, JsonEngine>>,
): Perform => {
  /** @param partialCode what the answer says of what is left undone, where that is asked for */
  const run = async (
    { service, operation, input, source }: JsonCall,
    partialCode: string | undefined,
  ): Promise<JsonAnswer> => {
    const ask = async (asked: Record<string, unknown>) =>
      await engines[service](operation, asked, source.caller);
    try {
      return partialCode === undefined
        ? await ask(input)
        : await performPartly(operation, input, partialCode, ask);
    } catch (error) {
      if (error instanceof AwsError) return errorAnswer(error.name, error.message, error.status);
      parts.log(`${service} ${operation}: ${(error as Error).stack ?? String(error)}`);
      return errorAnswer('InternalFailure', (error as Error).message, 500);
    }
  };

  return async (call) => {
    const { service, operation, input, source } = call;
    const started = performance.now();
    const at = parts.clock.now();
    const subject = jsonSubject(parts.template, service, operation, input);
    const note = (answer: JsonAnswer, more: Partial<AwsCall>): string => {
      const text = JSON.stringify(answer.body);
      const errorCode = codeOf(answer);
      parts.calls.add({
        at,
        service,
        operation,
        ...sourceFields(parts, source),
        resource: subject.resource,
        status: answer.status,
        ...(errorCode !== undefined && { errorCode }),
        bytesIn: call.bytesIn,
        bytesOut: Buffer.byteLength(text),
        durationMs: performance.now() - started,
        ...more,
      });
      return text;
    };
    const finish = (answer: JsonAnswer, more: Partial<AwsCall> = {}): Performed => ({
      kind: 'answer',
      answer,
      text: note(answer, more),
    });

    let refusal: ReturnType<FrontDoorParts['access']['refusal']>;
    try {
      refusal = parts.access.refusal(source.caller, subject.needs);
    } catch (error) {
      parts.log(`${service} ${operation}: ${(error as Error).stack ?? String(error)}`);
      return finish(errorAnswer('InternalFailure', (error as Error).message, 500));
    }
    if (refusal)
      return finish(errorAnswer('AccessDeniedException', refusal.message, service === 'lambda' ? 403 : 400));

    const { delayMs, action, label } = parts.faults.strike(
      faultTarget(parts, source, { ...call, ...subject }, () => JSON.stringify(input)),
    );
    const fault = label === undefined ? {} : { fault: label };
    if (delayMs > 0) await sleep(delayMs);
    if (action?.kind === 'fail')
      return finish(errorAnswer(action.code, action.message ?? action.code, action.status), fault);
    if ((action?.kind === 'kill' || action?.kind === 'cut') && action.when === 'before') {
      note({ status: 0, body: {} }, { ...fault, bytesOut: 0 });
      if (action.kind === 'kill') killCaller(parts, source);
      return { kind: 'silence' };
    }

    const raw = await run(call, action?.kind === 'partial' ? action.code : undefined);
    const { answer, ...units } =
      service === 'dynamodb' ? meter(operation, input['ReturnConsumedCapacity'], raw) : { answer: raw };
    if (action?.kind === 'kill' || action?.kind === 'cut') {
      note(answer, { ...fault, ...units });
      if (action.kind === 'kill') killCaller(parts, source);
      return { kind: 'silence' };
    }
    return finish(answer, { ...fault, ...units });
  };
};
