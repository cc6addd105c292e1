import { expect } from '@jest/globals';
import {
  type Death,
  deathName,
  deathsInLog,
  deathsThatDidNotHappen,
  discoverDeaths,
  failuresOf,
  lastCall,
  playToTheEnd,
  ruleFor,
} from './deaths.ts';
import { expectCompleted, expectNoLeftovers } from './outcome.ts';
import { watchRounds } from './passing-time.ts';
import type { PlayedUpload, Way } from './played-uploads.ts';
import { type TestStack, until } from './stack.ts';

const kindOf = ({ caller, operation }: Death): string => `${caller} ${operation}`;

/** Plays an upload undisturbed, and gives every death on its way, before and after each call. */
export async function discoverOn(stack: TestStack, way: Way): Promise<Death[]> {
  const { file, uploadId, user, steps, faults = [] } = await way.begin(stack);
  await stack.setFaults(faults);
  const deaths = await discoverDeaths(stack, steps, async () => {
    await until(
      'the execution to succeed',
      60_000,
      async () =>
        (await stack.executions(uploadId)).some(({ status }) => status === 'SUCCEEDED') || undefined,
    );
  });
  expect(await deathsThatDidNotHappen(stack)).toEqual([]);
  await stack.setFaults([]);
  await expectCompleted(user, uploadId, file, way.toldBefore);
  const wanted = deaths.filter(({ caller }) => way.about?.includes(caller) ?? true);
  expect([...new Set(wanted.map(kindOf))]).toEqual(expect.arrayContaining([...way.calls]));
  return wanted;
}

/**
 * Plays an upload for each death, by a client that repeats whatever got no answer, and holds that each completes with
 * nothing left over.
 */
export async function expectCompletedDespite(
  stack: TestStack,
  way: Way,
  deaths: readonly Death[],
): Promise<readonly PlayedUpload[]> {
  const cases = await Promise.all(deaths.map(async (death) => ({ death, ...(await way.begin(stack)) })));
  // A death strikes before what makes the way what it is: so the calls that are left to that are the same ones.
  const deadly = cases.map(({ death, mark }) => ruleFor(death, mark));
  const others = cases.flatMap(({ faults = [] }) => faults);
  await stack.setFaults([...deadly, ...others]);
  const from = await lastCall(stack);
  const failures = await failuresOf(
    cases,
    ({ death }) => deathName(death),
    async ({ file, uploadId, user, steps }) => {
      await playToTheEnd(steps);
      await expectCompleted(user, uploadId, file, way.toldBefore);
    },
  );
  expect(failures).toEqual([]);
  // Who dies at the very call that makes the way what it is leaves nothing there for that to strike.
  const ids = new Set(deadly.map(({ id }) => id));
  expect(await deathsThatDidNotHappen(stack, ({ id }) => ids.has(id))).toEqual([]);
  const struck = (await stack.faults()).filter(({ rule }) => ['kill', 'cut'].includes(rule.action.kind));
  expect(deathsInLog(await stack.calls(from))).toBe(struck.reduce((sum, one) => sum + one.struck, 0));
  await stack.setFaults([]);

  await watchRounds(stack, 2);
  for (const { uploadId, owner } of cases) await expectNoLeftovers(stack, uploadId, owner);
  return cases;
}
