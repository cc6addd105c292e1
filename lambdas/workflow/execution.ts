import { ExecutionAlreadyExists, type SFNClient, StartExecutionCommand } from '@aws-sdk/client-sfn';
import { executionNameOf, type UploadRecord } from '../upload/record.ts';
import { InvalidExecutionInput } from './errors.ts';

/** An execution's input. Small, and always the same for the same run: a repeated start must be byte-identical. */
export interface ExecutionInput {
  readonly owner: string;
  readonly uploadId: string;
  readonly attempt: string;
  readonly run: number;
}

/**
 * @param value an execution's input as it came: somebody may have started one by hand in the console
 * @throws InvalidExecutionInput
 */
export function readExecutionInput(value: unknown): ExecutionInput {
  const { owner, uploadId, attempt, run } = (value ?? {}) as Partial<Record<keyof ExecutionInput, unknown>>;
  if (typeof owner !== 'string' || typeof uploadId !== 'string' || typeof attempt !== 'string')
    throw new InvalidExecutionInput('The input is no upload: {"owner", "uploadId", "attempt", "run"}.');
  if (typeof run !== 'number') throw new InvalidExecutionInput('The input names no run.');
  return { owner, uploadId, attempt, run };
}

export interface StateMachine {
  readonly client: SFNClient;
  readonly stateMachineArn: string;
}

export const executionInput = ({ owner, uploadId, attempt, run }: UploadRecord): string =>
  JSON.stringify({ owner, uploadId, attempt, run } satisfies ExecutionInput);

/**
 * Starts the execution that completes this run of the upload. Step Functions takes a name once, so however often and
 * from wherever this is called, there is one.
 *
 * @returns false when that execution has ended already
 */
export async function startExecution(
  { client, stateMachineArn }: StateMachine,
  upload: UploadRecord,
): Promise<boolean> {
  try {
    await client.send(
      new StartExecutionCommand({
        stateMachineArn,
        name: executionNameOf(upload),
        input: executionInput(upload),
      }),
    );
    return true;
  } catch (error) {
    if (error instanceof ExecutionAlreadyExists) return false;
    throw error;
  }
}

/** An execution's ARN by its name: the state machine's, with two words changed. */
export const executionArn = (stateMachineArn: string, name: string): string =>
  `${stateMachineArn.replace(':stateMachine:', ':execution:')}:${name}`;
