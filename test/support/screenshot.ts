/**
 * `npm run screenshot`: takes docs/page.png anew, of the page with one file completed and another on its way. Another
 * folder as its argument gets the other views too, to be looked at: dark, on a phone, and the console.
 */
import { join } from 'node:path';
import type { BrowserContextOptions, Page } from 'playwright-core';
import { launchChromium, newProfile } from './chromium.ts';
import { FileFolder } from './files.ts';
import { TestStack } from './stack.ts';
import { UploadsPage } from './uploads-page.ts';

const MiB = 1024 * 1024;
const [folder] = process.argv.slice(2);
const stack = new TestStack();
const files = new FileFolder();
const [browser] = await Promise.all([launchChromium(), stack.start()]);

async function take(path: string, options: BrowserContextOptions): Promise<void> {
  const { context } = await newProfile(browser, options);
  const page = await UploadsPage.open(context, stack);
  const done = files.add(33 * MiB, 'Dragonflies at the lake.mp4');
  await page.choose('proxy', done);
  await page.completed(done.name);
  await page
    .card(done.name)
    .locator('.workflow li[data-status=succeeded]', { hasText: 'Announce' })
    .waitFor();
  const slow = files.add(96 * MiB, 'Interview, second take.mov');
  await page.uplink.limit(6 * MiB);
  await page.choose('presigned', slow);
  await page
    .card(slow.name)
    .locator('.facts', { hasText: /[3-9]\d % .+ left/ })
    .waitFor();
  await page.page.screenshot({ path, fullPage: true });
  await page.press('Cancel', slow.name);
  await context.close();
}

async function takeConsole(path: string, options: BrowserContextOptions): Promise<void> {
  const { context } = await newProfile(browser, options);
  const page: Page = await context.newPage();
  await page.goto(`${stack.apiUrl}/console`);
  await page.locator('#list a').first().click();
  await page.locator('#detail-status').filter({ hasText: /./ }).waitFor();
  await page.screenshot({ path, fullPage: true });
  await page.getByRole('link', { name: 'Uploads' }).click();
  await page.locator('#uploads tr').first().waitFor();
  await page.screenshot({ path: path.replace('.png', '-uploads.png'), fullPage: true });
  await context.close();
}

try {
  const wide = { viewport: { width: 1200, height: 720 } };
  const phone = { viewport: { width: 360, height: 740 } };
  if (folder === undefined) await take(join(import.meta.dirname, '../../docs/page.png'), wide);
  else {
    await take(join(folder, 'page-dark.png'), { ...wide, colorScheme: 'dark' });
    await take(join(folder, 'page-phone.png'), phone);
    await takeConsole(join(folder, 'console.png'), wide);
    await takeConsole(join(folder, 'console-dark.png'), { ...wide, colorScheme: 'dark' });
    await takeConsole(join(folder, 'console-phone.png'), phone);
  }
} finally {
  await browser.close();
  await stack.stop();
  files.remove();
}
