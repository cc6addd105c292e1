import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { AwsCall, FaultRule } from '../../local/types.ts';
import { CALLS_AROUND } from '../support/calls-around.ts';
import { putPart, type SourceFile } from '../support/clients.ts';
import { isIndexQuery } from '../support/counting.ts';
import {
  type Death,
  deathName,
  deathsAt,
  deathsThatDidNotHappen,
  failuresOf,
  lastCall,
  playToTheEnd,
  ruleFor,
} from '../support/deaths.ts';
import { conform } from '../support/openapi.ts';
import { expectCompleted, expectEveryItemToHaveTtl, expectNoLeftovers } from '../support/outcome.ts';
import { ABANDONED, expectNothingInS3, WATCHDOG_PERIOD, watchRounds } from '../support/passing-time.ts';
import { type PlayedUpload, presigned, proxied } from '../support/played-uploads.ts';
import { TestStack, until } from '../support/stack.ts';

/** Deaths of the functions around an upload: what aborts it, what looks after it, what records its failure. */

const KiB = 1024;
const MiB = 1024 * KiB;

// With a quota, which no test comes near: whoever ends an upload has it to take off the count.
const stack = new TestStack({
  context: { partSize: 5 * MiB, maxUploadsPerOwner: 1000 },
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

/** An upload with a chunk staged and another stored as a part, of a file that will never come. */
async function beginLarge(): Promise<PlayedUpload> {
  const upload = proxied(
    stack,
    16 * MiB + 1000,
    { chunkSize: 64 * KiB, forceChunkSize: true },
    { order: [1, 257] },
  );
  await playToTheEnd(upload.steps);
  return upload;
}

/** Plays an upload until one call of it fails for good, its client gone. */
async function beginAndDie(upload: PlayedUpload, rule: FaultRule): Promise<PlayedUpload> {
  await stack.setFaults([rule]);
  for (const { send } of upload.steps) {
    try {
      await send();
    } catch (error) {
      expect((error as { status?: number }).status).toBe(500);
      break;
    }
  }
  expect(await deathsThatDidNotHappen(stack)).toEqual([]);
  await stack.setFaults([]);
  return upload;
}

const oneChunk = (): PlayedUpload => proxied(stack, 1000, { chunkSize: 64 * KiB });

async function expectExpired({ uploadId }: PlayedUpload): Promise<void> {
  await watchRounds(stack, 1);
  await expectNothingInS3(stack, [uploadId]);
  const events = await stack.events(uploadId);
  expect(new Set(events.map((event) => `${event['detail-type']} ${event.detail.eventId}`)).size).toBe(1);
  expect(events[0]).toMatchObject({ 'detail-type': 'Upload Expired' });
  await expectLetGo(uploadId);
}

/** The watchdog's index lets go of what is over, and so does the count of what its owner has in progress. */
async function expectLetGo(uploadId: string): Promise<void> {
  const items = await stack.items();
  const [item] = items.filter(({ pk, sk }) => String(pk).endsWith(uploadId) && sk === 'upload');
  expect(item).toBeDefined();
  expect(item).not.toHaveProperty('watch');
  expect(item).not.toHaveProperty('nextLook');
  const quota = items.find(({ sk }) => sk === 'quota');
  expect(quota).toBeDefined();
  expect(Object.keys(quota ?? {})).not.toContain(`${uploadId}#${String(item?.attempt)}`);
}

async function expectDone({ uploadId, file }: { uploadId: string; file: SourceFile }): Promise<void> {
  await expectCompleted(stack, uploadId, file);
  await watchRounds(stack, 2);
  await expectNoLeftovers(stack, uploadId);
  await expectLetGo(uploadId);
}

const kindOf = ({ functionName, operation }: AwsCall): string => `${functionName} ${operation}`;

/** Final: no Retry of the state machine names it. */
const failing = (uploadId: string): FaultRule => ({
  ...{ id: `${uploadId} fails`, caller: 'complete-upload', operation: 'CompleteMultipartUpload' },
  ...{ input: uploadId, times: 0 },
  action: { kind: 'fail', status: 403, code: 'AccessDenied' },
});

async function untilToldFailed(uploadId: string): Promise<void> {
  await until('the failure to be told', 30_000, async () => {
    const events = await stack.events(uploadId);
    return events.some((event) => event['detail-type'] === 'Upload Failed') || undefined;
  });
}

async function untilFailed(uploadId: string): Promise<void> {
  await until('the upload to have failed, and to be told so', 30_000, async () => {
    const { status } = (await (await stack.api('GET', `/uploads/${uploadId}`)).json()) as {
      status: string;
    };
    const events = await stack.events(uploadId);
    return (status === 'failed' && events.length > 0) || undefined;
  });
}

/** Failed once to everybody who counts by event id; completed once too. */
async function expectRedriven({ uploadId, file }: PlayedUpload): Promise<void> {
  const [execution] = await stack.executions(uploadId);
  // The watchdog may have done so already.
  if (execution?.status === 'FAILED') await stack.redrive(execution.name);
  const told = await until('the completion to be told', 30_000, async () => {
    const events = await stack.events(uploadId);
    return events.some((event) => event['detail-type'] === 'Upload Completed') ? events : undefined;
  });
  expect([...new Set(told.map((event) => `${event['detail-type']} ${event.detail.eventId}`))]).toEqual([
    `Upload Failed ${execution?.name}:failed`,
    `Upload Completed ${execution?.name}:completed`,
  ]);
  await expectCompleted(stack, uploadId, file, ['Upload Failed']);
}

/** An upload whose execution failed, and whose failure nobody recorded: that function died each time it was tried. */
async function failUnrecorded(): Promise<PlayedUpload> {
  const upload = oneChunk();
  const { uploadId } = upload;
  await stack.setFaults([failing(uploadId)]);
  await stack.control('POST', 'functions', {
    ...{ name: 'record-failure', fault: 'crash', when: 'before', times: 3 },
  });
  await playToTheEnd(upload.steps);
  await until('the failure to be given up', 30_000, async () => {
    const { events } = await stack.control<{ events: unknown[] }>('GET', 'events/dead');
    return JSON.stringify(events).includes(uploadId) || undefined;
  });
  await stack.setFaults([]);
  return upload;
}

/** What the watchdog finds, and what is to come of it. */
const FOUND: readonly {
  readonly what: string;
  readonly prepare: () => Promise<PlayedUpload>;
  readonly after: number;
  readonly expectOutcome: (upload: PlayedUpload) => Promise<void>;
  readonly calls: readonly string[];
}[] = [
  {
    what: 'abandoned',
    prepare: beginLarge,
    after: ABANDONED,
    expectOutcome: expectExpired,
    calls: CALLS_AROUND.abandoned,
  },
  {
    what: 'recorded whole, but not completing',
    prepare: async () =>
      await beginAndDie(oneChunk(), {
        // The fourth: after the quota, the multipart upload's id and the page.
        ...{ caller: 'receive-chunk', operation: 'UpdateItem', skip: 3 },
        action: { kind: 'kill', when: 'before' },
      }),
    after: WATCHDOG_PERIOD,
    expectOutcome: expectDone,
    calls: CALLS_AROUND['recorded whole'],
  },
  {
    what: 'completing, but without an execution',
    prepare: async () =>
      await beginAndDie(oneChunk(), {
        ...{ caller: 'receive-chunk', operation: 'StartExecution' },
        action: { kind: 'kill', when: 'before' },
      }),
    after: WATCHDOG_PERIOD,
    expectOutcome: expectDone,
    calls: CALLS_AROUND['without an execution'],
  },
  {
    what: 'completing, but its execution failed and nobody recorded it',
    prepare: failUnrecorded,
    after: WATCHDOG_PERIOD,
    expectOutcome: async (upload) => {
      await untilToldFailed(upload.uploadId);
      await expectRedriven(upload);
    },
    calls: CALLS_AROUND['failed, not recorded'],
  },
  {
    what: 'failed by what has passed since',
    prepare: async () => {
      const upload = oneChunk();
      await stack.setFaults([failing(upload.uploadId)]);
      await playToTheEnd(upload.steps);
      await untilFailed(upload.uploadId);
      await stack.setFaults([]);
      return upload;
    },
    // A death between its note and the redrive costs the pause to the next one, which is twice as long.
    after: WATCHDOG_PERIOD,
    expectOutcome: async (upload) => {
      await watchRounds(stack, 3);
      await expectCompleted(stack, upload.uploadId, upload.file, ['Upload Failed']);
    },
    calls: CALLS_AROUND['failed, to be redriven'],
  },
  {
    what: 'whole in S3, but not on record, proxied',
    prepare: async () => {
      const upload = await beginAndDie(oneChunk(), {
        ...{ caller: 'receive-chunk', operation: 'UploadPart' },
        action: { kind: 'kill', when: 'after' },
      });
      // Only a quiet upload is looked at so closely.
      await watchRounds(stack, 1);
      return upload;
    },
    after: WATCHDOG_PERIOD,
    expectOutcome: expectDone,
    calls: CALLS_AROUND['staged, not recorded'],
  },
  {
    what: 'whole in S3, but not reported, presigned',
    prepare: async () => {
      const upload = presigned(stack, 100);
      const response = await stack.api('POST', '/uploads', {
        ...{ fileName: upload.file.name, size: 100, contentType: upload.file.type },
        identifier: upload.file.identifier,
      });
      const { partUrls } = (await conform('POST', '/uploads', response)) as { partUrls: { url: string }[] };
      await putPart(partUrls[0]?.url ?? '', upload.file.bytes);
      await watchRounds(stack, 1);
      return upload;
    },
    after: WATCHDOG_PERIOD,
    expectOutcome: expectDone,
    calls: CALLS_AROUND['put, not reported'],
  },
  {
    what: 'recorded whole shortly before its time was over, when looks had become rare',
    prepare: async () => {
      const upload = proxied(stack, 2 * 64 * KiB, { chunkSize: 64 * KiB });
      const last = upload.steps.at(-1);
      if (!last) throw new Error('There should be a last chunk.');
      await playToTheEnd(upload.steps.slice(0, -1));
      for (let quarter = 0; quarter < 4; quarter++) {
        await stack.advance(6 * 3600);
        await stack.watch();
      }
      return await beginAndDie(
        { ...upload, steps: [last] },
        {
          // The first records the chunk; the second would have made the upload complete.
          ...{ caller: 'receive-chunk', operation: 'UpdateItem', skip: 1, input: upload.uploadId },
          action: { kind: 'kill', when: 'before' },
        },
      );
    },
    after: 2 * 3600,
    expectOutcome: expectDone,
    calls: CALLS_AROUND['recorded whole'],
  },
  {
    what: 'completed, and to be swept',
    prepare: async () => {
      const upload = oneChunk();
      await playToTheEnd(upload.steps);
      await expectCompleted(stack, upload.uploadId, upload.file);
      return upload;
    },
    after: 2 * WATCHDOG_PERIOD,
    expectOutcome: expectDone,
    calls: CALLS_AROUND.completed,
  },
];

describe.each(FOUND)('the watchdog, at an upload $what', ({ prepare, after, expectOutcome, calls }) => {
  test('dies at any call, and does at its next run what it did not', async () => {
    // What others have left is over by then, and not seen here.
    await watchRounds(stack, 3);
    const known = await prepare();
    const from = await lastCall(stack);
    await stack.advance(after);
    await stack.watch();
    // Those of its index are about no upload.
    const seen = (await stack.calls(from)).filter(
      (call) => call.functionName === 'watchdog' && !isIndexQuery(call),
    );
    await expectOutcome(known);
    expect(seen.map(kindOf)).toEqual(expect.arrayContaining([...calls]));

    const failures = await failuresOf(
      deathsAt(seen),
      deathName,
      async (death) => {
        const upload = await prepare();
        await stack.setFaults([ruleFor(death, upload.uploadId)]);
        await stack.advance(after);
        await expect(stack.watch()).rejects.toThrow('Runtime.ExitError');
        expect(await deathsThatDidNotHappen(stack)).toEqual([]);
        await stack.watch();
        await watchRounds(stack, 1);
        await expectOutcome(upload);
      },
      1,
    );
    expect(failures).toEqual([]);
  }, 600_000);
});

/** Requests that a dead function had sent may still come in, and would count as the next one's. */
async function untilQuiet(): Promise<void> {
  let last = -1;
  for (let next = await lastCall(stack); next !== last; next = await lastCall(stack)) {
    last = next;
    await pause(100);
  }
}

test('the watchdog dies while it asks for what is due, and finds it at its next run', async () => {
  const upload = await beginAndDie(oneChunk(), {
    ...{ caller: 'receive-chunk', operation: 'StartExecution' },
    action: { kind: 'kill', when: 'before' },
  });
  const deaths: Death[] = Array.from({ length: 16 }, (_, index) => ({
    ...{ caller: 'watchdog', service: 'dynamodb', operation: 'Query', nth: index + 1 },
    when: index % 2 === 0 ? 'before' : 'after',
  }));
  await stack.advance(WATCHDOG_PERIOD);
  for (const death of deaths) {
    const { input: _, ...rule } = ruleFor(death, '');
    await untilQuiet();
    await stack.setFaults([rule]);
    await expect(stack.watch()).rejects.toThrow('Runtime.ExitError');
    expect(await deathsThatDidNotHappen(stack)).toEqual([]);
  }
  await stack.watch();
  await expectDone(upload);
}, 120_000);

describe('abort', () => {
  const abort = async (uploadId: string): Promise<unknown> =>
    await conform('DELETE', '/uploads/{uploadId}', await stack.api('DELETE', `/uploads/${uploadId}`));
  let deaths: Death[] = [];

  test('every call can be died at', async () => {
    const { uploadId } = await beginLarge();
    const from = await lastCall(stack);
    await abort(uploadId);
    deaths = deathsAt(
      (await stack.calls(from)).filter(({ functionName }) => functionName === 'abort-upload'),
    );
    expect(deaths.map(({ operation }) => `abort-upload ${operation}`)).toEqual(
      expect.arrayContaining([...CALLS_AROUND.aborted]),
    );
  });

  test('repeated, it ends the upload; given up, the watchdog does', async () => {
    const cases = await Promise.all(
      deaths.flatMap((death) =>
        [true, false].map(async (isRepeated) => ({ death, isRepeated, ...(await beginLarge()) })),
      ),
    );
    await stack.setFaults(cases.map(({ death, uploadId }) => ruleFor(death, uploadId)));
    const failures = await failuresOf(
      cases,
      ({ death, isRepeated }) => `${deathName(death)}${isRepeated ? ', repeated' : ''}`,
      async ({ uploadId, isRepeated }) => {
        await expect(abort(uploadId)).rejects.toMatchObject({ status: 500 });
        if (!isRepeated) return;
        await abort(uploadId);
        await expectNothingInS3(stack, [uploadId]);
        expect((await stack.items()).filter(({ pk }) => String(pk).endsWith(uploadId))).toEqual([
          expect.objectContaining({ status: 'aborted' }),
        ]);
      },
    );
    expect(failures).toEqual([]);
    expect(await deathsThatDidNotHappen(stack)).toEqual([]);
    await stack.setFaults([]);

    // An abort that died before it was on record has not happened: the upload then ends by its age.
    await watchRounds(stack, 2);
    const statuses = new Map<unknown, string[]>();
    for (const { uploadId } of cases) {
      const { status } = (await (await stack.api('GET', `/uploads/${uploadId}`)).json()) as {
        status: string;
      };
      statuses.set(status, [...(statuses.get(status) ?? []), uploadId]);
    }
    expect(new Set(statuses.keys())).toEqual(new Set(['aborted', 'uploading']));
    await expectNothingInS3(stack, statuses.get('aborted') ?? []);
    await stack.advance(ABANDONED);
    await stack.watch();
    await watchRounds(stack, 1);
    await expectNothingInS3(
      stack,
      cases.map(({ uploadId }) => uploadId),
    );
    for (const { uploadId } of cases) await expectLetGo(uploadId);
  }, 120_000);
});

describe('an execution that fails for good', () => {
  test('is recorded and told, whenever the recording dies; redriven, it completes', async () => {
    const known = oneChunk();
    await stack.setFaults([failing(known.uploadId)]);
    const from = await lastCall(stack);
    await playToTheEnd(known.steps);
    await untilFailed(known.uploadId);
    const seen = (await stack.calls(from)).filter(({ functionName }) => functionName === 'record-failure');
    expect(seen.map(kindOf)).toEqual(expect.arrayContaining([...CALLS_AROUND.failed]));

    const cases = deathsAt(seen).map((death) => ({ death, ...oneChunk() }));
    await stack.setFaults(
      cases.flatMap(({ death, uploadId }) => [failing(uploadId), ruleFor(death, uploadId)]),
    );
    const failures = await failuresOf(
      cases,
      ({ death }) => deathName(death),
      async ({ uploadId, steps }) => {
        await playToTheEnd(steps);
        await untilFailed(uploadId);
      },
    );
    expect(failures).toEqual([]);
    expect(
      (await stack.faults()).filter(({ rule, struck }) => rule.action.kind === 'kill' && struck !== 1),
    ).toEqual([]);
    await stack.setFaults([]);
    for (const one of [known, ...cases]) await expectRedriven(one);
  }, 120_000);

  test('of two attempts, and a redrive of the second, leave nothing of the first', async () => {
    const { file, uploadId, steps } = oneChunk();
    await stack.setFaults([failing(uploadId)]);
    await playToTheEnd(steps);
    await untilFailed(uploadId);
    await playToTheEnd(steps);
    const second = await until('the second attempt to fail', 30_000, async () => {
      const executions = await stack.executions(uploadId);
      return executions.length === 2 && executions.every(({ status }) => status === 'FAILED')
        ? executions[0]
        : undefined;
    });
    await untilFailed(uploadId);
    await stack.setFaults([]);
    await stack.redrive(second.name);
    await expectCompleted(stack, uploadId, file, ['Upload Failed']);
    await watchRounds(stack, 2);
    await expectNoLeftovers(stack, uploadId);
  }, 120_000);

  test.each(['UpdateItem', 'PutEvents'])(
    'with the object there, at %s, completes all the same when it is redriven',
    async (operation) => {
      const upload = oneChunk();
      await stack.setFaults([
        {
          ...{ caller: 'workflow', operation, input: upload.uploadId, times: 0 },
          action: { kind: 'fail', status: 400, code: 'AccessDeniedException' },
        },
      ]);
      await playToTheEnd(upload.steps);
      await until(
        'the execution to fail',
        30_000,
        async () =>
          (await stack.executions(upload.uploadId)).some(({ status }) => status === 'FAILED') || undefined,
      );
      // A completed upload is told so, also when the execution could not.
      const [event] = await until('somebody to tell', 30_000, async () => {
        const events = await stack.events(upload.uploadId);
        return events.length > 0 ? events : undefined;
      });
      expect(event?.['detail-type']).toBe(operation === 'PutEvents' ? 'Upload Completed' : 'Upload Failed');
      await stack.setFaults([]);
      const [execution] = await stack.executions(upload.uploadId);
      await stack.redrive(execution?.name ?? '');
      await expectCompleted(stack, upload.uploadId, upload.file, ['Upload Failed']);
    },
    60_000,
  );
});
