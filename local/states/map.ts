/** The iterations of an inline Map. */
import type { State, States } from './definition.ts';
import { StateError, Stopped } from './errors.ts';
import type { Run, Thread } from './runner.ts';

/** "Inline mode … supports up to 40 concurrent iterations", also with MaxConcurrency 0. */
const MAX_CONCURRENCY = 40;

/** An iteration's error, which fails its Map. */
export class MapFailed extends StateError {}

/**
 * Runs a Map's iterations and gives their outputs, in the items' order. The first that fails ends the others.
 *
 * @param concurrency 0 for no limit of the machine's own
 * @throws MapFailed with the failed iteration's error
 */
export async function runMap(
  run: Run,
  name: string,
  state: State,
  items: unknown,
  concurrency: number,
  selectItem: (item: { Index: number; Value: unknown }) => Promise<unknown>,
  thread: Thread,
): Promise<unknown[]> {
  const { store } = run.options;
  const { seq } = run.execution;
  if (!Array.isArray(items)) {
    throw new StateError('States.Runtime', `The items of the Map '${name}' are not an array.`);
  }
  const processor = (state.ItemProcessor ?? state.Iterator) as States;
  const map = `${thread.path}${name}`;
  const done = store.iterations(seq, map);
  run.record(thread, 'MapStateStarted', { length: items.length });

  const ending = new AbortController();
  const signal = AbortSignal.any([thread.signal, ending.signal]);
  const startedAfter = thread.previous;
  const outputs: unknown[] = new Array(items.length);
  const running = new Map<number, Thread>();
  let failure: { readonly error: unknown; readonly index: number } | undefined;

  const iterate = async (index: number, item: Thread): Promise<void> => {
    run.record(item, 'MapIterationStarted', { name, index });
    running.set(index, item);
    try {
      const input = await selectItem({ Index: index, Value: items[index] });
      const output = await run.runStates(processor, processor.StartAt, input, item);
      run.record(item, 'MapIterationSucceeded', { name, index });
      store.keepIteration(seq, map, index, JSON.stringify(output) ?? 'null');
      running.delete(index);
      outputs[index] = output;
    } catch (error) {
      failure ??= { error, index };
      ending.abort(new Stopped());
    }
  };

  let next = 0;
  const worker = async () => {
    while (next < items.length && !signal.aborted) {
      const index = next++;
      const kept = done.get(index);
      const item: Thread = {
        path: `${map}[${index}]/`,
        signal,
        item: { Index: index, Value: items[index] },
        previous: startedAfter,
      };
      if (kept === undefined) await iterate(index, item);
      else outputs[index] = JSON.parse(kept);
    }
  };
  const workers = Math.min(concurrency > 0 ? concurrency : MAX_CONCURRENCY, MAX_CONCURRENCY, items.length);
  await Promise.all(Array.from({ length: workers }, () => worker()));
  thread.signal.throwIfAborted();

  if (failure) {
    const { error, index: failed } = failure;
    if (!(error instanceof StateError)) throw error;
    thread.previous = running.get(failed)?.previous ?? thread.previous;
    for (const [index, { previous, inside }] of running) {
      const ended: Thread = { path: '', signal: thread.signal, previous };
      if (index !== failed && inside === 'Task') run.record(ended, 'TaskStateAborted');
      run.record(ended, index === failed ? 'MapIterationFailed' : 'MapIterationAborted', { name, index });
    }
    throw new MapFailed(error.error, error.reason);
  }
  run.record(thread, 'MapStateSucceeded');
  return outputs;
}
