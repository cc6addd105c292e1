import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Death } from '../support/deaths.ts';
import { discoverOn, expectCompletedDespite } from '../support/deaths-on-ways.ts';
import { expectEveryItemToHaveTtl } from '../support/outcome.ts';
import { ASKED, MAX_UPLOADS, quotaKey } from '../support/played-asked.ts';
import { DETOURS, itemOf } from '../support/played-detours.ts';
import { TestStack } from '../support/stack.ts';

/** Deaths at the calls that an upload makes only where something goes wrong, or where a deployment has turned it on. */

const PART_SIZE = 5 * 1024 * 1024;

describe.each([
  ['by default', DETOURS, {}, {}],
  [
    'asked about, looked at and counted',
    ASKED,
    { AUTH: 'jwt', UPLOADS_APP: 'test/support/asking-app.ts' },
    { maxUploadsPerOwner: MAX_UPLOADS },
  ],
])('%s', (_, ways, env, context) => {
  const stack = new TestStack({
    context: { partSize: PART_SIZE, ...context },
    env: { LOCAL_SCHEDULES: 'off', ...env },
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

  describe.each(ways)('$name', (way) => {
    let deaths: Death[] = [];

    test('every call can be died at', async () => {
      deaths = await discoverOn(stack, way);
    }, 120_000);

    test('a client that repeats what got no answer has its file, whoever dies', async () => {
      const played = await expectCompletedDespite(stack, way, deaths);
      for (const one of played) {
        const { attempt } = (await itemOf(stack, one)) ?? {};
        const { pk } = quotaKey(one.owner);
        const quota = (await stack.items()).find((item) => item.pk === pk) ?? {};
        expect(Object.keys(quota)).not.toContain(`${one.uploadId}#${String(attempt)}`);
      }
    }, 600_000);
  });
});
