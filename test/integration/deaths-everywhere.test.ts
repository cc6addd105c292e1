import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { CALLS_AROUND } from '../support/calls-around.ts';
import { commandsOf, FUNCTION_NAMES } from '../support/commands.ts';
import { ASKED } from '../support/played-asked.ts';
import { DETOURS } from '../support/played-detours.ts';
import { WAYS } from '../support/played-uploads.ts';

/**
 * A call that is new fails here until somebody dies at it. The tests of each way hold that the calls it is listed with
 * are found by running, and have a function die at every one.
 */
const diedAt = [
  ...[...WAYS, ...DETOURS, ...ASKED].flatMap(({ calls }) => calls),
  ...Object.values(CALLS_AROUND).flat(),
];
const isOfWorkflow = (call: string): boolean => call.startsWith('workflow ');
const sorted = (calls: readonly string[]): string[] => [...new Set(calls)].sort();

/** Commands that a function only signs: the browser sends them. */
const NEVER_SENT = [
  'create-upload PutObject',
  'create-upload UploadPart',
  'sign-parts PutObject',
  'sign-parts UploadPart',
];

test('there are deaths at every AWS command that a function can send', () => {
  const commands = FUNCTION_NAMES.flatMap((name) =>
    commandsOf(name).map((command) => `${name} ${command.split('/')[1] ?? ''}`),
  );
  const ofFunctions = diedAt.filter((call) => !isOfWorkflow(call));
  expect(sorted([...ofFunctions, ...NEVER_SENT])).toEqual(sorted(commands));
  expect(NEVER_SENT.filter((call) => ofFunctions.includes(call))).toEqual([]);
});

test('there are deaths at every task that the state machine runs itself', () => {
  const definition = readFileSync(
    new URL('../../statemachine/complete-upload.asl.json', import.meta.url),
    'utf8',
  );
  const tasks = [...definition.matchAll(/:states:::\w+:(\w+)"/g)].map(
    ([, task = '']) => `workflow ${task.charAt(0).toUpperCase()}${task.slice(1)}`,
  );
  expect(sorted(diedAt.filter(isOfWorkflow))).toEqual(sorted(tasks));
});
