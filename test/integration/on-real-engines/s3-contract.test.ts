import type { Server } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createS3Forwarder } from '../../../local/s3/forward.ts';
import { realEngines } from '../../engines/real-engines.ts';
import { allCases, engineCases, expectedOf, keyOf, named } from '../s3-contract/cases.ts';
import { cephDifferences, forwardingDifferences } from '../s3-contract/known-differences.ts';
import { anyKey, serve, stopServing } from '../s3-contract/served.ts';
import { contractBucket, createTarget, type Target, unique } from '../s3-contract/target.ts';

/** Ceph is asked directly and through the forwarder; where it departs from AWS is listed, and the list is exact. */
describe('Ceph answers as AWS documents, but for what is listed', () => {
  const buckets = { bucket: `contract-${unique()}`, plainBucket: `plain-${unique()}` };
  const { s3: ceph } = realEngines();
  const forwarder = createS3Forwarder(ceph);
  let server: Server;
  const direct = createTarget({ name: 'Ceph', endpoint: ceph.endpoint, credentials: ceph, ...buckets });
  let forwarded: Target;

  beforeAll(async () => {
    await forwarder.createBucket(buckets.bucket, contractBucket);
    await forwarder.createBucket(buckets.plainBucket);
    const served = await serve(forwarder);
    server = served.server;
    forwarded = createTarget({
      name: 'Ceph, forwarded',
      endpoint: served.endpoint,
      credentials: anyKey,
      ...buckets,
    });
  }, 120_000);

  afterAll(async () => {
    direct.close();
    forwarded?.close();
    if (server !== undefined) await stopServing(server);
    await forwarder.close();
  }, 30_000);

  test.each(named(allCases))(
    '%s',
    async (name, contractCase) => {
      const observed = await contractCase.run(direct, keyOf(contractCase));
      expect(observed).toEqual(expectedOf(name, contractCase.expected, cephDifferences));
    },
    30_000,
  );

  test.each(named(engineCases))(
    'forwarded: %s',
    async (name, contractCase) => {
      const observed = await contractCase.run(forwarded, keyOf(contractCase));
      expect(observed).toEqual(
        expectedOf(name, contractCase.expected, forwardingDifferences, cephDifferences),
      );
    },
    30_000,
  );

  test('every listed difference names a case, and differs', () => {
    const names = allCases.map(({ name }) => name);
    for (const difference of [...cephDifferences, ...forwardingDifferences]) {
      expect(names).toContain(difference.case);
      const expected = allCases.find(({ name }) => name === difference.case)?.expected;
      expect(difference.observed).not.toEqual(
        forwardingDifferences.includes(difference)
          ? expectedOf(difference.case, expected ?? {}, cephDifferences)
          : expected,
      );
    }
  });
});
