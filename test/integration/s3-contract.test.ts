import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createS3Engine, type S3Engine } from '../../local/s3/engine.ts';
import { createS3Forwarder } from '../../local/s3/forward.ts';
import { type Ceph, startCeph } from '../engines/ceph.ts';
import type { ContractCase, KnownDifference, Outcome } from './s3-contract/case.ts';
import { corsCases } from './s3-contract/cors-cases.ts';
import { cephDifferences, forwardingDifferences } from './s3-contract/known-differences.ts';
import { multipartCases } from './s3-contract/multipart-cases.ts';
import { objectCases } from './s3-contract/object-cases.ts';
import { signatureCases } from './s3-contract/signature-cases.ts';
import { contractBucket, createTarget, type Target, unique } from './s3-contract/target.ts';

/**
 * One list of requests, good and bad, with what AWS documents for each. Our engine must answer just so. With
 * `ENGINES=real` Ceph is asked too, directly and through the forwarder; where it departs from AWS is listed, and the
 * list must be exact. With `AWS_ENDPOINT` (and AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_BUCKETS:
 * two buckets with commas, the first with this contract's CORS rules) any other endpoint is held to it.
 */
const engineCases = [...objectCases, ...multipartCases, ...corsCases];
const keyOf = (contractCase: ContractCase): string =>
  `contract/${unique()}/${contractCase.name
    .toLowerCase()
    .replaceAll(/[^a-z]+/g, '-')
    .slice(0, 40)}`;

async function serve(engine: S3Engine): Promise<{ server: Server; endpoint: string }> {
  const server = createServer((req, res) => void engine.handle(req, res));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

async function stopServing(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}

const anyKey = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'any' };

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

  test.each(engineCases.map((contractCase) => [contractCase.name, contractCase] as const))(
    '%s',
    async (_name, contractCase) => {
      expect(await contractCase.run(target, keyOf(contractCase))).toEqual(contractCase.expected);
    },
  );
});

const describeReal = process.env.ENGINES === 'real' ? describe : describe.skip;

describeReal('Ceph answers as AWS documents, but for what is listed', () => {
  const buckets = { bucket: `contract-${unique()}`, plainBucket: `plain-${unique()}` };
  let ceph: Ceph;
  let forwarder: S3Engine;
  let server: Server;
  let direct: Target;
  let forwarded: Target;

  beforeAll(async () => {
    ceph = await startCeph();
    forwarder = createS3Forwarder(ceph);
    await forwarder.createBucket(buckets.bucket, contractBucket);
    await forwarder.createBucket(buckets.plainBucket);
    const served = await serve(forwarder);
    server = served.server;
    direct = createTarget({ name: 'Ceph', endpoint: ceph.endpoint, credentials: ceph, ...buckets });
    forwarded = createTarget({
      name: 'Ceph, forwarded',
      endpoint: served.endpoint,
      credentials: anyKey,
      ...buckets,
    });
  }, 120_000);

  afterAll(async () => {
    direct?.close();
    forwarded?.close();
    if (server !== undefined) await stopServing(server);
    await forwarder?.close();
    await ceph?.stop();
  }, 30_000);

  const cases = [...engineCases, ...signatureCases];
  test.each(cases.map((contractCase) => [contractCase.name, contractCase] as const))(
    '%s',
    async (name, contractCase) => {
      const observed = await contractCase.run(direct, keyOf(contractCase));
      expect(observed).toEqual(expectedOf(name, contractCase.expected, cephDifferences));
    },
    30_000,
  );

  test.each(engineCases.map((contractCase) => [contractCase.name, contractCase] as const))(
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
    const names = cases.map(({ name }) => name);
    for (const difference of [...cephDifferences, ...forwardingDifferences]) {
      expect(names).toContain(difference.case);
      const expected = cases.find(({ name }) => name === difference.case)?.expected;
      expect(difference.observed).not.toEqual(
        forwardingDifferences.includes(difference)
          ? expectedOf(difference.case, expected ?? {}, cephDifferences)
          : expected,
      );
    }
  });
});

/** The listed observation of a case, or what AWS documents. */
function expectedOf(name: string, expected: Outcome, ...lists: (readonly KnownDifference[])[]): Outcome {
  return lists.flat().find((difference) => difference.case === name)?.observed ?? expected;
}

const elsewhere = process.env.AWS_ENDPOINT;
const describeElsewhere = elsewhere === undefined ? describe.skip : describe;

describeElsewhere(`the S3 at ${elsewhere ?? 'AWS_ENDPOINT'} answers as AWS documents`, () => {
  const [bucket = '', plainBucket = ''] = (process.env.AWS_ENDPOINT_BUCKETS ?? '').split(',');
  const { AWS_SESSION_TOKEN: sessionToken } = process.env;
  const target = createTarget({
    name: 'AWS_ENDPOINT',
    endpoint: elsewhere ?? 'http://127.0.0.1:1',
    credentials: {
      accessKeyId: process.env.AWS_ACCESS_KEY_ID ?? '',
      secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY ?? '',
      ...(sessionToken === undefined ? {} : { sessionToken }),
    },
    bucket,
    plainBucket,
    region: process.env.AWS_REGION ?? 'us-east-1',
  });
  afterAll(() => target.close());

  test.each(
    [...engineCases, ...signatureCases].map((contractCase) => [contractCase.name, contractCase] as const),
  )(
    '%s',
    async (_name, contractCase) => {
      expect(await contractCase.run(target, keyOf(contractCase))).toEqual(contractCase.expected);
    },
    30_000,
  );
});
