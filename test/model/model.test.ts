import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { expectEveryItemToHaveTtl } from '../support/outcome.ts';
import { TestStack } from '../support/stack.ts';
import { begin, Chronicle, finish, type Step } from '../support/walk.ts';
import { steps, TOURS } from '../support/walk-steps.ts';

/**
 * Random lives of uploads: sent, repeated, lied about, aborted, expired, begun anew, failed, redriven, watched, and
 * with functions dying at random calls. First those of a seed that is known to lead everywhere, then as many as
 * MODEL_RUNS says of a new one. A walk that fails says which MODEL_SEED and MODEL_PATH replay it.
 */
const { MODEL_RUNS = '25', MODEL_SEED, MODEL_PATH } = process.env;

interface Batch {
  readonly name: string;
  readonly numRuns: number;
  readonly seed?: number;
  readonly path?: string;
}
const KNOWN: Batch = { name: 'of a known seed', numRuns: 20, seed: 1 };
const GIVEN: Batch = {
  name: 'as given',
  numRuns: MODEL_PATH === undefined ? Number(MODEL_RUNS) : 1,
  seed: Number(MODEL_SEED),
  ...(MODEL_PATH !== undefined && { path: MODEL_PATH }),
};
const RANDOM: Batch = { name: 'of a new seed', numRuns: Number(MODEL_RUNS) };

const stack = new TestStack({
  context: { partSize: 5 * 1024 * 1024 },
  // The watchdog comes when a walk says so.
  env: { LOCAL_SCHEDULES: 'off' },
});
beforeAll(async () => {
  await stack.start();
}, 120_000);
afterAll(async () => {
  try {
    await expectEveryItemToHaveTtl(stack);
  } finally {
    await stack.stop();
  }
}, 60_000);

const chronicle = new Chronicle();

async function take(isProxied: boolean, walk: Iterable<Step>): Promise<void> {
  const { books, world } = begin(stack, isProxied, chronicle);
  try {
    await fc.asyncModelRun(() => ({ model: books, real: world }), walk);
    await finish(world, books);
  } finally {
    await stack.setFaults([]);
  }
}

describe.each(MODEL_SEED === undefined ? [KNOWN, RANDOM] : [GIVEN])('walks $name', ({ name, ...batch }) => {
  test('whatever happens to an upload, nothing acknowledged is lost and one whole object comes of it', async () => {
    const property = fc.asyncProperty(
      fc.boolean(),
      fc.commands(steps, { size: 'medium', maxCommands: 20 }),
      take,
    );
    // A walk takes a second; shrinking it would take hundreds.
    const result = await fc.check(property, { ...batch, endOnFailure: true });
    if (result.failed) {
      const { seed, counterexamplePath, counterexample, errorInstance } = result;
      throw new Error(
        `MODEL_SEED=${seed} MODEL_PATH=${counterexamplePath} replays it: ${fc.stringify(counterexample)}`,
        { cause: errorInstance },
      );
    }
    expect(result.numRuns).toBe(batch.numRuns);
  }, 600_000);

  if (name === KNOWN.name) {
    test.each(TOURS)(
      'the same, $name',
      async ({ isProxied, walk }) => {
        await take(isProxied, walk);
      },
      60_000,
    );

    // How far a new seed leads is its luck.
    test('so far, walks have come to every state, and every step has done there what it is for', () => {
      expect(chronicle.missing()).toEqual([]);
    });
  }
});
