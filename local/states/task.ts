/** One try of a Task. */
import { type ContextObject, evaluate } from './data-flow.ts';
import type { State } from './definition.ts';
import { StateError, toJsonWithinLimit } from './errors.ts';
import { truncated } from './history.ts';
import { integrationOf } from './integrations.ts';
import type { Run, Thread } from './runner.ts';
import { interruptible } from './waiting.ts';

/**
 * Calls what the Task's Resource names and gives its result.
 *
 * @param parameters the effective input
 * @throws StateError by Step Functions' names
 */
export async function runTask(
  run: Run,
  name: string,
  state: State,
  parameters: unknown,
  thread: Thread,
  rawInput: unknown,
  context: ContextObject,
): Promise<unknown> {
  const { machine, executionArn, caller, options } = run;
  const resource = state.Resource ?? '';
  const integration = integrationOf(resource, state.Parameters);
  const { TimeoutSecondsPath: path } = state;
  const timeoutInSeconds =
    path === undefined ? state.TimeoutSeconds : Number(await evaluate(path, rawInput, context));
  const input = toJsonWithinLimit(name, parameters, 'input');
  const { scheduled } = integration;
  const type = (what: string) => (scheduled ? `Task${what}` : `LambdaFunction${what}`);
  const about = scheduled ?? {};
  run.record(
    thread,
    type('Scheduled'),
    scheduled
      ? { ...scheduled, region: machine.arn.split(':')[3], parameters: input, timeoutInSeconds }
      : { resource, input, inputDetails: truncated, timeoutInSeconds },
  );
  run.record(thread, type('Started'), about);
  try {
    const work = integration.run(parameters, {
      call: options.call,
      caller,
      executionArn,
      stateMachineArn: machine.arn,
    });
    const result = await interruptible(withTimeout(work, timeoutInSeconds), thread.signal);
    const output = toJsonWithinLimit(name, result, 'result');
    run.record(thread, type('Succeeded'), { ...about, output, outputDetails: truncated });
    return result;
  } catch (error) {
    if (!(error instanceof StateError) || thread.signal.aborted) throw error;
    const { error: errorName, reason: cause } = error;
    const failed = errorName === 'States.Timeout' ? 'TimedOut' : 'Failed';
    run.record(thread, type(failed), { ...about, error: errorName, cause });
    throw error;
  }
}

/** The timeout counts real time, also where the stack's clock is advanced: the work goes at its own pace. */
function withTimeout<T>(work: Promise<T>, seconds: number | undefined): Promise<T> {
  if (seconds === undefined) return work;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new StateError('States.Timeout')), seconds * 1000);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
