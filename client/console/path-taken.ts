import type { HistoryEvent } from '../../local/states/history.ts';
import { END, START } from './graph-layout.ts';

/** One transition as a key: names have no line breaks. */
export const transition = (from: string, to: string): string => `${from}\n→\n${to}`;

/**
 * The transitions that an execution has made, from its history: each event names the one that it follows, so the state
 * that was left before another was entered is found by going back.
 */
export function pathTaken(events: readonly HistoryEvent[]): ReadonlySet<string> {
  const byId = new Map(events.map((event) => [event.id, event]));
  const taken = new Set<string>();
  for (const event of events) {
    if (event.type === 'ExecutionSucceeded') {
      const last = previousState(event, byId);
      if (last) taken.add(transition(last, END));
      continue;
    }
    if (!event.type.endsWith('StateEntered')) continue;
    const name = stateName(event);
    if (name) taken.add(transition(previousState(event, byId) ?? START, name));
  }
  return taken;
}

function previousState(event: HistoryEvent, byId: ReadonlyMap<number, HistoryEvent>): string | undefined {
  for (let before = byId.get(event.previousEventId); before; before = byId.get(before.previousEventId)) {
    if (before.type.endsWith('StateExited')) return stateName(before);
    if (before.type.endsWith('StateEntered')) return stateName(before); // The Map around an iteration's first state.
  }
  return undefined;
}

function stateName(event: HistoryEvent): string | undefined {
  const { name } = event.stateEnteredEventDetails ?? event.stateExitedEventDetails ?? {};
  return typeof name === 'string' ? name : undefined;
}
