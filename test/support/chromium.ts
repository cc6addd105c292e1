import { existsSync } from 'node:fs';
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from 'playwright-core';

const EXECUTABLE = '/usr/bin/chromium';

/** @throws where there is none, naming the package to install */
export async function launchChromium(): Promise<Browser> {
  if (!existsSync(EXECUTABLE))
    throw new Error(
      `There is no ${EXECUTABLE}: install Debian's package "chromium" (apt-get install chromium).`,
    );
  return await chromium.launch({
    executablePath: EXECUTABLE,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

/** A new empty profile, and everything that its pages say on the browser's console as errors. */
export interface Profile {
  readonly context: BrowserContext;
  /** Errors on the console, and exceptions that nothing caught, of all pages of this profile. */
  readonly errors: string[];
}

export async function newProfile(browser: Browser, options: BrowserContextOptions = {}): Promise<Profile> {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(60_000);
  const errors: string[] = [];
  context.on('console', (message) => {
    if (message.type() === 'error') errors.push(`${message.text()} (${message.location().url})`);
  });
  context.on('weberror', (error) => errors.push(String(error.error().stack)));
  return { context, errors };
}

/** How fast a page may send; answers come unhindered. */
export interface Uplink {
  /** @param bytesPerSecond undefined for as fast as it can */
  limit(bytesPerSecond: number | undefined): Promise<void>;
  /** As if the cable were pulled: what is under way fails, and the browser knows itself to be offline. */
  cut(): Promise<void>;
}

export async function uplinkOf(page: Page): Promise<Uplink> {
  const session = await page.context().newCDPSession(page);
  await session.send('Network.enable');
  const emulate = async (offline: boolean, uploadThroughput: number) =>
    void (await session.send('Network.emulateNetworkConditions', {
      offline,
      latency: 0,
      downloadThroughput: -1,
      uploadThroughput,
    }));
  return {
    limit: async (bytesPerSecond) => await emulate(false, bytesPerSecond ?? -1),
    cut: async () => await emulate(true, -1),
  };
}
