import { expect, test } from '@jest/globals';
import { END, START } from '../../../client/console/graph-layout.ts';
import { stateNames } from '../../../client/console/history-table.ts';
import { pathTaken, transition } from '../../../client/console/path-taken.ts';

const event = (id: number, previousEventId: number, type: string, name?: string) => ({
  id,
  previousEventId,
  timestamp: id,
  type,
  ...(name && type.endsWith('Entered') ? { stateEnteredEventDetails: { name } } : {}),
  ...(name && type.endsWith('Exited') ? { stateExitedEventDetails: { name } } : {}),
});

const history = [
  event(1, 0, 'ExecutionStarted'),
  event(2, 0, 'TaskStateEntered', 'Gather'),
  event(3, 2, 'TaskScheduled'),
  event(4, 3, 'TaskSucceeded'),
  event(5, 4, 'TaskStateExited', 'Gather'),
  event(6, 5, 'MapStateEntered', 'Each'),
  event(7, 6, 'MapStateStarted'),
  event(8, 7, 'MapIterationStarted'),
  event(9, 8, 'TaskStateEntered', 'One'),
  event(10, 9, 'TaskStateExited', 'One'),
  event(11, 10, 'MapIterationSucceeded'),
  event(12, 11, 'MapStateSucceeded'),
  event(13, 12, 'MapStateExited', 'Each'),
  event(14, 13, 'ExecutionSucceeded'),
];

test('the path goes from the start over each state that was left to the end', () => {
  expect([...pathTaken(history)]).toEqual([
    transition(START, 'Gather'),
    transition('Gather', 'Each'),
    transition('Each', 'One'),
    transition('Each', END),
  ]);
});

test('a path under way has no end', () => {
  expect([...pathTaken(history.slice(0, 3))]).toEqual([transition(START, 'Gather')]);
});

test('events that name no state belong to that of the event before', () => {
  expect(stateNames(history).get(4)).toBe('Gather');
});
