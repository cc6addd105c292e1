import { expect, test } from '@jest/globals';
import { matches, newPages } from '../../../client/console/execution-list.ts';
import { routeOf } from '../../../client/console/route.ts';
import { Announcements, type Kind } from '../../../client/page/announcements.ts';
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
  new UnfinishedUploads(() => storage).remember(upload);
  new UnfinishedUploads(() => storage).remember({ ...upload, uploadId: 'id' });
  expect(new UnfinishedUploads(() => storage).list()).toEqual([{ ...upload, uploadId: 'id' }]);
  expect(
    new UnfinishedUploads(() => storage).find({ name: 'a.mp4', size: 5, lastModified: 1 })?.uploadId,
  ).toBe('id');
  expect(
    new UnfinishedUploads(() => storage).find({ name: 'a.mp4', size: 6, lastModified: 1 }),
  ).toBeUndefined();
  new UnfinishedUploads(() => storage).forget('x');
  expect(new UnfinishedUploads(() => storage).list()).toEqual([]);
});

test.each(['{', '{}', '[{"name":1},null]'])('storage that holds %p offers nothing', (stored) => {
  expect(new UnfinishedUploads(() => memory(stored)).list()).toEqual([]);
});

test.each([
  [
    'blocked',
    () => {
      throw new DOMException('The operation is insecure.', 'SecurityError');
    },
  ],
  [
    'full',
    () => ({
      getItem: () => null,
      setItem: () => {
        throw new DOMException('The quota has been exceeded.', 'QuotaExceededError');
      },
    }),
  ],
])('where the storage is %s, unfinished uploads are kept until the page is closed', (_what, storage) => {
  const unfinished = new UnfinishedUploads(storage);
  unfinished.remember(upload);
  expect(unfinished.find(upload)).toEqual(upload);
  unfinished.forget('x');
  expect(unfinished.list()).toEqual([]);
});

function said(...news: readonly [kind: Kind, subject: string][]): (string | undefined)[] {
  const announcements = new Announcements();
  for (const [kind, subject] of news) announcements.add({ kind, subject, sentence: `${subject} ${kind}` });
  return news.map(() => announcements.next()).filter((sentence) => sentence !== undefined);
}

test('one file is announced step by step', () => {
  expect(said(['added', 'a'], ['progress', 'a'])).toEqual(['a added', 'a progress']);
});

test('what is alike of many files is announced in one sentence', () => {
  const files = Array.from({ length: 100 }, (_, index) => ['added', `${index}`] as [Kind, string]);
  expect(said(...files, ['notice', 'x'], ['notice', 'y'])).toEqual([
    '100 files added',
    'x notice',
    'y notice',
  ]);
});

test('a percentage is not announced after newer news of its file', () => {
  expect(said(['progress', 'a'], ['progress', 'b'], ['completed', 'a'])).toEqual([
    'b progress',
    'a completed',
  ]);
});

test('failures are announced before all else', () => {
  expect(said(['added', 'a'], ['completed', 'b'], ['failed', 'c'])).toEqual([
    'c failed',
    'a added',
    'b completed',
  ]);
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

test('executions that came while nobody looked are asked for, page by page, until one is known', async () => {
  const page = (names: string[], next?: number) => ({ executions: names.map((name) => ({ name })), next });
  const last = page(['a']);
  const pages = [page(['g', 'f'], 1), page(['e', 'd'], 2), page(['c', 'b'], 3), last];
  const fetched: number[] = [];
  const fetchPage = async (before = 0) => {
    fetched.push(before);
    return pages[before] ?? last;
  };
  const taken = await newPages(fetchPage, (name) => ['a', 'b', 'c'].includes(name));
  expect(taken).toEqual(pages.slice(0, 3));
  expect(fetched).toEqual([0, 1, 2]);
  expect(await newPages(fetchPage, () => true)).toEqual(pages.slice(0, 1));
});

test.each([
  ['', { view: 'executions' }],
  ['#/uploads', { view: 'uploads' }],
  ['#/executions/a%20b', { view: 'executions', name: 'a b' }],
  ['#/executions/%', { view: 'executions', name: '%' }],
])('the address %p shows %p', (hash, route) => {
  expect(routeOf(hash)).toEqual(route);
});
