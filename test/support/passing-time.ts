import { expect } from '@jest/globals';
import { conformEvent } from './openapi.ts';
import type { TestStack } from './stack.ts';

/** A little more than the watchdog's period, and than the time after which it sweeps. */
export const WATCHDOG_PERIOD = 301;
/** A little more than the default 24 hours without a sign of life, and the hour by which expiry may lag. */
export const ABANDONED = 25 * 3600 + 60;
/** A little more than the oldest that a record of an upload without success becomes, by default. */
export const FORGOTTEN = 8 * 86_400 + 60;

/** Lets the watchdog come round some times. */
export async function watchRounds(stack: TestStack, rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    await stack.advance(WATCHDOG_PERIOD);
    await stack.watch();
  }
}

/**
 * Lets so much time pass that unfinished uploads expire, and holds against each that nothing is left of it but its
 * record and the one event; then that its record goes too.
 */
export async function expectToExpireWithoutTrace(
  stack: TestStack,
  uploadIds: readonly string[],
): Promise<void> {
  const recorded = await recordsOf(stack, uploadIds);
  await stack.advance(ABANDONED);
  await stack.watch();
  await watchRounds(stack, 1);
  await expectNothingInS3(stack, uploadIds);
  for (const uploadId of uploadIds) {
    const events = await stack.events(uploadId);
    events.forEach(conformEvent);
    const news = [...new Set(events.map((event) => `${event['detail-type']} ${event.detail.eventId}`))];
    if (recorded.has(uploadId)) expect(news).toEqual([expect.stringContaining('Upload Expired')]);
    else expect(news).toEqual([]);
  }
  await stack.advance(FORGOTTEN);
  await stack.sweepTtl();
  expect([...(await recordsOf(stack, uploadIds))]).toEqual([]);
}

/** Neither objects nor staged chunks nor multipart uploads. */
export async function expectNothingInS3(stack: TestStack, uploadIds: readonly string[]): Promise<void> {
  const ids = new Set(uploadIds);
  const ours = (key: string): boolean => ids.has(key.split('/')[2] ?? '');
  expect((await stack.objects()).filter(ours)).toEqual([]);
  expect((await stack.multipartUploads()).filter(ours)).toEqual([]);
}

/** Which of the uploads the table knows anything of. */
async function recordsOf(stack: TestStack, uploadIds: readonly string[]): Promise<Set<string>> {
  const ids = new Set(uploadIds);
  const found = (await stack.items()).map(({ pk }) => String(pk).split('#')[1] ?? '');
  return new Set(found.filter((uploadId) => ids.has(uploadId)));
}
