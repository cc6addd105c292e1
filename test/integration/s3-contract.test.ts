import { mkdtempSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createS3Engine, type S3Engine } from '../../local/s3/engine.ts';
import { engineCases, keyOf, named } from './s3-contract/cases.ts';
import { anyKey, serve, stopServing } from './s3-contract/served.ts';
import { contractBucket, createTarget, type Target } from './s3-contract/target.ts';

/**
 * One list of requests, good and bad, with what AWS documents for each. Our engine must answer just so. Ceph is asked
 * the same (on-real-engines), and so is AWS where there is an account (test/aws).
 */
describe('our S3 answers as AWS documents', () => {
  const dir = mkdtempSync(join(tmpdir(), 's3-contract-'));
  let engine: S3Engine;
  let server: Server;
  let target: Target;

  beforeAll(async () => {
    engine = createS3Engine({ dir, clock: { now: () => Date.now(), advance: () => undefined } });
    await engine.createBucket('contract', contractBucket);
    await engine.createBucket('plain');
    const served = await serve(engine);
    server = served.server;
    target = createTarget({
      name: 'ours',
      endpoint: served.endpoint,
      credentials: anyKey,
      bucket: 'contract',
      plainBucket: 'plain',
    });
  });

  afterAll(async () => {
    target.close();
    await stopServing(server);
    await engine.close();
    rmSync(dir, { recursive: true });
  });

  test.each(named(engineCases))('%s', async (_name, contractCase) => {
    expect(await contractCase.run(target, keyOf(contractCase))).toEqual(contractCase.expected);
  });
});
