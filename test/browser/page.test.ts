import { existsSync, readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { seriousFindings } from '../support/accessibility.ts';
import { launchChromium, newProfile, type Profile } from '../support/chromium.ts';
import { sourceFile, untilStatus } from '../support/clients.ts';
import { FileFolder } from '../support/files.ts';
import { expectCompleted, expectNoLeftovers } from '../support/outcome.ts';
import { TestStack, until } from '../support/stack.ts';
import { arrival, storedPieces, UploadsPage, untilHeld, uploadOf } from '../support/uploads-page.ts';

const MiB = 1024 * 1024;
const PIECES = { presigned: 5 * MiB, proxy: 4 * MiB };
const MODES = ['presigned', 'proxy'] as const;

const stack = new TestStack({ context: { partSize: PIECES.presigned } });
const files = new FileFolder();
let browser: Browser;
let profiles: Profile[] = [];
beforeAll(async () => {
  [browser] = await Promise.all([launchChromium(), stack.start()]);
}, 180_000);
afterEach(async () => {
  // Also of a test that failed: its page would go on sending.
  for (const { context } of profiles) await context.close();
  profiles = [];
  await stack.setFaults([]);
});
afterAll(async () => {
  await browser?.close();
  await stack.stop();
  files.remove();
}, 60_000);

async function profile(options?: BrowserContextOptions): Promise<Profile> {
  const opened = await newProfile(browser, options);
  profiles.push(opened);
  return opened;
}

describe.each(MODES)('in %s mode', (mode) => {
  test('a file arrives whole, each piece travels once, and the page shows the workflow and the event', async () => {
    const { context, errors } = await profile();
    const page = await UploadsPage.open(context, stack);
    const file = files.add(17 * MiB + 3);
    await stack.clearCalls();
    await page.choose(mode, file);
    const uploadId = await page.completed(file.name);
    await expectCompleted(stack, uploadId, file);
    await expectNoLeftovers(stack, uploadId);
    expect(await storedPieces(stack, mode)).toBe(Math.ceil(file.bytes.byteLength / PIECES[mode]));

    const card = page.card(file.name);
    const announcement = card.locator('.workflow li', { hasText: 'Announce completion' });
    await announcement.and(card.locator('[data-status=succeeded]')).waitFor();
    const states = await card.locator('.workflow li').allInnerTexts();
    expect(states.join()).toBe(
      [
        'Gather parts',
        ...(mode === 'proxy' ? ['Assemble parts (1)'] : []),
        'Complete upload',
        'Mark completed',
        'Announce completion',
      ].join(),
    );
    const download = page.page.waitForEvent('download');
    await card.getByRole('link', { name: 'The object' }).click();
    expect((await download).suggestedFilename()).toBe(file.name);
    expect(readFileSync(await (await download).path()).equals(file.bytes)).toBe(true);
    await card.getByText('The event that consumers get').click();
    expect(JSON.parse(await card.locator('.event pre').innerText())).toMatchObject({
      'detail-type': 'Upload Completed',
      detail: { uploadId, size: file.bytes.byteLength },
    });
    expect(errors).toEqual([]);
  }, 180_000);

  test('a name in Japanese with quotes, emoji and slashes stays what it is', async () => {
    const { context, errors } = await profile();
    const page = await UploadsPage.open(context, stack);
    const file = sourceFile(300_000, `夏の「動画」 "最終" 'x' 🎬 a/b\\c & <b>.mp4`);
    await page.choose(mode, { name: file.name, mimeType: file.type, buffer: Buffer.from(file.bytes) });
    await expectCompleted(stack, await page.completed(file.name), file);
    expect(errors).toEqual([]);
  }, 180_000);

  test('several files at once all arrive', async () => {
    const { context, errors } = await profile();
    const page = await UploadsPage.open(context, stack);
    const several = [1, 70_000, PIECES[mode], 9 * MiB + 1].map((size) => files.add(size));
    await page.choose(mode, ...several);
    for (const file of several) await expectCompleted(stack, await page.completed(file.name), file);
    expect(errors).toEqual([]);
  }, 180_000);

  test('with the keyboard alone a file is chosen, paused, resumed and cancelled', async () => {
    const { context, errors } = await profile();
    const page = await UploadsPage.open(context, stack);
    const file = files.add(30 * MiB);
    // Listened for early: until the browser knows of a listener, it opens dialogs of its own.
    const dialog = page.page.waitForEvent('filechooser');
    if (mode === 'proxy') {
      await tabTo(page.page, '[name=mode]');
      await page.page.keyboard.press('ArrowDown');
      await tabTo(page.page, '#files', 'Shift+Tab');
    } else await tabTo(page.page, '#files');
    await page.page.keyboard.press('Enter');
    await stack.setFaults([{ ...arrival(mode), skip: 2, times: 0, action: { kind: 'delay', ms: 900_000 } }]);
    await (await dialog).setFiles(file.path);
    await page.untilState(file.name, 'Uploading');

    await untilHeld(stack, 3);
    await tabTo(page.page, `[aria-label="Pause ${file.name}"]`);
    await page.page.keyboard.press('Enter');
    await page.untilState(file.name, 'Paused');
    // The focus went on to the button that took the other's place.
    await page.page.keyboard.press('Space');
    await page.untilState(file.name, 'Uploading');
    const { uploadId } = await uploadOf(stack, file.name);
    await untilHeld(stack, 6); // No chunk is on its way to its function, where it would begin the upload anew.
    await tabTo(page.page, `[aria-label="Cancel ${file.name}"]`);
    const deletion = page.page.waitForResponse((response) => response.request().method() === 'DELETE');
    await page.page.keyboard.press('Enter');
    await page.card(file.name).waitFor({ state: 'detached' });
    await stack.setFaults([]);
    expect(await page.page.evaluate(() => document.activeElement?.id)).toBe('files');
    expect((await deletion).status()).toBe(204);
    await untilStatus(stack, uploadId, 'aborted');
    await expectNoLeftovers(stack, uploadId);
    expect(errors).toEqual([]);
  }, 180_000);
});

test('a screen reader is told of the start, each quarter and the end; speed and time left are shown', async () => {
  const { context, errors } = await profile();
  const page = await UploadsPage.open(context, stack);
  const file = files.add(20_000_000);
  // Slow enough that no quarter is passed unseen.
  const speed = 1.5;
  await page.uplink.limit(speed * 1_000_000);
  await page.choose('presigned', file);

  const facts = page.card(file.name).locator('.facts');
  const pattern = /^[3-6]\d % · ([\d.]+) MB of 20 MB · ([\d.]+) MB\/s · (\d+) s left$/;
  const [, ...shown] = await until('speed and time left', 60_000, async () => {
    return pattern.exec(await facts.innerText()) ?? undefined;
  });
  const [done = 0, rate = 0, left = 0] = shown.map(Number);
  expect(rate).toBeGreaterThan(speed / 2);
  expect(rate).toBeLessThan(speed * 2);
  // As the three say it, rounded as they are.
  expect(Math.abs((20 - done) / rate - left)).toBeLessThan(0.1 * left + 1);

  await page.completed(file.name);
  const said = await until('the end to be told', 30_000, async () => {
    const sentences = await page.announcements();
    return sentences.at(-1) === `${file.name} completed` ? sentences : undefined;
  });
  expect(said).toEqual([
    `${file.name} added`,
    `${file.name}: 25 percent`,
    `${file.name}: 50 percent`,
    `${file.name}: 75 percent`,
    `${file.name} completed`,
  ]);
  expect(errors).toEqual([]);
}, 180_000);

test('300 MB in presigned mode take no more of the server’s memory than 60 MB do', async () => {
  const { context, errors } = await profile();
  // One of its own: what other tests had it start and load would drown what this one is about.
  const fresh = new TestStack({ context: { partSize: PIECES.presigned } });
  try {
    await fresh.start();
    const page = await UploadsPage.open(context, fresh);
    const peakWith = async (size: number): Promise<number> => {
      const file = files.add(size);
      await page.choose('presigned', file);
      await expectCompleted(fresh, await page.completed(file.name, 240_000), file);
      return peakMemory(fresh.pid);
    };
    // As many bytes in five files: the server's heaps get as large as they get by such work.
    let small = 0;
    for (let file = 0; file < 5; file++) small = await peakWith(60_000_000);
    const large = await peakWith(300_000_000);
    console.log(
      `server: ${Math.round(small / MiB)} MiB with 60 MB, ${Math.round(large / MiB)} MiB with 300 MB`,
    );
    // Who kept the file would hold 240 MB more. Buffers that wait for the collector are its luck: 15 to 95 MB here.
    expect(large - small).toBeLessThan(150_000_000);
    expect(errors).toEqual([]);
  } finally {
    await fresh.stop();
  }
}, 600_000);

/** Bytes that a process has held at most: `VmHWM` of proc_pid_status(5). */
function peakMemory(pid: number): number {
  const status = `/proc/${pid}/status`;
  if (!existsSync(status))
    throw new Error(`There is no ${status}: how much memory the server takes is measured on Linux only.`);
  const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(status, 'utf8')) ?? [];
  if (!kilobytes) throw new Error(`${status} tells no VmHWM.`);
  return Number(kilobytes) * 1024;
}

test.each(['light', 'dark'] as const)(
  'axe-core finds nothing serious, in %s',
  async (colorScheme) => {
    const { context, errors } = await profile({ colorScheme });
    const page = await UploadsPage.open(context, stack);
    const before = files.add(23 * MiB);
    const [file, paused, refused] = [files.add(1000), files.add(23 * MiB), files.add(2000)];
    expect(await seriousFindings(page.page)).toEqual([]);

    await page.chooseAndStall(stack, 'presigned', before);
    await stack.setFaults([]);
    await page.reload();
    await page.page.getByRole('button', { name: `Discard ${before.name}` }).waitFor();
    await page.choose('presigned', file);
    await page.completed(file.name);
    await page.card(file.name).getByText('The event that consumers get').click();
    await page.chooseAndStall(stack, 'presigned', paused);
    await page.press('Pause', paused.name);
    await stack.setFaults([
      { operation: 'UploadPart', times: 0, action: { kind: 'fail', status: 405, code: 'MethodNotAllowed' } },
    ]);
    await page.choose('presigned', refused);
    await page.untilState(refused.name, 'Failed');
    await stack.setFaults([]);
    expect(await seriousFindings(page.page)).toEqual([]);
    expect(errors).toEqual([expect.stringContaining('405')]);
  },
  180_000,
);

test('it fits a phone', async () => {
  const { context, errors } = await profile({ viewport: { width: 360, height: 740 } });
  const page = await UploadsPage.open(context, stack);
  const file = sourceFile(1000, `${'sehr-langer-name-ohne-pause'.repeat(5)}.mp4`);
  await page.choose('presigned', { name: file.name, mimeType: file.type, buffer: Buffer.from(file.bytes) });
  await page.completed(file.name);
  const { scrollWidth, clientWidth } = await page.page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    return { scrollWidth, clientWidth };
  });
  expect(scrollWidth).toBe(clientWidth);
  expect(errors).toEqual([]);
}, 120_000);

async function tabTo(page: Page, selector: string, key = 'Tab'): Promise<void> {
  for (let presses = 0; presses < 40; presses++) {
    await page.keyboard.press(key);
    if (await page.evaluate((wanted) => document.activeElement?.matches(wanted), selector)) return;
  }
  throw new Error(`${key} does not lead to ${selector}.`);
}
