import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { expectEveryItemToHaveTtl } from '../support/outcome.ts';
import { TestStack } from '../support/stack.ts';
import { begin, finish, steps } from '../support/walk.ts';

/**
 * Random lives of uploads: sent, repeated, lied about, aborted, expired, begun anew, failed, redriven, watched, and
 * with functions dying at random calls. MODEL_RUNS sets how many. A walk that fails says which MODEL_SEED and MODEL_PATH
 * replay it.
 */
const { MODEL_RUNS = '25', MODEL_SEED, MODEL_PATH } = process.env;

const stack = new TestStack({
  context: { partSize: 5 * 1024 * 1024 },
  // The watchdog comes when a walk says so.
  env: { LOCAL_SCHEDULES: 'off' },
});
beforeAll(async () => {
  await stack.start();
}, 120_000);
afterAll(async () => {
  await expectEveryItemToHaveTtl(stack);
  await stack.stop();
}, 60_000);

test('whatever happens to an upload, nothing acknowledged is lost and one whole object comes of it', async () => {
  const property = fc.asyncProperty(
    fc.boolean(),
    fc.commands(steps, { size: 'medium', maxCommands: 14 }),
    async (isProxied, walk) => {
      const { books, world } = begin(stack, isProxied);
      try {
        await fc.asyncModelRun(() => ({ model: books, real: world }), walk);
        await finish(world, books);
      } finally {
        await stack.setFaults([]);
      }
    },
  );
  const result = await fc.check(property, {
    numRuns: MODEL_PATH === undefined ? Number(MODEL_RUNS) : 1,
    // A walk takes a second; shrinking it would take hundreds.
    endOnFailure: true,
    ...(MODEL_SEED !== undefined && { seed: Number(MODEL_SEED) }),
    ...(MODEL_PATH !== undefined && { path: MODEL_PATH }),
  });
  if (result.failed) {
    const { seed, counterexamplePath, counterexample, errorInstance } = result;
    throw new Error(
      `MODEL_SEED=${seed} MODEL_PATH=${counterexamplePath} replays it: ${fc.stringify(counterexample)}`,
      { cause: errorInstance },
    );
  }
  expect(result.numRuns).toBeGreaterThan(0);
}, 600_000);
