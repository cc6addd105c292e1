/**
 * What a state does to its data, by `aws-local-stepfunctions`: JSONPath, intrinsic functions, payload templates,
 * ResultSelector, ResultPath, OutputPath and choice rules.
 *
 * The library is given one state at a time rather than the whole machine, because run whole (3.0.0) it
 * - keeps everything in memory, so an execution could not go on at the state where a crash left it;
 * - calls task handlers without telling which Map iteration or try they belong to, so that a history as AWS keeps it
 *   could not be written, nor `$$.State`, nor `$$.Map.Item` inside an ItemProcessor be resolved;
 * - replaces `$$.Execution.Input` and `StartTime` by the iteration's own;
 * - finds nothing at "$" where the whole is 0, false, null or "", nor the Result of a Pass state that is;
 * - ends any task after 60 s, where a Task without TimeoutSeconds has 99,999,999 s on AWS, and compares a retry's
 *   error with `States.ALL` even where it is `States.DataLimitExceeded`.
 * Order, retries, timeouts and Maps are therefore ours (runner.ts), and each state's data flow is the library's.
 */
import { ExecutionError, StateMachine, type StateMachineDefinition } from 'aws-local-stepfunctions';
import { isPathKey, type State } from './definition.ts';
import { StateError, Stopped } from './errors.ts';

/** The context object, `$$`. https://docs.aws.amazon.com/step-functions/latest/dg/input-output-contextobject.html */
export interface ContextObject {
  readonly Execution: {
    readonly Id: string;
    readonly Name: string;
    readonly Input: unknown;
    readonly RoleArn: string;
    readonly StartTime: string;
    readonly RedriveCount: number;
    readonly RedriveTime?: string;
  };
  readonly StateMachine: { readonly Id: string; readonly Name: string };
  readonly State: { readonly Name: string; readonly EnteredTime: string; readonly RetryCount: number };
  readonly Map?: { readonly Item: { readonly Index: number; readonly Value: unknown } };
}

type DataFlow = Pick<State, 'InputPath' | 'Parameters' | 'ResultSelector' | 'ResultPath' | 'OutputPath'>;

/** The longest that a timer can run (2^31 - 1 ms), in seconds: the library must never end a task, we do. */
const NO_TIMEOUT_SECONDS = 2_147_483;

/**
 * Runs `work` with a state's effective input (InputPath, Parameters) and gives the state's output (ResultSelector,
 * ResultPath, OutputPath).
 *
 * @throws StateError, from `work` or `States.Runtime` and the like for paths that lead nowhere
 */
export async function throughState(
  state: DataFlow,
  input: unknown,
  context: ContextObject,
  work: (effectiveInput: unknown) => Promise<unknown>,
): Promise<unknown> {
  const { InputPath, Parameters, ResultSelector, ResultPath, OutputPath } = state;
  let parameters = Parameters;
  if (Parameters !== undefined) {
    const effective = InputPath ? await evaluate(InputPath, input, context) : InputPath === null ? {} : input;
    parameters = withRoot(Parameters, effective);
  }
  // "$" as a path is the whole, as is none; the library takes it for a field's name in ResultPath.
  const paths = Object.entries({ InputPath, ResultPath, OutputPath });
  const given = paths.filter(([, path]) => path !== undefined && path !== '$');
  const task = {
    Type: 'Task',
    Resource: 'arn:aws:lambda:::function:local',
    TimeoutSeconds: NO_TIMEOUT_SECONDS,
    End: true,
    ...Object.fromEntries(given),
    ...(parameters !== undefined && { Parameters: parameters }),
  };
  return runStates({ StartAt: 'state', States: { state: task } }, input, context, async (effectiveInput) => {
    const result = await work(effectiveInput);
    return ResultSelector === undefined ? result : fillTemplate(ResultSelector, result, context);
  });
}

/** The library finds nothing at "$" where the whole is 0, false, null or "": there, the value is put in for it. */
function withRoot(template: unknown, root: unknown): unknown {
  if (root || typeof template !== 'object' || template === null) return template;
  if (Array.isArray(template)) return template.map((item) => withRoot(item, root));
  return Object.fromEntries(
    Object.entries(template).map(([key, value]) =>
      key.endsWith('.$') && value === '$' ? [key.slice(0, -2), root] : [key, withRoot(value, root)],
    ),
  );
}

/** The value of a path or an intrinsic function. */
export async function evaluate(expression: string, input: unknown, context: ContextObject): Promise<unknown> {
  const [value] = (await fillTemplate([{ 'value.$': expression }], input, context)) as [{ value: unknown }];
  return value.value;
}

/** A payload template (ItemSelector, ResultSelector), filled in. */
export function fillTemplate(template: unknown, input: unknown, context: ContextObject): Promise<unknown> {
  return throughState({ Parameters: template }, input, context, async (filled) => filled);
}

/** A Choice state's output and the state that it leads to. `States.NoChoiceMatched` where no rule holds. */
export async function choose(
  state: State,
  input: unknown,
  context: ContextObject,
): Promise<{ readonly output: unknown; readonly next: string }> {
  // The library goes on to what `Next` names: each target is a Pass state that says which one it is.
  const targets = [...(state.Choices ?? []).map(({ Next }) => Next), state.Default].filter(
    (name) => name !== undefined,
  );
  const passes = targets.map((next, index) => [
    `to ${index}`,
    { Type: 'Pass', Parameters: { next, 'output.$': '$' }, End: true },
  ]);
  const to = (name: string) => `to ${targets.indexOf(name)}`;
  const choice = {
    ...state,
    Choices: state.Choices?.map((rule) => ({ ...rule, Next: to(String(rule.Next)) })),
    ...(state.Default === undefined ? {} : { Default: to(state.Default) }),
  };
  const result = await runStates(
    { StartAt: 'choice', States: { choice, ...Object.fromEntries(passes) } },
    input,
    context,
  );
  return result as { output: unknown; next: string };
}

async function runStates(
  states: { readonly StartAt: string; readonly States: Record<string, unknown> },
  input: unknown,
  context: ContextObject,
  work?: (input: unknown) => Promise<unknown>,
): Promise<unknown> {
  const definition = renameExecution(states) as StateMachineDefinition;
  const machine = new StateMachine(definition, { validationOptions: { noValidate: true } });
  const { Execution, ...others } = context;
  type Handler = NonNullable<
    NonNullable<NonNullable<Parameters<typeof machine.run>[1]>['overrides']>['taskResourceLocalHandlers']
  >[string];
  try {
    const { result } = machine.run(input as Parameters<typeof machine.run>[0], {
      context: { ...others, ExecutionContext: Execution },
      ...(work && { overrides: { taskResourceLocalHandlers: { state: work as Handler } } }),
    });
    return await result;
  } catch (error) {
    const cause = error instanceof ExecutionError ? error.cause : error;
    if (cause instanceof StateError || cause instanceof Stopped) throw cause;
    const { name, message } = cause as Error;
    throw new StateError(name.startsWith('States.') ? name : 'States.Runtime', message);
  }
}

/** The library overwrites `$$.Execution` in every run, so the real one goes by another name. */
function renameExecution(value: unknown, key = ''): unknown {
  if (typeof value === 'string') {
    return isPathKey(key)
      ? value.replaceAll(/\$\$\.Execution(?![A-Za-z0-9_])/g, '$$$$.ExecutionContext')
      : value;
  }
  if (Array.isArray(value)) return value.map((item) => renameExecution(item, key));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [name, renameExecution(inner, name)]),
  );
}
