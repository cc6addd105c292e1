import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { FaultRule } from '../../local/types.ts';
import {
  chunksOf,
  createPresigned,
  describeUpload,
  postChunk,
  putPart,
  reportParts,
  type SourceFile,
  sendChunks,
  sendPresigned,
  sourceFile,
  untilStatus,
} from '../support/clients.ts';
import { conform } from '../support/openapi.ts';
import { expectCompleted, expectNoLeftovers } from '../support/outcome.ts';
import { ABANDONED, WATCHDOG_PERIOD } from '../support/passing-time.ts';
import { presignedIdOf } from '../support/played-uploads.ts';
import { TestStack, until } from '../support/stack.ts';

/** Faults as AWS has them, each seen to strike, and what becomes of an upload that meets them. */

const KiB = 1024;
const MiB = 1024 * KiB;
const options = { chunkSize: 64 * KiB };

const stack = new TestStack({ context: { partSize: 5 * MiB } });
beforeAll(async () => {
  await stack.start();
}, 120_000);
afterEach(async () => {
  await stack.setFaults([]);
  await stack.control('POST', 'events/disorder', { duplicate: false });
  await stack.control('POST', 'async', { duplicate: false });
});
afterAll(async () => {
  await stack.stop();
}, 60_000);

/** Sends a file of three chunks by proxy: two are staged, and assembled with the third. */
const sendStaged = async (): Promise<{ file: SourceFile; uploadId: string }> => {
  const file = sourceFile(3 * options.chunkSize);
  const { uploadId } = await sendChunks(stack, file, chunksOf(file.bytes.byteLength, options), options);
  return { file, uploadId };
};

const sendInParts = async (): Promise<{ file: SourceFile; uploadId: string }> => {
  const file = sourceFile(5 * MiB + 10);
  const { uploadId } = await sendPresigned(stack, file);
  return { file, uploadId };
};

const expectEachStruck = async (): Promise<void> => {
  for (const { rule, struck } of await stack.faults())
    expect({ rule, struck }).toEqual({ rule, struck: rule.times ?? 1 });
};

const fail = (code: string, status = 400): FaultRule['action'] => ({ kind: 'fail', status, code });

describe('a service that says "not now" is asked again', () => {
  const s3 = (operation: string, caller?: string): FaultRule => ({
    service: 's3',
    operation,
    ...(caller !== undefined && { caller }),
    times: 2,
    action: fail('SlowDown', 503),
  });
  const dynamodb = (caller: string, operation: string, code: string): FaultRule => ({
    service: 'dynamodb',
    ...{ caller, operation },
    times: 2,
    action: fail(code),
  });

  test.each<[string, FaultRule[]]>([
    [
      'S3 slows down at every step',
      [
        s3('PutObject', 'receive-chunk'),
        s3('CreateMultipartUpload', 'gather-parts'),
        s3('GetObject', 'assemble-part'),
        s3('UploadPart', 'assemble-part'),
        s3('ListParts', 'complete-upload'),
        s3('CompleteMultipartUpload', 'complete-upload'),
        s3('DeleteObjects', 'complete-upload'),
      ],
    ],
    [
      'DynamoDB throttles, and finds conflicts',
      [
        dynamodb('receive-chunk', 'GetItem', 'ProvisionedThroughputExceededException'),
        dynamodb('receive-chunk', 'PutItem', 'ThrottlingException'),
        dynamodb('receive-chunk', 'UpdateItem', 'TransactionConflictException'),
        dynamodb('gather-parts', 'Query', 'ProvisionedThroughputExceededException'),
        dynamodb('complete-upload', 'GetItem', 'RequestLimitExceeded'),
        dynamodb('workflow', 'UpdateItem', 'ProvisionedThroughputExceededException'),
        dynamodb('workflow', 'UpdateItem', 'TransactionConflictException'),
      ],
    ],
    [
      'Step Functions, EventBridge and Lambda throttle',
      [
        { service: 'states', operation: 'StartExecution', times: 2, action: fail('ThrottlingException') },
        { service: 'events', operation: 'PutEvents', times: 3, action: fail('ThrottlingException') },
        { service: 'lambda', caller: 'workflow', times: 3, action: fail('TooManyRequestsException', 429) },
      ],
    ],
  ])('%s', async (_, rules) => {
    await stack.setFaults(rules);
    const { file, uploadId } = await sendStaged();
    await expectCompleted(stack, uploadId, file);
    await expectEachStruck();
    await expectNoLeftovers(stack, uploadId);
  });

  test('and a browser hears of it from S3 itself', async () => {
    await stack.setFaults([{ ...s3('UploadPart', 'client'), times: 1 }]);
    const file = sourceFile(10);
    const { partUrls, uploadId } = await createPresigned(stack, file);
    const url = partUrls[0]?.url ?? '';
    await expect(putPart(url, file.bytes)).rejects.toMatchObject({
      status: 503,
      message: expect.stringContaining('<Code>SlowDown</Code>'),
    });
    await reportParts(stack, uploadId, [{ partNumber: 1, etag: await putPart(url, file.bytes) }]);
    await expectCompleted(stack, uploadId, file);
  });

  test('a request that was throttled for too long is a 503 that says when to come back', async () => {
    await stack.setFaults([
      { ...dynamodb('receive-chunk', 'GetItem', 'ProvisionedThroughputExceededException'), times: 4 },
    ]);
    const file = sourceFile(10);
    const [chunk] = chunksOf(10, options);
    if (!chunk) throw new Error('There should be a chunk.');
    const response = await postChunk(stack, file, chunk, options);
    expect(response.status).toBe(503);
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
    await expectEachStruck();
    const again = await conform('POST', '/upload', await postChunk(stack, file, chunk, options));
    await expectCompleted(stack, (again as { uploadId: string }).uploadId, file);
  });
});

test('slow services make a slow upload, and nothing else', async () => {
  await stack.setFaults([{ times: 0, action: { kind: 'delay', ms: 150 } }]);
  const { file, uploadId } = await sendStaged();
  await expectCompleted(stack, uploadId, file);
  const delayed = (await stack.calls()).filter(({ fault }) => fault === 'delay 150');
  expect(delayed.length).toBeGreaterThan(10);
  for (const { durationMs } of delayed) expect(durationMs).toBeGreaterThanOrEqual(149);
});

describe('a connection cut half-way', () => {
  test.each(['before', 'after'] as const)(
    '%s S3, DynamoDB and Step Functions did what was asked, loses nothing',
    async (when) => {
      const cut = (caller: string, operation: string): FaultRule => ({
        ...{ caller, operation },
        action: { kind: 'cut', when },
      });
      await stack.setFaults([
        cut('receive-chunk', 'PutItem'),
        cut('receive-chunk', 'PutObject'),
        cut('receive-chunk', 'UpdateItem'),
        cut('receive-chunk', 'StartExecution'),
        cut('gather-parts', 'CreateMultipartUpload'),
        cut('assemble-part', 'GetObject'),
        cut('assemble-part', 'UploadPart'),
        cut('complete-upload', 'CompleteMultipartUpload'),
        cut('workflow', 'UpdateItem'),
      ]);
      const { file, uploadId } = await sendStaged();
      await expectCompleted(stack, uploadId, file);
      await expectEachStruck();
      // Of what was asked for twice, the second is nobody's until the watchdog finds it.
      for (let round = 0; round < 2; round++) {
        await stack.advance(WATCHDOG_PERIOD);
        await stack.watch();
      }
      await expectNoLeftovers(stack, uploadId);
    },
  );

  test('in the middle of a body, stores nothing by halves', async () => {
    const cut = (caller: string, operation: string): FaultRule => ({
      ...{ service: 's3', caller, operation },
      action: { kind: 'cut', when: 'midway' },
    });
    await stack.clearCalls();
    await stack.setFaults([
      cut('receive-chunk', 'PutObject'),
      cut('receive-chunk', 'UploadPart'),
      cut('client', 'UploadPart'),
      cut('assemble-part', 'GetObject'),
      cut('assemble-part', 'UploadPart'),
    ]);
    const staged = await sendStaged();
    const presigned = await sendInParts();
    const file = sourceFile(1000);
    const small = { file, ...(await sendChunks(stack, file, chunksOf(1000, options), options)) };
    for (const { uploadId, file } of [staged, presigned, small]) {
      await expectCompleted(stack, uploadId, file);
      await expectNoLeftovers(stack, uploadId);
    }
    await expectEachStruck();
    for (const call of (await stack.calls()).filter(({ fault }) => fault === 'cut midway')) {
      const { operation, status, bytesOut } = call;
      const heard = operation === 'GetObject' ? options.chunkSize / 2 : 0;
      expect({ operation, status, bytesOut }).toEqual({ operation, status: 0, bytesOut: heard });
    }
  });

  // The SDK asks again, and its own first request is then what stands in the way of the second.
  test('after DynamoDB took a write is not taken for somebody else having been first', async () => {
    const cut = (caller: string, operation: string): FaultRule => ({
      ...{ caller, operation },
      action: { kind: 'cut', when: 'after' },
    });
    await stack.setFaults([
      cut('create-upload', 'PutItem'),
      cut('create-upload', 'UpdateItem'),
      cut('record-parts', 'UpdateItem'),
      cut('receive-chunk', 'PutItem'),
      cut('receive-chunk', 'UpdateItem'),
    ]);
    const presigned = await sendInParts();
    const small = sourceFile(1000);
    const { uploadId } = await sendChunks(stack, small, chunksOf(1000, options), options);
    await expectEachStruck();
    await expectCompleted(stack, presigned.uploadId, presigned.file);
    await expectCompleted(stack, uploadId, small);
    for (const one of [uploadId, presigned.uploadId]) {
      const attempts = (await stack.executions(one)).map(({ name }) => name);
      expect(attempts).toHaveLength(1);
      await expectNoLeftovers(stack, one);
    }
  });

  test('under a redrive does not end it', async () => {
    await stack.setFaults([
      { operation: 'CompleteMultipartUpload', action: fail('AccessDenied', 403) },
      { caller: 'complete-upload', operation: 'UpdateItem', action: { kind: 'cut', when: 'after' } },
    ]);
    const { file, uploadId } = await sendStaged();
    await untilStatus(stack, uploadId, 'failed');
    const [execution] = await stack.executions(uploadId);
    await stack.redrive(execution?.name ?? '');
    await expectCompleted(stack, uploadId, file, ['Upload Failed']);
    await expectEachStruck();
  });

  test('under a part of a browser: it is put again', async () => {
    await stack.setFaults([
      { caller: 'client', operation: 'UploadPart', action: { kind: 'cut', when: 'before' } },
      { caller: 'client', operation: 'UploadPart', skip: 1, action: { kind: 'cut', when: 'after' } },
    ]);
    const { file, uploadId } = await sendInParts();
    await expectCompleted(stack, uploadId, file);
    await expectEachStruck();
  });
});

test('a completion that S3 answers with 200 and an error inside is tried again', async () => {
  await stack.setFaults([
    { operation: 'CompleteMultipartUpload', times: 3, action: { kind: 'late-error', code: 'InternalError' } },
  ]);
  const { file, uploadId } = await sendInParts();
  await expectCompleted(stack, uploadId, file);
  await expectEachStruck();
});

describe('a success that leaves some of it undone', () => {
  const partial = (caller: string, operation: string, code: string, times = 1): FaultRule => ({
    ...{ caller, operation, times },
    action: { kind: 'partial', code },
  });
  /** Two chunks of three. */
  const sendSome = async (): Promise<string> => {
    const file = sourceFile(3 * options.chunkSize);
    const chunks = chunksOf(file.bytes.byteLength, options).slice(0, 2);
    return (await sendChunks(stack, file, chunks, options)).uploadId;
  };
  const eventsOf = async (uploadId: string): Promise<string[]> =>
    (await stack.events(uploadId)).map((event) => event['detail-type']);
  /** The watchdog runs when it is due, too, and some of its runs are to fail. */
  const expire = async (uploadId: string): Promise<void> => {
    await stack.advance(ABANDONED);
    const told = await until('the expiry', 20_000, async () => {
      await stack.watch().catch(() => undefined);
      const events = await eventsOf(uploadId);
      return events.length > 0 ? events : undefined;
    });
    expect(new Set(told)).toEqual(new Set(['Upload Expired']));
  };

  test('of EventBridge: the workflow puts its event again', async () => {
    await stack.setFaults([partial('workflow', 'PutEvents', 'ThrottlingException', 2)]);
    const { file, uploadId } = await sendInParts();
    await expectCompleted(stack, uploadId, file);
    await expectEachStruck();
    expect(await eventsOf(uploadId)).toEqual(['Upload Completed']);
    const [execution] = await stack.executions(uploadId);
    const { events } = await stack.execution(execution?.name ?? '');
    const errors = (events as { type: string; taskFailedEventDetails?: { error: string } }[])
      .filter(({ type }) => type === 'TaskFailed')
      .map(({ taskFailedEventDetails }) => taskFailedEventDetails?.error);
    expect(errors).toEqual(['EventBridge.FailedEntry', 'EventBridge.FailedEntry']);
  });

  test('of EventBridge: the function that tells of a failure is run again', async () => {
    await stack.setFaults([
      { operation: 'CompleteMultipartUpload', action: fail('AccessDenied', 403) },
      partial('record-failure', 'PutEvents', 'ThrottlingException', 2),
    ]);
    const { uploadId } = await sendInParts();
    await until('the event', 20_000, async () => (await eventsOf(uploadId)).length || undefined);
    expect(await eventsOf(uploadId)).toEqual(['Upload Failed']);
    await expectEachStruck();
  });

  test('of EventBridge: the watchdog comes round again to tell of an expiry', async () => {
    const uploadId = await sendSome();
    await stack.setFaults([{ ...partial('watchdog', 'PutEvents', 'InternalFailure'), input: uploadId }]);
    await expire(uploadId);
    await expectEachStruck();
    await expectNoLeftovers(stack, uploadId);
  });

  test('of S3: the workflow deletes its chunks again', async () => {
    await stack.setFaults([partial('complete-upload', 'DeleteObjects', 'InternalError', 2)]);
    const { file, uploadId } = await sendStaged();
    await expectCompleted(stack, uploadId, file);
    await expectEachStruck();
    await expectNoLeftovers(stack, uploadId);
  });

  test('of S3: an abort is not done until all is gone', async () => {
    const uploadId = await sendSome();
    // Each time the first key stays; at last it is asked for alone.
    await stack.setFaults([partial('abort-upload', 'DeleteObjects', 'SlowDown', 4)]);
    expect((await stack.api('DELETE', `/uploads/${uploadId}`)).status).toBe(503);
    expect((await stack.objects(`staging/anonymous/${uploadId}/`)).length).toBe(1);
    expect((await stack.api('DELETE', `/uploads/${uploadId}`)).status).toBe(204);
    await expectEachStruck();
    await expectNoLeftovers(stack, uploadId);
  });

  test('of S3: the watchdog sweeps again before it tells of an expiry', async () => {
    const uploadId = await sendSome();
    await stack.setFaults([{ ...partial('watchdog', 'DeleteObjects', 'InternalError'), input: uploadId }]);
    await expire(uploadId);
    await expectEachStruck();
    await expectNoLeftovers(stack, uploadId);
  });

  test('of DynamoDB: an abort deletes the pages that were not processed', async () => {
    // Three pages of sixteen chunks, of which one can be deleted, then another, then none.
    const file = sourceFile(35 * options.chunkSize);
    const chunks = chunksOf(file.bytes.byteLength, options).slice(0, 34);
    const { uploadId } = await sendChunks(stack, file, chunks, options);
    const kept = async (): Promise<unknown[]> =>
      (await stack.items()).filter(({ pk }) => pk === `anonymous#${uploadId}`).map(({ sk }) => sk);
    expect(await kept()).toHaveLength(4);
    await stack.setFaults([partial('abort-upload', 'BatchWriteItem', 'none', 3)]);
    expect((await stack.api('DELETE', `/uploads/${uploadId}`)).status).toBe(204);
    expect(await kept()).toEqual(['upload']);
    await expectEachStruck();
    await expectNoLeftovers(stack, uploadId);
  });
});

describe('a function that', () => {
  const logOf = (name: string): string => readFileSync(join(stack.dir, 'logs', `${name}.log`), 'utf8');

  test.each([
    ['takes too long', 'timeout', 'Sandbox.Timedout'],
    ['needs more memory than it has', 'oom', 'Runtime.OutOfMemory'],
    ['ends with its process', 'crash', 'Runtime.ExitError'],
  ] as const)('%s is called again by the workflow, before and after its work', async (_, fault, error) => {
    for (const when of ['before', 'after'] as const) {
      const steps = ['gather-parts', 'assemble-part', 'complete-upload'];
      const before = new Map(steps.map((name) => [name, (logsOf()[name] ?? '').length]));
      for (const name of steps) await stack.control('POST', 'functions', { name, fault, when, times: 2 });
      const { file, uploadId } = await sendStaged();
      await expectCompleted(stack, uploadId, file);
      for (const name of steps) {
        const reports = logOf(name).slice(before.get(name)).split('\n');
        expect(reports.filter((line) => line.endsWith(`Error: ${error}`))).toHaveLength(2);
      }
    }
  });

  test('a client waits for is a 500 to it, and its retry finds all that was done', async () => {
    for (const fault of ['timeout', 'oom', 'crash']) {
      const file = sourceFile(1000);
      const [chunk] = chunksOf(1000, options);
      if (!chunk) throw new Error('There should be a chunk.');
      await stack.control('POST', 'functions', { name: 'receive-chunk', fault });
      const response = await postChunk(stack, file, chunk, options);
      expect(response.status).toBe(500);
      expect(await response.json()).toEqual({ message: 'Internal Server Error' });
      const again = await conform('POST', '/upload', await postChunk(stack, file, chunk, options));
      expect(again).toMatchObject({ status: expect.stringMatching(/^complet/) });
      await expectCompleted(stack, (again as { uploadId: string }).uploadId, file);
    }
  });

  const logsOf = (): Record<string, string> =>
    Object.fromEntries(
      readdirSync(join(stack.dir, 'logs')).map((file) => [
        file.replace('.log', ''),
        readFileSync(join(stack.dir, 'logs', file), 'utf8'),
      ]),
    );

  test('nobody knows, or a fault that is none, is refused', async () => {
    await expect(stack.control('POST', 'functions', { name: 'x', fault: 'oom' })).rejects.toThrow('404');
    await expect(stack.control('POST', 'functions', { name: 'watchdog', fault: 'x' })).rejects.toThrow('400');
  });
});

describe('events', () => {
  const failure = async (): Promise<{ file: SourceFile; uploadId: string; name: string }> => {
    await stack.setFaults([{ operation: 'CompleteMultipartUpload', action: fail('AccessDenied', 403) }]);
    const { file, uploadId } = await sendInParts();
    await untilStatus(stack, uploadId, 'failed');
    const [execution] = await stack.executions(uploadId);
    return { file, uploadId, name: execution?.name ?? '' };
  };
  const told = async (uploadId: string): Promise<string[]> => [
    ...new Set(
      (await stack.events(uploadId)).map(
        ({ detail, ...event }) => `${event['detail-type']} ${detail.eventId}`,
      ),
    ),
  ];

  test('that are delivered twice are recorded once, and told under one id', async () => {
    await stack.control('POST', 'events/disorder', { duplicate: true });
    await stack.control('POST', 'async', { duplicate: true });
    const { file, uploadId, name } = await failure();
    const times = await until('both deliveries', 20_000, async () => {
      const { events } = await stack.control<{
        events: { event: unknown; deliveries: { status: string }[] }[];
      }>('GET', 'events');
      const own = events.filter(
        ({ event }) =>
          JSON.stringify(event).includes('Status Change') && JSON.stringify(event).includes(name),
      );
      const all = own.flatMap(({ deliveries }) => deliveries);
      return all.length > 0 && all.every(({ status }) => status === 'delivered') ? all.length : undefined;
    });
    expect(times).toBe(2);
    expect(await told(uploadId)).toEqual([expect.stringMatching(/^Upload Failed .+:failed$/)]);
    await stack.redrive(name);
    await untilStatus(stack, uploadId, 'completed');
    expect(await told(uploadId)).toEqual([
      expect.stringMatching(/^Upload Failed /),
      expect.stringMatching(/^Upload Completed /),
    ]);
    expect((await describeUpload(stack, uploadId)).receivedBytes).toBe(file.bytes.byteLength);
  });

  test('of a failure that come after a redrive has completed the upload change nothing', async () => {
    await stack.clearCalls();
    await stack.setFaults([
      { operation: 'CompleteMultipartUpload', action: fail('AccessDenied', 403) },
      // The event of the failure is held up on its way, for longer than a slow machine needs for all of the rest.
      {
        service: 'lambda',
        resource: stack.functionNames['record-failure'] ?? '',
        action: { kind: 'delay', ms: 15_000 },
      },
    ]);
    const hasCome = async (): Promise<boolean> =>
      (await stack.calls()).some(({ service, fault }) => service === 'lambda' && fault === 'delay 15000');
    const { file, uploadId } = await sendInParts();
    const failed = await until('the execution to fail', 20_000, async () => {
      const [execution] = await stack.executions(uploadId);
      return execution?.status === 'FAILED' ? execution : undefined;
    });
    await stack.redrive(failed.name);
    await expectCompleted(stack, uploadId, file);
    expect(await hasCome()).toBe(false);
    await until('the late event', 30_000, async () => (await hasCome()) || undefined);
    await expectEachStruck();
    await expectCompleted(stack, uploadId, file);
    expect((await describeUpload(stack, uploadId)).status).toBe('completed');
  });

  test('in any order: each upload is told as it ended', async () => {
    await stack.control('POST', 'events/disorder', { duplicate: true, shuffle: 7 });
    const files = Array.from({ length: 8 }, () => sourceFile(1000));
    const failing = files.filter((_, index) => index % 2 === 0).map((file) => presignedIdOf(file));
    await stack.setFaults(
      failing.map((input) => ({
        ...{ operation: 'CompleteMultipartUpload', input },
        action: fail('AccessDenied', 403),
      })),
    );
    await Promise.all(files.map(async (file) => await sendPresigned(stack, file)));
    for (const file of files) {
      const uploadId = presignedIdOf(file);
      if (!failing.includes(uploadId)) await expectCompleted(stack, uploadId, file);
      else {
        await untilStatus(stack, uploadId, 'failed');
        await until('the event', 20_000, async () => (await told(uploadId)).length || undefined);
        expect(await told(uploadId)).toEqual([expect.stringMatching(/^Upload Failed /)]);
      }
    }
  });
});
