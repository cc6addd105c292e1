import { expect, test } from '@jest/globals';
import { matches } from '../../../client/console/execution-list.ts';
import { Milestones } from '../../../client/page/milestones.ts';
import { UnfinishedUploads } from '../../../client/page/unfinished.ts';
import { milestones } from '../../../client/page/workflow.ts';

function memory(initial?: string) {
  let stored = initial ?? null;
  return {
    getItem: () => stored,
    setItem: (_key: string, value: string) => {
      stored = value;
    },
  };
}

const upload = { identifier: 'x', name: 'a.mp4', size: 5, lastModified: 1, mode: 'proxy' } as const;

test('unfinished uploads survive a reload, once each, until forgotten', () => {
  const storage = memory();
  new UnfinishedUploads(storage).remember(upload);
  new UnfinishedUploads(storage).remember({ ...upload, uploadId: 'id' });
  expect(new UnfinishedUploads(storage).list()).toEqual([{ ...upload, uploadId: 'id' }]);
  expect(new UnfinishedUploads(storage).find({ name: 'a.mp4', size: 5, lastModified: 1 })?.uploadId).toBe(
    'id',
  );
  expect(new UnfinishedUploads(storage).find({ name: 'a.mp4', size: 6, lastModified: 1 })).toBeUndefined();
  new UnfinishedUploads(storage).forget('x');
  expect(new UnfinishedUploads(storage).list()).toEqual([]);
});

test.each(['{', '{}', '[{"name":1},null]'])('storage that holds %p offers nothing', (stored) => {
  expect(new UnfinishedUploads(memory(stored)).list()).toEqual([]);
});

test('progress is announced at each quarter, once', () => {
  const quarters = new Milestones();
  expect([0.1, 0.26, 0.3, 0.8, 0.9, 1].map((fraction) => quarters.pass(fraction))).toEqual([
    undefined,
    25,
    undefined,
    75,
    undefined,
    undefined,
  ]);
});

test('the workflow shows what comes while it runs, and in the end only what was needed', () => {
  const states = [
    { name: 'Gather', status: 'succeeded' },
    { name: 'Each', status: 'running', iterations: { total: 3 } },
    { name: 'One', status: 'running', map: 'Each' },
    { name: 'Announce', status: 'waiting' },
  ] as const;
  const names = (status: string) => milestones({ status, states }).map(({ name }) => name);
  expect(names('RUNNING')).toEqual(['Gather', 'Each', 'Announce']);
  expect(names('FAILED')).toEqual(['Gather', 'Each']);
});

test('executions are found by any part of their name, and by status', () => {
  const execution = { name: '0123abcd-zz9-1', status: 'FAILED' } as Parameters<typeof matches>[0];
  expect(matches(execution, { search: ' 23AB ', status: '' })).toBe(true);
  expect(matches(execution, { search: 'zz9', status: 'SUCCEEDED' })).toBe(false);
  expect(matches(execution, { search: 'nope', status: '' })).toBe(false);
});
