import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  bytesInS3,
  type Death,
  deathName,
  deathsThatDidNotHappen,
  failuresOf,
  playToTheDeath,
  playToTheEnd,
  ruleFor,
  type Step,
} from '../support/deaths.ts';
import { discoverOn, expectCompletedDespite } from '../support/deaths-on-ways.ts';
import { conform } from '../support/openapi.ts';
import { expectCompleted, expectEveryItemToHaveTtl, expectNoLeftovers } from '../support/outcome.ts';
import { expectToExpireWithoutTrace, watchRounds } from '../support/passing-time.ts';
import { type PlayedUpload, presigned, WAYS } from '../support/played-uploads.ts';
import { TestStack } from '../support/stack.ts';

/** Every AWS call of every function is once the last thing that the function does, just before it or just after. */

const PART_SIZE = 5 * 1024 * 1024;

const stack = new TestStack({ context: { partSize: PART_SIZE }, env: { LOCAL_SCHEDULES: 'off' } });
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

/** An upload whose client has gone away in the midst of it. */
interface Given {
  readonly upload: PlayedUpload;
  readonly death: Death;
  /** The steps that had succeeded. */
  readonly acknowledged: readonly Step[];
  /** Where its bytes are: all of them recorded; all of them in S3; or not. */
  readonly there: 'recorded' | 'in S3' | 'in part';
}

const titleOf = ({ death, there }: Given): string => `${deathName(death)}, bytes ${there}`;

/** The upload as the API tells of it; undefined where it knows of none. */
async function told(
  uploadId: string,
): Promise<{ status: string; receivedBytes: number; receivedParts: [number, number][] } | undefined> {
  const response = await stack.api('GET', `/uploads/${uploadId}`);
  return response.status === 404
    ? undefined
    : ((await conform('GET', '/uploads/{uploadId}', response)) as Awaited<ReturnType<typeof told>>);
}

async function giveUp(upload: PlayedUpload, death: Death): Promise<Omit<Given, 'there'>> {
  const acknowledged = await playToTheDeath(upload.steps);
  if (!acknowledged) throw new Error('Nobody died.');
  return { upload, death, acknowledged };
}

async function whereBytesAre({ uploadId, file }: PlayedUpload): Promise<Given['there']> {
  const size = file.bytes.byteLength;
  if ((await told(uploadId))?.receivedBytes === size) return 'recorded';
  // More where a chunk is staged and in a part that was assembled already.
  return (await bytesInS3(stack, uploadId)) >= size ? 'in S3' : 'in part';
}

/** Nothing that was acknowledged is lost: an upload that began is there, and so is every piece. */
async function expectResumable({ upload, acknowledged }: Given): Promise<void> {
  const pieces = acknowledged.flatMap((step) => step.acknowledges ?? []);
  const isBegun = acknowledged.some((step) => step.acknowledges !== undefined);
  const now = await told(upload.uploadId);
  if (!now) {
    // Who died before the upload was on record leaves nothing to resume.
    expect(isBegun).toBe(false);
    return;
  }
  expect(now.status).toBe('uploading');
  const has = (piece: number): boolean => now.receivedParts.some(([a, b]) => a <= piece && piece <= b);
  expect(pieces.filter((piece) => !has(piece))).toEqual([]);
}

describe.each(WAYS)('$name', (way) => {
  let deaths: Death[] = [];

  test('every call can be died at', async () => {
    deaths = await discoverOn(stack, way);
  }, 60_000);

  test('a client that repeats what got no answer has its file, whoever dies', async () => {
    await expectCompletedDespite(stack, way, deaths);
    await expectEveryItemToHaveTtl(stack);
  }, 600_000);

  test('with the client gone for good, what is all there completes, and the rest waits, or expires', async () => {
    const cases = await Promise.all(
      deaths
        .filter(({ caller }) => ANSWERING.includes(caller))
        .map(async (death) => ({ death, upload: await way.begin(stack) })),
    );
    await stack.setFaults(cases.map(({ death, upload }) => ruleFor(death, upload.mark)));
    const gone: Omit<Given, 'there'>[] = [];
    const failures = await failuresOf(
      cases,
      ({ death }) => deathName(death),
      async ({ upload, death }) => {
        gone.push(await giveUp(upload, death));
      },
    );
    expect(failures).toEqual([]);
    expect(await deathsThatDidNotHappen(stack)).toEqual([]);
    await stack.setFaults([]);
    const given: Given[] = [];
    for (const one of gone) given.push({ ...one, there: await whereBytesAre(one.upload) });
    const those = (there: Given['there']): Given[] => given.filter((one) => one.there === there);
    const complete = async ({ upload }: Given): Promise<void> =>
      await expectCompleted(stack, upload.uploadId, upload.file);

    // What is recorded needs one look. What is not needs two, since only a quiet upload is looked at so closely.
    await watchRounds(stack, 1);
    expect(await failuresOf(those('recorded'), titleOf, complete)).toEqual([]);
    await watchRounds(stack, 1);
    expect(await failuresOf(those('in S3'), titleOf, complete)).toEqual([]);
    const partial = those('in part');
    expect(given.length - partial.length).toBeGreaterThan(0);
    expect(partial.length).toBeGreaterThan(0);
    expect(await failuresOf(partial, titleOf, expectResumable)).toEqual([]);

    const [comeBack, stayAway] = [0, 1].map((half) => partial.filter((_, index) => index % 2 === half));
    const resumed = await failuresOf(comeBack ?? [], titleOf, async (one) => {
      await playToTheEnd(one.upload.steps.slice(one.acknowledged.length));
      await complete(one);
    });
    expect(resumed).toEqual([]);
    await watchRounds(stack, 2);
    for (const { upload } of given.filter((one) => !stayAway?.includes(one)))
      await expectNoLeftovers(stack, upload.uploadId);
    await expectToExpireWithoutTrace(
      stack,
      (stayAway ?? []).map(({ upload }) => upload.uploadId),
    );
  }, 600_000);
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
