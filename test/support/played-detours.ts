import { GetItemCommand } from '@aws-sdk/client-dynamodb';
import { DeleteObjectCommand } from '@aws-sdk/client-s3';
import { unmarshall } from '@aws-sdk/util-dynamodb';
import type { FaultRule } from '../../local/types.ts';
import { untilOk } from './clients.ts';
import type { Step } from './deaths.ts';
import { type PlayedUpload, presignedRequests, proxiedRequests, type Way } from './played-uploads.ts';
import { type TestStack, until } from './stack.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const options = { chunkSize: 64 * KiB };

export type About = Pick<PlayedUpload, 'uploadId' | 'owner' | 'mark'>;

/** Read from the table: a status asked of the API would be a call, and another number of them each time. */
export async function itemOf(
  stack: TestStack,
  { owner, uploadId }: About,
): Promise<Record<string, unknown> | undefined> {
  const { Item } = await stack.dynamodb.send(
    new GetItemCommand({
      TableName: stack.tableName,
      Key: { pk: { S: `${owner}#${uploadId}` }, sk: { S: 'upload' } },
      ConsistentRead: true,
    }),
  );
  return Item && unmarshall(Item);
}

const untilItem = (
  stack: TestStack,
  about: About,
  name: string,
  is: (item: Record<string, unknown>) => boolean,
): Step => ({
  name,
  send: async () =>
    await until(name, 60_000, async () => {
      const item = await itemOf(stack, about);
      return (item && is(item)) || undefined;
    }),
});

/** An execution found that something is missing, and the client is to send it again. */
export const openedAgain = (stack: TestStack, about: About): Step =>
  untilItem(stack, about, 'the upload to be open again', ({ run }) => run === 2);

/** By what was told, not by its status: a client that repeats what got no answer may have begun it anew already. */
export const failedForGood = (stack: TestStack, { uploadId }: About): Step => ({
  name: 'the upload to have failed',
  send: async () =>
    await until('the upload to have failed', 60_000, async () => {
      const events = await stack.events(uploadId);
      return events.some((event) => event['detail-type'] === 'Upload Failed') || undefined;
    }),
});

/**
 * Two who do the same: the first is held up when it has made its multipart upload, until the second has made another,
 * and then finds that it has lost. Longer than the second one's function takes to start, and to die and start again.
 */
const heldUp = (caller: string, mark: string): FaultRule => ({
  ...{ id: `${mark} held up`, caller, operation: 'CreateMultipartUpload', input: mark },
  action: { kind: 'delay', ms: 6000 },
});

const untilHeldUp = async (stack: TestStack, { id }: FaultRule): Promise<void> => {
  await until('the first to be held up', 30_000, async () => {
    const rules = await stack.faults();
    return rules.some(({ rule, struck }) => rule.id === id && struck > 0) || undefined;
  });
};

const twice = (stack: TestStack, { name, send }: Step, rule: FaultRule): Step => ({
  name: `${name}, twice at once`,
  send: async () => {
    const first = untilOk(`${name}, first`, send);
    await Promise.race([first, untilHeldUp(stack, rule)]);
    await untilOk(`${name}, second`, send);
    await first;
  },
});

/** Somebody runs the task by hand while the workflow does: Step Functions itself would after a time-out. */
const gatheredByHand = (stack: TestStack, about: About, rule: FaultRule): Step => ({
  name: 'the same parts gathered by hand',
  send: async () => {
    await untilHeldUp(stack, rule);
    const { attempt, run } = (await itemOf(stack, about)) ?? {};
    const { owner, uploadId } = about;
    const { error, payload } = await stack.invoke('gather-parts', { owner, uploadId, attempt, run });
    if (error) throw Object.assign(new Error(JSON.stringify(payload)), { status: 500 });
  },
});

const vanish = (stack: TestStack, { owner, uploadId }: About, chunk: number): Step => ({
  name: `chunk ${chunk} vanishes`,
  send: async () => {
    const keys = await stack.objects(`staging/${owner}/${uploadId}/`);
    const Key = keys.find((key) => key.endsWith(`/${String(chunk).padStart(7, '0')}`));
    await stack.s3.send(new DeleteObjectCommand({ Bucket: stack.bucketName, Key }));
  },
});

/** Uploads that do not go straight, and get there: what is wrong on their way is mended by calls that no other makes. */
export const DETOURS: readonly Way[] = [
  {
    name: 'a part reported with another ETag than S3 has',
    begin: (stack) => {
      const { create, put, report, ...stage } = presignedRequests(stack, 5 * MiB + 1000);
      return { ...stage, steps: [create, put(1), put(2), report([1, 2], { 2: '0'.repeat(32) })] };
    },
    calls: ['complete-upload ListParts', 'complete-upload UpdateItem'],
    about: ['complete-upload'],
  },
  {
    name: 'a part reported that S3 has not got',
    begin: (stack) => {
      const { create, put, report, ...stage } = presignedRequests(stack, 5 * MiB + 1000);
      const lie = report([1, 2], { 2: 'f'.repeat(32) });
      const opened = openedAgain(stack, stage);
      return { ...stage, steps: [create, put(1), lie, opened, put(2), report([2])] };
    },
    calls: ['complete-upload ListParts', 'complete-upload UpdateItem'],
    about: ['complete-upload', 'record-failure', 'gather-parts'],
  },
  {
    name: 'a staged chunk that vanished',
    begin: (stack) => {
      const { post, ...stage } = proxiedRequests(stack, 3 * options.chunkSize, options);
      const opened = openedAgain(stack, stage);
      return { ...stage, steps: [post(1), post(2), vanish(stack, stage, 1), post(3), opened, post(1)] };
    },
    calls: ['assemble-part GetItem', 'assemble-part UpdateItem'],
    about: ['assemble-part', 'workflow'],
  },
  {
    name: 'a completion whose answer was lost',
    begin: (stack) => {
      const { post, ...stage } = proxiedRequests(stack, 1000, options);
      const lost: FaultRule = {
        ...{ id: `${stage.mark} lost`, caller: 'complete-upload', operation: 'CompleteMultipartUpload' },
        ...{ input: stage.mark, action: { kind: 'kill', when: 'after' } },
      };
      return { ...stage, steps: [post(1)], faults: [lost] };
    },
    calls: ['complete-upload HeadObject'],
    about: ['complete-upload'],
  },
  {
    name: 'the same chunk twice at once',
    begin: (stack) => {
      const { post, ...stage } = proxiedRequests(stack, 1000, options);
      const rule = heldUp('receive-chunk', stage.mark);
      return { ...stage, steps: [twice(stack, post(1), rule)], faults: [rule] };
    },
    calls: ['receive-chunk AbortMultipartUpload'],
    about: ['receive-chunk'],
  },
  {
    name: 'the same presigned file created twice at once',
    begin: (stack) => {
      const { create, put, report, ...stage } = presignedRequests(stack, 1000);
      const rule = heldUp('create-upload', stage.mark);
      return { ...stage, steps: [twice(stack, create, rule), put(1), report([1])], faults: [rule] };
    },
    calls: ['create-upload AbortMultipartUpload'],
    about: ['create-upload'],
  },
  {
    name: 'the same parts gathered twice at once',
    begin: (stack) => {
      const { post, ...stage } = proxiedRequests(stack, 2 * options.chunkSize, options);
      const rule = heldUp('gather-parts', stage.mark);
      const byHand = gatheredByHand(stack, stage, rule);
      return { ...stage, steps: [post(1), post(2), byHand], faults: [rule] };
    },
    calls: ['gather-parts AbortMultipartUpload'],
    about: ['gather-parts'],
  },
];
