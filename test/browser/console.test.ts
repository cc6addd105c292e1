import { PutItemCommand } from '@aws-sdk/client-dynamodb';
import { StartExecutionCommand } from '@aws-sdk/client-sfn';
import { marshall } from '@aws-sdk/util-dynamodb';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import type { Browser, Locator, Page } from 'playwright-core';
import { formatElapsed } from '../../client/console/times.ts';
import type { ExecutionDetail } from '../../local/states/overview.ts';
import { seriousFindings } from '../support/accessibility.ts';
import { launchChromium, newProfile, type Profile } from '../support/chromium.ts';
import {
  inParallel,
  objectAt,
  type SourceFile,
  sendPresigned,
  sha256,
  sourceFile,
  untilStatus,
} from '../support/clients.ts';
import { TestStack, until } from '../support/stack.ts';

const THOUSAND = 1000;
/** A key goes to its answer on the screen in this time, with a thousand rows and a busy machine. */
const RESPONSIVE_MS = 2000;

/** How a moment ends, with a date or without. */
const CLOCK = /\d\d:\d\d:\d\d$/;

const stack = new TestStack({ context: { partSize: 5 * 1024 * 1024 } });
let browser: Browser;
/** An upload that S3 did not let be completed, and whose workflow has failed. */
let stuck: { file: SourceFile; uploadId: string; execution: string };
let profiles: Profile[] = [];

beforeAll(async () => {
  [browser] = await Promise.all([launchChromium(), stack.start()]);
  // Executions whose input is no upload fail at once.
  await inParallel(
    Array.from({ length: THOUSAND }, (_, number) => number),
    8,
    async (number) => {
      const { stateMachineArn } = stack;
      const name = `${number.toString(16).padStart(32, '0')}-${'0'.repeat(14)}-1`;
      await stack.stepFunctions.send(new StartExecutionCommand({ stateMachineArn, name, input: '{}' }));
    },
  );
  await until('the thousand to have failed', 240_000, async () => {
    const executions = await stack.executions();
    return executions.every(({ status }) => status === 'FAILED') || undefined;
  });
  const file = sourceFile(1000);
  await stack.setFaults([
    {
      operation: 'CompleteMultipartUpload',
      times: 0,
      action: { kind: 'fail', status: 403, code: 'AccessDenied' },
    },
  ]);
  const { uploadId } = await sendPresigned(stack, file);
  await untilStatus(stack, uploadId, 'failed');
  await stack.setFaults([]);
  const [execution] = await stack.executions(uploadId);
  stuck = { file, uploadId, execution: execution?.name ?? '' };
}, 420_000);
afterEach(async () => {
  for (const { context } of profiles) await context.close();
  profiles = [];
  await stack.setFaults([]);
});
afterAll(async () => {
  await browser?.close();
  await stack.stop();
}, 60_000);

async function openConsole(colorScheme: 'light' | 'dark' = 'light'): Promise<{ page: Page } & Profile> {
  const profile = await newProfile(browser, { colorScheme, viewport: { width: 1400, height: 900 } });
  profiles.push(profile);
  const page = await profile.context.newPage();
  await page.goto(`${stack.apiUrl}/console`);
  await page.locator('#count').filter({ hasText: 'so far' }).waitFor();
  return { page, ...profile };
}

/** Terms with their values. */
async function factsIn(list: Locator): Promise<Record<string, string>> {
  const [terms, values] = [list.locator('dt'), list.locator('dd')];
  const texts = await values.allInnerTexts();
  return Object.fromEntries((await terms.allInnerTexts()).map((term, index) => [term, texts[index] ?? '']));
}

test('with a thousand executions the list finds, scrolls and answers at once', async () => {
  const { page, errors } = await openConsole();
  await page.locator('#list a').first().waitFor();
  while ((await page.locator('#count').innerText()).includes('so far'))
    await page.locator('#list').evaluate((list) => list.scrollTo(0, list.scrollHeight));
  expect(await page.locator('#count').innerText()).toBe(`${THOUSAND + 1} executions`);

  const last = `${(7).toString(16).padStart(32, '0')}-`;
  const took = await page.evaluate(async (wanted) => {
    const search = document.querySelector('#search') as HTMLInputElement;
    const start = performance.now();
    search.value = wanted;
    search.dispatchEvent(new Event('input', { bubbles: true }));
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    return performance.now() - start;
  }, last);
  await page
    .locator('#count')
    .filter({ hasText: /^1 execution$/ })
    .waitFor();
  await page.fill('#search', '');
  const chosen = page.locator('#list a').nth(500);
  await chosen.scrollIntoViewIfNeeded();
  const start = performance.now();
  await chosen.click();
  await page.locator('#detail-status').filter({ hasText: 'Failed' }).waitFor();
  const opened = performance.now() - start;
  console.log(`search: ${Math.round(took)} ms, opening: ${Math.round(opened)} ms`);
  expect(took).toBeLessThan(RESPONSIVE_MS);
  expect(opened).toBeLessThan(2 * RESPONSIVE_MS);
  await page.locator('#detail-error').filter({ hasText: 'The input is no upload' }).waitFor();
  expect(errors).toEqual([]);
}, 180_000);

test('a new upload comes in at the top by itself', async () => {
  const { page, errors } = await openConsole();
  const { uploadId } = await sendPresigned(stack, sourceFile(10));
  const row = page.locator('#list li').first();
  await row.filter({ hasText: uploadId.slice(0, 12) }).waitFor();
  await row.filter({ hasText: 'Succeeded' }).waitFor();
  expect(errors).toEqual([]);
}, 120_000);

test('with a thousand uploads the table finds, filters and leads to their executions at once', async () => {
  const { page, errors } = await openConsole();
  const item = (await stack.items()).find(
    ({ pk, sk }) => sk === 'upload' && String(pk).endsWith(stuck.uploadId),
  );
  await inParallel(
    Array.from({ length: THOUSAND }, (_, number) => number),
    8,
    async (number) => {
      // Begun, and nothing more: these are on no execution's list.
      const upload = {
        ...{ ...item, status: 'uploading', fileName: `film-${number}.mp4` },
        pk: `owner-${number % 7}#${number.toString(16).padStart(32, '0')}`,
        attempt: number.toString(36).padStart(14, '0'),
      };
      await stack.dynamodb.send(new PutItemCommand({ TableName: stack.tableName, Item: marshall(upload) }));
    },
  );
  const start = performance.now();
  await page.getByRole('link', { name: 'Uploads' }).click();
  const count = page.locator('#upload-count');
  await count.filter({ hasText: /^10\d\d uploads$/ }).waitFor();
  await page.locator('#uploads tr').first().waitFor();
  console.log(`uploads: ${Math.round(performance.now() - start)} ms`);
  expect(performance.now() - start).toBeLessThan(2 * RESPONSIVE_MS);
  expect(await page.locator('#uploads tr').count()).toBe(200);
  await page.getByRole('button', { name: 'Show more' }).click();
  await page.locator('#uploads tr').nth(399).waitFor();

  await page.fill('#search-uploads', 'FILM-77');
  await count.filter({ hasText: /^11 uploads$/ }).waitFor();
  expect(await page.locator('#uploads tr').first().innerText()).toMatch(
    /^film-779.mp4\s+Uploading\s+0 % of 1.0 KB/,
  );
  await page.fill('#search-uploads', stuck.uploadId);
  await page.selectOption('#upload-status', 'failed');
  await page.locator('#uploads tr', { hasText: 'Failed' }).getByRole('link').click();
  await page.getByRole('heading', { name: stuck.execution }).waitFor();
  expect(errors).toEqual([]);
}, 180_000);

test('a failed execution shows where and why, and is redriven from here', async () => {
  const { page, errors } = await openConsole();
  await page.fill('#search', stuck.uploadId);
  await page.locator('#list a').click();
  await page.getByRole('heading', { name: stuck.execution }).waitFor();
  const state = (name: string) => page.locator('#graph').getByRole('button', { name });
  await state('Complete upload, failed').waitFor();
  await state('Gather parts, succeeded').waitFor();
  await state('Mark completed, not started').waitFor();
  await page.locator('#detail-error').filter({ hasText: 'AccessDenied' }).waitFor();
  await page.locator('#history tr').filter({ hasText: 'ExecutionFailed' }).waitFor();
  await state('Gather parts, succeeded').press('Enter');
  await page.locator('#state-data').filter({ hasText: stuck.uploadId }).waitFor();

  await page.getByRole('button', { name: 'Redrive' }).click();
  await page.locator('#detail-status').filter({ hasText: 'Succeeded' }).waitFor();
  await state('Announce completion, succeeded').waitFor();
  expect(await page.getByRole('button', { name: 'Redrive' }).count()).toBe(0);
  await page.locator('#facts').filter({ hasText: 'Redriven' }).waitFor();
  const { key } = await untilStatus(stack, stuck.uploadId, 'completed');
  expect(await objectAt(stack, String(key))).toMatchObject({ sha256: sha256(stuck.file.bytes) });
  expect(errors).toEqual([]);
}, 120_000);

test('an execution that needed three tries of a task shows them, with inputs, outputs and times', async () => {
  const { page, errors } = await openConsole();
  await stack.setFaults([
    {
      caller: 'complete-upload',
      operation: 'CompleteMultipartUpload',
      times: 2,
      action: { kind: 'kill', when: 'before' },
    },
  ]);
  const { uploadId, key } = await sendPresigned(stack, sourceFile(1000));
  await untilStatus(stack, uploadId, 'completed');
  const name = await until('the execution to succeed', 60_000, async () => {
    const [execution] = await stack.executions(uploadId);
    return execution?.status === 'SUCCEEDED' ? execution.name : undefined;
  });
  const recorded = (await stack.execution(name)) as unknown as ExecutionDetail;
  const [entered, exited] = ['TaskStateEntered', 'TaskStateExited'].map((wanted) => {
    const event = recorded.events.find(
      ({ type, stateEnteredEventDetails: one, stateExitedEventDetails: other }) =>
        type === wanted && (one ?? other)?.['name'] === 'Complete upload',
    );
    return Math.round((event?.timestamp ?? Number.NaN) * 1000);
  });

  await page.fill('#search', uploadId);
  await page.locator('#list a').click();
  const state = page.locator('#graph').getByRole('button', { name: 'Complete upload 3 tries, succeeded' });
  await state.click();
  await page.locator('#state-title').filter({ hasText: 'Complete upload' }).waitFor();
  expect(await factsIn(page.locator('#state-facts'))).toEqual({
    Type: 'Task',
    Status: 'succeeded',
    Entered: expect.stringMatching(CLOCK),
    Took: formatElapsed(Number(exited) - Number(entered)),
    Tries: '3',
  });
  const data = async (title: string) =>
    await page.locator('#state-data').getByRole('region', { name: title, exact: true }).innerText();
  expect(JSON.parse(await data('Input'))).toMatchObject({ upload: { uploadId } });
  expect(JSON.parse(await data('Output'))).toMatchObject({ event: { uploadId, key, size: 1000 } });
  expect(await data('Error')).toBe('Runtime.ExitError');
  expect(await data('Cause')).toContain('exited');

  expect(await factsIn(page.locator('#facts'))).toMatchObject({
    Upload: uploadId,
    Started: expect.stringMatching(CLOCK),
    Took: formatElapsed((recorded.stopDate ?? Number.NaN) - recorded.startDate),
    Transitions: String(recorded.transitions),
  });
  const failures = page.locator('#history tr', { hasText: 'Complete upload' }).filter({ hasText: 'Failed' });
  expect(await failures.count()).toBe(2);
  const [, , , time, elapsed] = await failures.first().locator('td').allInnerTexts();
  expect(time).toMatch(CLOCK);
  expect(elapsed).toMatch(/^\d[\d.]* (ms|s)$/);
  await failures.last().locator('summary').click();
  await failures.last().locator('pre').filter({ hasText: 'error: Runtime.ExitError' }).waitFor();
  expect(errors).toEqual([]);
}, 120_000);

test('the events on the bus are listed, those of uploads first', async () => {
  const { page, errors } = await openConsole();
  const { uploadId } = await sendPresigned(stack, sourceFile(10));
  await untilStatus(stack, uploadId, 'completed');
  await page.getByRole('link', { name: 'Events' }).click();
  const event = page.locator('#bus li', { hasText: uploadId }).filter({ hasText: 'Upload Completed' });
  await event.locator('summary').click();
  expect(JSON.parse(await event.locator('pre').innerText())).toMatchObject({
    source: 'resumable-uploads',
    detail: { uploadId, size: 10 },
  });
  const others = page.locator('#bus li', { hasText: 'Step Functions Execution Status Change' });
  expect(await others.first().isVisible()).toBe(false);
  await page.getByLabel('Only those of uploads').uncheck();
  expect(await others.first().isVisible()).toBe(true);
  expect(errors).toEqual([]);
}, 120_000);

test.each(['light', 'dark'] as const)(
  'axe-core finds nothing serious, in %s',
  async (colorScheme) => {
    const { page, errors } = await openConsole(colorScheme);
    expect(await seriousFindings(page)).toEqual([]);
    await page.locator('#list a').nth(3).click();
    await page.locator('#detail-status').filter({ hasText: /./ }).waitFor();
    expect(await seriousFindings(page)).toEqual([]);
    await page.getByRole('link', { name: 'Uploads' }).click();
    await page.locator('#uploads tr').first().waitFor();
    expect(await seriousFindings(page)).toEqual([]);
    await page.getByRole('link', { name: 'Events' }).click();
    await page.locator('#bus [data-source=resumable-uploads]').first().waitFor();
    await page.locator('#bus [data-source=resumable-uploads] summary').first().click();
    expect(await seriousFindings(page)).toEqual([]);
    expect(errors).toEqual([]);
  },
  120_000,
);
