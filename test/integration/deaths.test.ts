import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  bytesInS3,
  type Death,
  deathName,
  deathsInLog,
  deathsThatDidNotHappen,
  discoverDeaths,
  failuresOf,
  lastCall,
  playToTheDeath,
  playToTheEnd,
  ruleFor,
} from '../support/deaths.ts';
import { expectCompleted, expectEveryItemToHaveTtl, expectNoLeftovers } from '../support/outcome.ts';
import { expectToExpireWithoutTrace, watchRounds } from '../support/passing-time.ts';
import { presigned, WAYS } from '../support/played-uploads.ts';
import { TestStack, until } from '../support/stack.ts';

/** Every AWS call of every function is once the last thing that the function does, just before it or just after. */

const PART_SIZE = 5 * 1024 * 1024;

const stack = new TestStack({ context: { partSize: PART_SIZE } });
beforeAll(async () => {
  await stack.start();
}, 120_000);
afterAll(async () => {
  await stack.stop();
}, 60_000);

/** The functions that a client's request waits for. */
const ANSWERING = [
  ...['receive-chunk', 'test-chunk', 'create-upload', 'get-upload', 'sign-parts', 'record-parts'],
];

describe.each(WAYS)('$name', ({ begin, calls }) => {
  let deaths: Death[] = [];

  test('every call can be died at', async () => {
    const { file, uploadId, steps } = begin(stack);
    deaths = await discoverDeaths(stack, steps, async () => {
      await until(
        'the execution to succeed',
        30_000,
        async () =>
          (await stack.executions(uploadId)).some(({ status }) => status === 'SUCCEEDED') || undefined,
      );
    });
    await expectCompleted(stack, uploadId, file);
    const kinds = new Set(deaths.map(({ caller, operation }) => `${caller} ${operation}`));
    expect([...kinds]).toEqual(expect.arrayContaining([...calls]));
  }, 60_000);

  test('a client that repeats what got no answer has its file, whoever dies', async () => {
    const cases = deaths.map((death) => ({ death, ...begin(stack) }));
    await stack.setFaults(cases.map(({ death, uploadId }) => ruleFor(death, uploadId)));
    const from = await lastCall(stack);
    const failures = await failuresOf(
      cases,
      ({ death }) => deathName(death),
      async ({ file, uploadId, steps }) => {
        await playToTheEnd(steps);
        await expectCompleted(stack, uploadId, file);
      },
    );
    expect(failures).toEqual([]);
    expect(await deathsThatDidNotHappen(stack)).toEqual([]);
    expect(deathsInLog(await stack.calls(from))).toBe(cases.length);
    await stack.setFaults([]);

    await watchRounds(stack, 2);
    for (const { uploadId } of cases) await expectNoLeftovers(stack, uploadId);
    await expectEveryItemToHaveTtl(stack);
  }, 300_000);

  test('with the client gone for good, what is all there completes, and the rest expires', async () => {
    const cases = deaths
      .filter(({ caller }) => ANSWERING.includes(caller))
      .map((death) => ({ death, ...begin(stack), isWhole: false }));
    await stack.setFaults(cases.map(({ death, uploadId }) => ruleFor(death, uploadId)));
    const failures = await failuresOf(
      cases,
      ({ death }) => deathName(death),
      async (one) => {
        expect(await playToTheDeath(one.steps)).toBe(true);
        // More where a chunk is staged and in a part that was assembled already.
        one.isWhole = (await bytesInS3(stack, one.uploadId)) >= one.file.bytes.byteLength;
      },
    );
    expect(failures).toEqual([]);
    expect(await deathsThatDidNotHappen(stack)).toEqual([]);
    await stack.setFaults([]);

    await watchRounds(stack, 3);
    const whole = cases.filter(({ isWhole }) => isWhole);
    const partial = cases.filter(({ isWhole }) => !isWhole);
    expect(whole.length).toBeGreaterThan(0);
    expect(partial.length).toBeGreaterThan(0);
    const later = await failuresOf(
      cases,
      ({ death, isWhole }) => `${deathName(death)}, ${isWhole ? 'all there' : 'not all there'}`,
      async ({ file, uploadId, isWhole }) => {
        const response = await stack.api('GET', `/uploads/${uploadId}`);
        const { status } = (await response.json()) as { status: unknown };
        // Who died before the upload was on record leaves nothing to resume.
        if (response.status !== 404) expect(status).toMatch(isWhole ? /^complet/ : /^uploading$/);
        if (isWhole) await expectCompleted(stack, uploadId, file);
      },
    );
    expect(later).toEqual([]);
    await watchRounds(stack, 2);
    for (const { uploadId } of whole) await expectNoLeftovers(stack, uploadId);
    await expectToExpireWithoutTrace(
      stack,
      partial.map(({ uploadId }) => uploadId),
    );
  }, 300_000);
});

test('a presigned file of two pages is whole, with its reports dying at a dozen calls', async () => {
  const size = 16 * PART_SIZE + 1000;
  const { file, uploadId, steps } = presigned(stack, size, { reported: 'at once' });
  await stack.setFaults([
    {
      ...{ caller: 'record-parts', input: uploadId, times: 12, probability: 0.4, seed: 16 },
      action: { kind: 'kill', when: 'after' },
    },
  ]);
  await playToTheEnd(steps);
  expect((await stack.faults())[0]?.struck).toBeGreaterThan(3);
  await stack.setFaults([]);
  const pages = (await stack.items()).filter(
    ({ pk, sk }) => String(pk).endsWith(uploadId) && sk !== 'upload',
  );
  expect(pages).toHaveLength(2);
  await expectCompleted(stack, uploadId, file);
}, 120_000);
