import type { BrowserContext, Locator, Page, Request } from 'playwright-core';
import type { AwsCall, FaultRule } from '../../local/types.ts';
import { type Uplink, uplinkOf } from './chromium.ts';
import type { DiskFile } from './files.ts';
import { type TestStack, until } from './stack.ts';

export type Mode = 'presigned' | 'proxy';

/** What a file dialog hands to a page: a path, or a file that needs no disk (and may have any name). */
export type ChosenFile = Pick<DiskFile, 'path'> | { name: string; mimeType: string; buffer: Buffer };

/** The page that the stack serves at `/`, as a person uses it. */
export class UploadsPage {
  readonly page: Page;
  readonly uplink: Uplink;
  readonly transfers: Transfers;

  private constructor(page: Page, uplink: Uplink) {
    this.page = page;
    this.uplink = uplink;
    this.transfers = new Transfers(page);
  }

  static async open(context: BrowserContext, stack: TestStack): Promise<UploadsPage> {
    const page = await context.newPage();
    const opened = new UploadsPage(page, await uplinkOf(page));
    await page.goto(stack.apiUrl);
    await opened.#untilReady();
    return opened;
  }

  async reload(): Promise<void> {
    await this.page.reload();
    await this.#untilReady();
  }

  /** The limits come from the API: with them the page's scripts have run. */
  async #untilReady(): Promise<void> {
    await this.page.locator('#limits').filter({ hasText: 'Up to' }).waitFor();
    // Sentences stay for a moment only: each is noted as it comes, as a screen reader takes it.
    const region = this.page.locator('#announcements').and(this.page.getByRole('status'));
    await region.evaluate((element) => {
      const said: string[] = [];
      Object.assign(globalThis, { said });
      const note = () => said.push(element.textContent ?? '');
      new MutationObserver(note).observe(element, { childList: true, characterData: true, subtree: true });
    });
  }

  /** What a screen reader has been told since the page was loaded. */
  async announcements(): Promise<string[]> {
    return await this.page.evaluate(() => (globalThis as unknown as { said: string[] }).said);
  }

  async choose(mode: Mode, ...files: readonly ChosenFile[]): Promise<void> {
    const label = mode === 'proxy' ? 'Through the API' : 'Straight to S3';
    await this.page.getByRole('radio', { name: label }).check();
    const [first] = files;
    if (first && 'buffer' in first) await this.page.setInputFiles('#files', first);
    else
      await this.page.setInputFiles(
        '#files',
        files.flatMap((file) => ('path' in file ? [file.path] : [])),
      );
  }

  /**
   * Begins to send a file, and stands still when the server has taken two pieces: it holds back all others that come,
   * until its faults are cleared. Those held back already stay so.
   */
  async chooseAndStall(stack: TestStack, mode: Mode, file: DiskFile): Promise<void> {
    await stack.setFaults([{ ...arrival(mode), skip: 2, times: 0, action: { kind: 'delay', ms: 900_000 } }]);
    await this.choose(mode, file);
    await until('two pieces to be stored', 60_000, () => this.transfers.acknowledged.size === 2 || undefined);
    await untilHeld(stack, 3);
    // The page remembers the upload's id with the next progress that it is told of.
    await this.page.waitForFunction((name) => {
      const unfinished = JSON.parse(localStorage.getItem('resumable-uploads:unfinished') ?? '[]');
      return unfinished.some((one: Record<string, unknown>) => one['name'] === name && one['uploadId']);
    }, file.name);
  }

  card(name: string): Locator {
    const heading = this.page.getByRole('heading', { name, exact: true });
    return this.page.locator('#upload-list > li', { has: heading });
  }

  async untilState(name: string, state: string, timeout = 90_000): Promise<void> {
    const shown = this.card(name).locator('.state');
    try {
      await shown.filter({ hasText: state }).waitFor({ timeout });
    } catch (cause) {
      throw new Error(`${name} is not "${state}" but: ${await this.card(name).innerText()}`, { cause });
    }
  }

  async press(action: 'Pause' | 'Resume' | 'Try again' | 'Cancel', name: string): Promise<void> {
    await this.page.getByRole('button', { name: `${action} ${name}` }).click();
  }

  /** Waits until the page shows the file as completed; gives the upload's id. */
  async completed(name: string, timeout?: number): Promise<string> {
    await this.untilState(name, 'Completed', timeout);
    const key = await this.card(name).locator('.key').filter({ hasText: '/' }).innerText();
    return key.split('/')[2] ?? '';
  }
}

/** The call by which a piece comes to S3. */
export const arrival = (mode: Mode): Pick<FaultRule, 'service' | 'operation' | 'caller'> =>
  mode === 'presigned'
    ? { service: 's3', operation: 'UploadPart', caller: 'client' }
    : { service: 's3', operation: 'PutObject', caller: 'receive-chunk' };

/** Waits until the one fault rule has struck so often: as many pieces are under way, and get no answer. */
export async function untilHeld(stack: TestStack, count: number): Promise<void> {
  await until(`${count} pieces to be held back`, 60_000, async () => {
    const [held] = await stack.faults();
    return held?.struck === count || undefined;
  });
}

/** The pieces (parts or chunks) of one file that a page sends. */
export class Transfers {
  /** Numbers of those whose success the page was told. */
  readonly acknowledged = new Set<number>();
  /** Numbers of those that were sent although the page knew them to be stored. */
  readonly needless: number[] = [];
  /** How many requests have failed without an answer. */
  failed = 0;
  /** Statuses of answers that were no success. */
  readonly refusals: number[] = [];

  constructor(page: Page) {
    page.on('request', (request) => {
      const piece = pieceOf(request);
      if (piece !== undefined && this.acknowledged.has(piece)) this.needless.push(piece);
    });
    page.on('response', (response) => {
      const piece = pieceOf(response.request());
      if (piece === undefined) return;
      if (response.status() === 200) this.acknowledged.add(piece);
      else this.refusals.push(response.status());
    });
    page.on('requestfailed', (request) => {
      if (pieceOf(request) !== undefined) this.failed++;
    });
  }
}

function pieceOf(request: Request): number | undefined {
  const { pathname, searchParams } = new URL(request.url());
  if (request.method() === 'PUT') return Number(searchParams.get('partNumber'));
  if (request.method() === 'POST' && pathname === '/upload')
    return Number(searchParams.get('resumableChunkNumber'));
  return undefined;
}

/**
 * How many pieces S3 has taken, as its log of calls says: from browsers, or from the function that stages chunks (one
 * that is a whole part by itself is stored as such).
 */
export async function storedPieces(stack: TestStack, mode: Mode): Promise<number> {
  const isOfBrowser = ({ presigned, operation }: AwsCall) => presigned && operation === 'UploadPart';
  const isOfFunction = ({ functionName, operation }: AwsCall) =>
    functionName === 'receive-chunk' && ['PutObject', 'UploadPart'].includes(operation);
  const isOfMode = mode === 'presigned' ? isOfBrowser : isOfFunction;
  return (await stack.calls()).filter((call) => call.status === 200 && isOfMode(call)).length;
}

/** The upload of a file, found by its name, as the API describes it; waits until there is one. */
export async function uploadOf(
  stack: TestStack,
  fileName: string,
): Promise<{ uploadId: string; status: string; receivedParts: [number, number][]; partCount: number }> {
  const item = await until(`an upload of ${fileName}`, 60_000, async () =>
    (await stack.items()).find((one) => one.sk === 'upload' && one.fileName === fileName),
  );
  const response = await stack.api('GET', `/uploads/${String(item.pk).split('#')[1]}`);
  return (await response.json()) as Awaited<ReturnType<typeof uploadOf>>;
}

/** Waits until the server has so many pieces of a file on record; gives the upload's id. */
export async function untilReceived(stack: TestStack, fileName: string, count: number): Promise<string> {
  return await until(`${count} pieces of ${fileName} on record`, 60_000, async () => {
    const { uploadId, receivedParts } = await uploadOf(stack, fileName);
    return countOf(receivedParts) === count ? uploadId : undefined;
  });
}

const countOf = (ranges: readonly (readonly [number, number])[]): number =>
  ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0);
