import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { Browser } from 'playwright-core';
import { createHasher } from '../../local/s3/checksums.ts';
import type { FaultRule } from '../../local/types.ts';
import { launchChromium, newProfile, type Profile } from '../support/chromium.ts';
import { untilStatus } from '../support/clients.ts';
import { type DiskFile, FileFolder } from '../support/files.ts';
import { expectCompleted, expectNoLeftovers } from '../support/outcome.ts';
import { watchRounds } from '../support/passing-time.ts';
import { TestStack, until } from '../support/stack.ts';
import {
  arrival,
  type Mode,
  storedPieces,
  UploadsPage,
  untilReceived,
  uploadOf,
} from '../support/uploads-page.ts';

const MiB = 1024 * 1024;
const MODES = ['presigned', 'proxy'] as const;
const PIECE = { presigned: 5 * MiB, proxy: 4 * MiB };
/** Of five parts, or six chunks: three are under way at once, so at no time all. */
const SIZE = 23 * MiB + 7;
const pieces = (mode: Mode): number => Math.ceil(SIZE / PIECE[mode]);

const stack = new TestStack({ context: { partSize: PIECE.presigned } });
const files = new FileFolder();
let browser: Browser;
let profiles: Profile[] = [];
beforeAll(async () => {
  [browser] = await Promise.all([launchChromium(), stack.start()]);
}, 180_000);
afterEach(async () => {
  for (const { context } of profiles) await context.close();
  profiles = [];
  await stack.setFaults([]);
});
afterAll(async () => {
  await browser?.close();
  await stack.stop();
  files.remove();
}, 60_000);

async function profile(): Promise<Profile> {
  const opened = await newProfile(browser);
  profiles.push(opened);
  return opened;
}

/** The file is there, whole; what the page was told to be stored was not sent again. */
async function expectArrived(page: UploadsPage, file: DiskFile): Promise<void> {
  const uploadId = await page.completed(file.name);
  await expectCompleted(stack, uploadId, file);
  await expectNoLeftovers(stack, uploadId);
  expect(page.transfers.needless).toEqual([]);
}

describe.each(MODES)('in %s mode', (mode) => {
  test('after a reload the page offers to go on, and only what is missing travels', async () => {
    const { context, errors } = await profile();
    const first = await UploadsPage.open(context, stack);
    const file = files.add(SIZE);
    await first.chooseAndStall(stack, mode, file);
    await stack.setFaults([]);
    await first.reload();
    // What the server had not been told of, it was told in parting.
    const uploadId = await untilReceived(stack, file.name, 2);
    await first.reload();
    await first.page.getByText(`${mode === 'proxy' ? 33 : 40} % of 24 MB has arrived`).waitFor();

    await stack.clearCalls();
    // The mode is the one that the upload began with, whatever is chosen now.
    await first.choose(mode === 'proxy' ? 'presigned' : 'proxy', file);
    expect(await first.completed(file.name)).toBe(uploadId);
    await expectArrived(first, file);
    expect(await storedPieces(stack, mode)).toBe(pieces(mode) - 2);
    expect(errors).toEqual([]);
    await first.reload();
    expect(await first.page.locator('#unfinished').isHidden()).toBe(true);
  }, 180_000);

  test('with the tab closed, another profile goes on', async () => {
    const one = await profile();
    const first = await UploadsPage.open(one.context, stack);
    const file = files.add(SIZE);
    await first.chooseAndStall(stack, mode, file);
    await stack.setFaults([]);
    await first.page.close({ runBeforeUnload: true });

    const other = await profile();
    const second = await UploadsPage.open(other.context, stack);
    // What the server had not been told of when the tab closed, it was told in parting.
    const uploadId = await untilReceived(stack, file.name, 2);
    await stack.clearCalls();
    await second.choose(mode, file);
    expect(await second.completed(file.name)).toBe(uploadId);
    await expectArrived(second, file);
    expect(await storedPieces(stack, mode)).toBe(pieces(mode) - 2);
    expect([...one.errors, ...other.errors]).toEqual([]);
  }, 180_000);

  test('the server dies in the middle and comes back: the page goes on by itself', async () => {
    const { context, errors } = await profile();
    const page = await UploadsPage.open(context, stack);
    const file = files.add(SIZE);
    await page.chooseAndStall(stack, mode, file);
    await stack.kill();
    await until('the page to notice', 60_000, () => page.transfers.failed > 0 || undefined);
    await stack.start();
    await expectArrived(page, file);
    expect(await storedPieces(stack, mode)).toBe(pieces(mode) - 2);
    expectOnly(errors, /ERR_CONNECTION_|ERR_EMPTY_RESPONSE|ERR_SOCKET_NOT_CONNECTED|status of 503/);
  }, 240_000);

  test('offline for a while: the page goes on by itself', async () => {
    const { context, errors } = await profile();
    const page = await UploadsPage.open(context, stack);
    const file = files.add(SIZE + 3 * PIECE[mode]);
    await stack.clearCalls();
    await stack.setFaults([{ ...arrival(mode), skip: 2, times: 0, action: { kind: 'delay', ms: 2000 } }]);
    await page.choose(mode, file);
    await until('two pieces to be stored', 60_000, () => page.transfers.acknowledged.size > 1 || undefined);
    await page.uplink.cut();
    expect(await page.page.evaluate(() => navigator.onLine)).toBe(false);
    await until('the page to notice', 60_000, () => page.transfers.failed > 0 || undefined);
    await page.uplink.limit(undefined);
    await stack.setFaults([]);
    await expectArrived(page, file);
    // Of three that were under way, some may have arrived although no answer came back.
    expect(await storedPieces(stack, mode)).toBeLessThanOrEqual(pieces(mode) + 3 + 3);
    expectOnly(errors, /ERR_INTERNET_DISCONNECTED|ERR_NETWORK_CHANGED/);
  }, 180_000);

  test('the same file in two tabs at once becomes one object', async () => {
    const { context, errors } = await profile();
    const tabs = [await UploadsPage.open(context, stack), await UploadsPage.open(context, stack)];
    const file = files.add(SIZE);
    // Slow enough that both are at it.
    await stack.setFaults([{ ...arrival(mode), times: 0, action: { kind: 'delay', ms: 1000 } }]);
    await Promise.all(tabs.map(async (tab) => await tab.choose(mode, file)));
    const ids = await Promise.all(tabs.map(async (tab) => await tab.completed(file.name)));
    expect(new Set(ids).size).toBe(1);
    // A duplicate that was under way at the end may have been staged behind the completion's back: it is swept.
    for (const id of ids) await expectCompleted(stack, id, file);
    await watchRounds(stack, 2);
    for (const tab of tabs) await expectArrived(tab, file);
    // Who comes second finds the upload complete: S3 knows its id no more, and it takes no more parts.
    expectOnly(errors, /status of (404|409)/);
  }, 180_000);

  test('a cancelled upload leaves nothing', async () => {
    const { context, errors } = await profile();
    const page = await UploadsPage.open(context, stack);
    const file = files.add(SIZE);
    await page.chooseAndStall(stack, mode, file);
    const { uploadId } = await uploadOf(stack, file.name);
    const deletion = page.page.waitForResponse(
      (response) => response.request().method() === 'DELETE' && response.url().endsWith(uploadId),
    );
    await page.press('Cancel', file.name);
    expect((await deletion).status()).toBe(204);
    expect(await untilStatus(stack, uploadId, 'aborted')).toMatchObject({ receivedBytes: 0 });
    await expectNoLeftovers(stack, uploadId);
    expect(await stack.objects(`uploads/anonymous/${uploadId}/`)).toEqual([]);
    await stack.setFaults([]);
    await page.reload();
    expect(await page.page.locator('#unfinished').isHidden()).toBe(true);
    expect(errors).toEqual([]);
  }, 180_000);
});

test('after a crash nothing that S3 had travels again, although nobody had reported it', async () => {
  const { context, errors } = await profile();
  const first = await UploadsPage.open(context, stack);
  const file = files.add(SIZE);
  await first.chooseAndStall(stack, 'presigned', file);
  const crashed = first.page.waitForEvent('crash');
  const session = await context.newCDPSession(first.page);
  session.send('Page.crash').catch(() => undefined); // Nobody is left to answer.
  await crashed;
  await stack.setFaults([]);
  const { uploadId, receivedParts } = await uploadOf(stack, file.name);
  expect(receivedParts).toEqual([]);

  const second = await UploadsPage.open(context, stack);
  await stack.clearCalls();
  await second.choose('presigned', file);
  expect(await second.completed(file.name)).toBe(uploadId);
  await expectArrived(second, file);
  expect(await storedPieces(stack, 'presigned')).toBe(pieces('presigned') - 2);
  expect(errors).toEqual([]);
}, 180_000);

test('URLs that have expired before use are signed again', async () => {
  const { context, errors } = await profile();
  const page = await UploadsPage.open(context, stack);
  const file = files.add(SIZE);
  // The last two wait just before they leave, with URLs that they have got in advance.
  let waiting = 0;
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  await page.page.route(/partNumber=[45]\b/, async (route) => {
    waiting++;
    await released;
    await route.continue();
  });
  await page.choose('presigned', file);
  await until('two to wait', 60_000, () => waiting === 2 || undefined);
  // The browser's clock does not know of it, so it takes the URLs that it has for good.
  await stack.advance(3700);
  release();
  await expectArrived(page, file);
  expect(page.transfers.refusals).toEqual([403, 403]);
  expectOnly(errors, /status of 403/);
}, 180_000);

describe('on a bad way', () => {
  const part = { service: 's3', operation: 'UploadPart', caller: 'client', skip: 1 } as const;
  test.each([
    ['cut before S3 has it', [{ ...part, action: { kind: 'cut', when: 'before' } }], 0],
    ['cut before the answer comes', [{ ...part, action: { kind: 'cut', when: 'after' } }], 1],
    ['refused by a busy S3', [{ ...part, action: { kind: 'fail', status: 503, code: 'SlowDown' } }], 0],
  ] satisfies [string, FaultRule[], number][])(
    'a part that is %s is sent again',
    async (_, rules, twice) => {
      const { context, errors } = await profile();
      const page = await UploadsPage.open(context, stack);
      const file = files.add(SIZE);
      await stack.setFaults(rules);
      await stack.clearCalls();
      await page.choose('presigned', file);
      await expectArrived(page, file);
      expect((await stack.faults()).map(({ struck }) => struck)).toEqual([1]);
      expect(await storedPieces(stack, 'presigned')).toBe(pieces('presigned') + twice);
      expectOnly(errors, /ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET|status of 503/);
    },
    180_000,
  );

  /** Part 2 comes to S3 with this content, the first time. Gives how often it was sent. */
  async function replacePart(page: UploadsPage, content: Buffer): Promise<() => number> {
    let sent = 0;
    await page.page.route(/partNumber=2\b/, async (route) => {
      if (route.request().method() === 'PUT' && sent++ === 0) await route.continue({ postData: content });
      else await route.continue();
    });
    return () => sent;
  }

  test('a part that arrives mutilated is refused by S3 and sent again', async () => {
    const { context, errors } = await profile();
    const page = await UploadsPage.open(context, stack);
    const file = files.add(SIZE);
    const timesSent = await replacePart(page, Buffer.alloc(PIECE.presigned - 1000));
    await stack.clearCalls();
    await page.choose('presigned', file);
    await expectArrived(page, file);
    expect(timesSent()).toBe(2);
    expect(page.transfers.refusals).toEqual([403]);
    expect(await storedPieces(stack, 'presigned')).toBe(pieces('presigned'));
    expectOnly(errors, /status of 403/);
  }, 180_000);

  // No length gives this away, and no digest is signed: TLS keeps it from happening, and a checksum tells of it after.
  test('a part that arrives with other bytes, as many, is stored so: the event’s checksum is not the file’s', async () => {
    const { context, errors } = await profile();
    const page = await UploadsPage.open(context, stack);
    const file = files.add(SIZE);
    const other = Buffer.alloc(PIECE.presigned, 'x');
    const timesSent = await replacePart(page, other);
    await page.choose('presigned', file);
    const uploadId = await page.completed(file.name);
    expect(timesSent()).toBe(1);
    const bytes = Buffer.from(file.bytes);
    other.copy(bytes, PIECE.presigned);
    await expectCompleted(stack, uploadId, { ...file, bytes });
    const [event] = await stack.events(uploadId);
    expect(event?.detail['checksumCRC64NVME']).toBe(await crc64(bytes));
    expect(event?.detail['checksumCRC64NVME']).not.toBe(await crc64(file.bytes));
    expect(errors).toEqual([]);
  }, 180_000);

  test('a chunk that is cut, and one whose function dies, are sent again', async () => {
    const { context, errors } = await profile();
    const page = await UploadsPage.open(context, stack);
    const file = files.add(SIZE);
    let cut = 0;
    await page.page.route(/resumableChunkNumber=3&/, async (route) => {
      if (route.request().method() === 'POST' && cut++ === 0) await route.abort('connectionreset');
      else await route.continue();
    });
    await stack.setFaults([
      { caller: 'receive-chunk', operation: 'PutObject', skip: 1, action: { kind: 'kill', when: 'before' } },
      { caller: 'receive-chunk', operation: 'UpdateItem', skip: 3, action: { kind: 'kill', when: 'after' } },
    ]);
    await page.choose('proxy', file);
    await expectArrived(page, file);
    expect(cut).toBeGreaterThan(1);
    expect((await stack.faults()).map(({ struck }) => struck)).toEqual([1, 1]);
    expect(page.transfers.refusals).toEqual([500, 500]);
    expectOnly(errors, /ERR_CONNECTION_RESET|status of 500/);
  }, 180_000);
});

async function crc64(bytes: Uint8Array): Promise<string> {
  const hasher = await createHasher('CRC64NVME');
  hasher.update(bytes);
  return hasher.digest().toString('base64');
}

/** The faults that a test has made show on the browser's console, and nothing else does. */
function expectOnly(errors: readonly string[], expected: RegExp): void {
  expect(errors.filter((error) => !expected.test(error))).toEqual([]);
}
