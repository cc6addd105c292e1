/** What the faces of the front door share. */
import type { AwsCall, Caller, Clock, FunctionPool, LocalTemplate } from '../types.ts';
import type { Access } from './access.ts';
import type { CallLog } from './calls.ts';
import type { Credentials, FoundCredentials } from './credentials.ts';
import type { Faults, Target } from './faults.ts';
import type { VerifyContext } from './sigv4.ts';

export interface FrontDoorParts {
  readonly template: LocalTemplate;
  readonly credentials: Credentials;
  readonly clock: Clock;
  readonly pool: Pick<FunctionPool, 'invoke' | 'invokeAsync' | 'kill' | 'shortName'>;
  readonly access: Access;
  readonly faults: Faults;
  readonly calls: CallLog;
  /** For what must not happen: engines that break, policies that cannot be judged. */
  readonly log: (line: string) => void;
}

/** Who a call comes from: the holder of a presigned URL acts with the signer's rights, but is not the signer. */
export interface CallSource {
  readonly caller: Caller;
  readonly presigned: boolean;
}

export const verifyContext = (
  parts: FrontDoorParts,
  service: string,
  payloadHash?: string,
): VerifyContext<FoundCredentials> => ({
  region: parts.template.region,
  service,
  now: parts.clock.now(),
  lookup: (accessKeyId, sessionToken) => parts.credentials.find(accessKeyId, sessionToken),
  ...(payloadHash !== undefined && { payloadHash }),
});

/** The worker thread that makes the call, if one does. */
export const workerOf = ({ caller, presigned }: CallSource): number | undefined =>
  caller.kind === 'role' && !presigned ? caller.workerId : undefined;

const functionNameOf = (parts: FrontDoorParts, { caller, presigned }: CallSource): string | undefined =>
  caller.kind === 'role' && caller.functionName !== undefined && !presigned
    ? parts.pool.shortName(caller.functionName)
    : undefined;

const callerName = (parts: FrontDoorParts, source: CallSource): string | undefined => {
  const { caller, presigned } = source;
  if (presigned || caller.kind === 'root' || caller.kind === 'anonymous') return 'client';
  if (caller.kind === 'service') return undefined;
  return functionNameOf(parts, source) ?? (caller.executionArn === undefined ? undefined : 'workflow');
};

export const faultTarget = (
  parts: FrontDoorParts,
  source: CallSource,
  call: Pick<AwsCall, 'service' | 'operation' | 'resource'>,
  input: () => string,
): Target => ({
  service: call.service,
  operation: call.operation,
  resource: call.resource,
  caller: callerName(parts, source),
  killable: workerOf(source) !== undefined,
  input,
});

/** The call log's words on who called. */
export const sourceFields = (
  parts: FrontDoorParts,
  source: CallSource,
): Pick<AwsCall, 'caller' | 'presigned' | 'functionName'> => {
  const functionName = functionNameOf(parts, source);
  return {
    caller: source.caller,
    presigned: source.presigned,
    ...(functionName !== undefined && { functionName }),
  };
};

/** Ends the worker thread that made the call, as its machine would die. */
export const killCaller = (parts: FrontDoorParts, source: CallSource): void => {
  const workerId = workerOf(source);
  if (workerId !== undefined) parts.pool.kill(workerId);
};
