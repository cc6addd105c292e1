import { PutItemCommand } from '@aws-sdk/client-dynamodb';
import { marshall } from '@aws-sdk/util-dynamodb';
import { newAttempt } from '../../lambdas/upload/identity.ts';
import type { FaultRule } from '../../local/types.ts';
import type { Step } from './deaths.ts';
import { bearer, token } from './owners.ts';
import { failedForGood, openedAgain } from './played-detours.ts';
import {
  type PlayedUpload,
  presigned,
  presignedRequests,
  proxied,
  proxiedRequests,
  type Sender,
  type Way,
} from './played-uploads.ts';
import type { TestStack } from './stack.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const options = { chunkSize: 64 * KiB };

/** What one owner may have in progress on the stack that these are played on. */
export const MAX_UPLOADS = 3;

let senders = 0;

/** Somebody with nothing in progress, whose files may be anything. */
async function somebody(stack: TestStack): Promise<Sender> {
  const owner = `owner-${String(senders++).padStart(5, '0')}`;
  const clockOffset = Math.ceil((await clockOf(stack)) - Date.now() / 1000);
  return {
    owner,
    headers: bearer(await token(stack, owner, { clockOffset })),
    contentType: 'application/octet-stream',
  };
}

/** Epoch seconds. */
const clockOf = async (stack: TestStack): Promise<number> =>
  Date.parse((await stack.control<{ now: string }>('GET', 'clock')).now) / 1000;

export const quotaKey = (owner: string) => ({ pk: `${owner}#quota`, sk: 'quota' });

/** As many as may be in progress are counted, of functions that died right after they had counted. */
const leftoversOf = (stack: TestStack, { owner }: PlayedUpload): Step => ({
  name: 'leftovers of the dead',
  send: async () => {
    const now = Math.floor(await clockOf(stack));
    const entries = Array.from({ length: MAX_UPLOADS }, (_, index) => {
      const attempt = newAttempt(now * 1000);
      return [`${String(index).repeat(32)}#${attempt}`, { bytes: 10, at: now - 120 }] as const;
    });
    const sums = { uploads: MAX_UPLOADS, bytes: 10 * MAX_UPLOADS, ttl: now + 86_400 };
    const Item = marshall({ ...quotaKey(owner), ...sums, ...Object.fromEntries(entries) });
    await stack.dynamodb.send(new PutItemCommand({ TableName: stack.tableName, Item }));
  },
});

/** Leftovers are looked for once a minute: who died over them has its client wait for so long. */
const patient = (stack: TestStack, step: Step): Step => ({
  ...step,
  send: async () => {
    try {
      await step.send();
    } catch (error) {
      const { type, message } = error as Error & { type?: string };
      if (!type?.endsWith(':quota-exceeded')) throw error;
      await stack.advance(61);
      throw Object.assign(new Error(message), { status: 503 });
    }
  },
});

const afterLeftovers = (stack: TestStack, upload: PlayedUpload): PlayedUpload => ({
  ...upload,
  steps: [leftoversOf(stack, upload), ...upload.steps.map((step) => patient(stack, step))],
});

/** Final: no Retry of the state machine names it. Struck once, so that the next attempt completes. */
const failing = (mark: string): FaultRule => ({
  ...{ id: `${mark} fails`, caller: 'complete-upload', operation: 'CompleteMultipartUpload', input: mark },
  action: { kind: 'fail', status: 403, code: 'AccessDenied' },
});

/** Uploads where a function is asked about each, content is looked at, and owners have quotas. */
export const ASKED: readonly Way[] = [
  {
    name: 'two chunks, proxied, asked about and counted',
    begin: async (stack) => proxied(stack, 2 * options.chunkSize, options, { sender: await somebody(stack) }),
    calls: ['receive-chunk Invoke', 'receive-chunk UpdateItem', 'complete-upload UpdateItem'],
    about: ['receive-chunk', 'complete-upload'],
  },
  {
    name: 'two parts, presigned, the first looked at',
    begin: async (stack) => presigned(stack, 5 * MiB + 1000, { sender: await somebody(stack) }),
    calls: [
      'create-upload Invoke',
      'gather-parts GetObject',
      'gather-parts UploadPartCopy',
      'complete-upload DeleteObjects',
    ],
    about: ['create-upload', 'sign-parts', 'record-parts', 'gather-parts', 'complete-upload'],
  },
  {
    name: 'a small part, presigned, looked at, and never reported',
    begin: async (stack) => presigned(stack, 1000, { reported: 'never', sender: await somebody(stack) }),
    calls: ['create-upload ListObjectsV2'],
    about: ['create-upload'],
  },
  {
    name: 'a first part reported that S3 has not got',
    begin: async (stack) => {
      const { create, put, report, ...stage } = presignedRequests(stack, 1000, await somebody(stack));
      const lie = report([1], { 1: 'f'.repeat(32) });
      return { ...stage, steps: [create, lie, openedAgain(stack, stage), put(1), report([1])] };
    },
    calls: ['gather-parts GetObject', 'gather-parts UpdateItem'],
    about: ['gather-parts'],
  },
  {
    name: 'a chunk of an owner who seems to have too much in progress',
    begin: async (stack) =>
      afterLeftovers(stack, proxied(stack, 1000, options, { sender: await somebody(stack) })),
    calls: ['receive-chunk GetItem', 'receive-chunk UpdateItem'],
    about: ['receive-chunk'],
  },
  {
    name: 'a presigned file of an owner who seems to have too much in progress',
    begin: async (stack) =>
      afterLeftovers(stack, presigned(stack, 1000, { reported: 'at once', sender: await somebody(stack) })),
    calls: ['create-upload GetItem', 'create-upload UpdateItem'],
    about: ['create-upload'],
  },
  {
    name: 'a chunk of a file that had failed',
    begin: async (stack) => {
      const { post, ...stage } = proxiedRequests(stack, 1000, options, await somebody(stack));
      const again = { ...post(1), name: 'chunk 1 once more' };
      const steps = [post(1), failedForGood(stack, stage), again];
      return { ...stage, steps, faults: [failing(stage.mark)] };
    },
    calls: ['receive-chunk AbortMultipartUpload'],
    about: ['receive-chunk'],
    toldBefore: ['Upload Failed'],
  },
  {
    name: 'a presigned file that had failed',
    begin: async (stack) => {
      const { create, put, report, ...stage } = presignedRequests(stack, 1000, await somebody(stack));
      const again = { ...create, name: 'create once more' };
      const steps = [create, put(1), report([1]), failedForGood(stack, stage), again, put(1), report([1])];
      return { ...stage, steps, faults: [failing(stage.mark)] };
    },
    calls: ['create-upload AbortMultipartUpload'],
    about: ['create-upload'],
    toldBefore: ['Upload Failed'],
  },
];
