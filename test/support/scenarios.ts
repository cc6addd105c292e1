import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { AbortMultipartUploadCommand, DeleteObjectCommand } from '@aws-sdk/client-s3';
import { StopExecutionCommand } from '@aws-sdk/client-sfn';
import type { FaultRule } from '../../local/types.ts';
import {
  type Chunk,
  type CreatedUpload,
  chunksOf,
  createBody,
  objectAt,
  type Progress,
  partBytes,
  postChunk,
  putPart,
  type SourceFile,
  sha256,
  sourceFile,
  testChunk,
} from './clients.ts';
import { lastCall } from './deaths.ts';
import { MP4 } from './media.ts';
import { conform } from './openapi.ts';
import { ABANDONED, WATCHDOG_PERIOD } from './passing-time.ts';
import { type TestStack, until } from './stack.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const options = { chunkSize: 64 * KiB };
const PART = 5 * MiB;

/** A file that begins as what it says it is, for stacks that look. */
function video(size: number): SourceFile {
  const file = sourceFile(size);
  MP4.copy(file.bytes as Buffer);
  return file;
}

/** Multipart uploads in progress, wherever a deployment has its keys begin. */
const openUploads = async (stack: TestStack, uploadId: string): Promise<string[]> =>
  (await stack.multipartUploads('uploads/')).filter((open) => open.includes(uploadId));

/**
 * One thing that the stack is there for. It throws as soon as anything does not go as it should: no request of it is
 * repeated, so that what was refused is seen and not made good for.
 */
export interface Scenario {
  readonly name: string;
  readonly play: (stack: TestStack) => Promise<void>;
}

const post = async (stack: TestStack, file: SourceFile, chunk: Chunk | undefined): Promise<Progress> => {
  if (!chunk) throw new Error('There is no such chunk.');
  return (await conform('POST', '/upload', await postChunk(stack, file, chunk, options))) as Progress;
};

const create = async (stack: TestStack, file: SourceFile): Promise<CreatedUpload> =>
  (await conform('POST', '/uploads', await stack.api('POST', '/uploads', createBody(file)))) as CreatedUpload;

const itemOf = async (stack: TestStack, uploadId: string): Promise<Record<string, unknown> | undefined> =>
  (await stack.items()).find(({ pk, sk }) => String(pk).endsWith(`#${uploadId}`) && sk === 'upload');

/** An upload of one part as it begins where content is looked at, also where that is off by now. */
const createLookedAt = async (stack: TestStack, file: SourceFile): Promise<CreatedUpload> => {
  const { uploadId } = await create(stack, file);
  const { pk } = (await itemOf(stack, uploadId)) ?? {};
  await stack.dynamodb.send(
    new UpdateItemCommand({
      TableName: stack.tableName,
      Key: { pk: { S: String(pk) }, sk: { S: 'upload' } },
      UpdateExpression: 'SET firstPartStaged = :true',
      ExpressionAttributeValues: { ':true': { BOOL: true } },
    }),
  );
  return await create(stack, file);
};

const sign = async (stack: TestStack, { uploadId }: CreatedUpload, partNumber: number): Promise<string> => {
  const answer = await stack.api('POST', `/uploads/${uploadId}/part-urls`, { partNumbers: [partNumber] });
  const { partUrls } = (await conform('POST', '/uploads/{uploadId}/part-urls', answer)) as CreatedUpload;
  return partUrls[0]?.url ?? '';
};

const report = async (stack: TestStack, uploadId: string, etags: readonly string[]): Promise<void> => {
  const parts = etags.map((etag, index) => ({ partNumber: index + 1, etag }));
  await conform(
    'POST',
    '/uploads/{uploadId}/parts',
    await stack.api('POST', `/uploads/${uploadId}/parts`, { parts }),
  );
};

const describe = async (stack: TestStack, uploadId: string): Promise<Record<string, unknown>> =>
  (await conform('GET', '/uploads/{uploadId}', await stack.api('GET', `/uploads/${uploadId}`))) as Record<
    string,
    unknown
  >;

const abort = async (stack: TestStack, uploadId: string): Promise<void> => {
  await conform('DELETE', '/uploads/{uploadId}', await stack.api('DELETE', `/uploads/${uploadId}`));
  await expectEmpty(stack, uploadId);
};

const putAll = async (file: SourceFile, { partUrls, partSize }: CreatedUpload): Promise<string[]> => {
  const etags: string[] = [];
  for (const { partNumber, url } of partUrls)
    etags.push(await putPart(url, partBytes(file, partSize, partNumber)));
  return etags;
};

/** How the upload's last execution ended. */
const ended = async (stack: TestStack, uploadId: string): Promise<{ name: string; status: string }> =>
  await until('the execution to end', 60_000, async () => {
    const executions = await stack.executions(uploadId);
    return executions.some(({ status }) => status === 'RUNNING') ? undefined : executions[0];
  });

const completed = async (stack: TestStack, uploadId: string, file: SourceFile): Promise<void> => {
  const { name, status } = await ended(stack, uploadId);
  if (status !== 'SUCCEEDED')
    throw new Error(`${name} ${status}: ${JSON.stringify(await stack.execution(name))}`);
  const upload = await describe(stack, uploadId);
  const object = await objectAt(stack, String(upload.key));
  if (upload.status !== 'completed' || object.sha256 !== sha256(file.bytes))
    throw new Error(`${uploadId} is ${String(upload.status)}, its object is not the file`);
  await expectEvent(stack, uploadId, 'Upload Completed');
};

const failed = async (stack: TestStack, uploadId: string, error: string): Promise<void> => {
  const { name, status } = await ended(stack, uploadId);
  const execution = await stack.execution(name);
  if (status !== 'FAILED' || execution.error !== error)
    throw new Error(`${name} should have ended in ${error}: ${JSON.stringify(execution)}`);
};

const expectStatus = async (stack: TestStack, uploadId: string, status: string): Promise<void> => {
  const found = await describe(stack, uploadId);
  if (found.status !== status) throw new Error(`${uploadId} is ${String(found.status)}, not ${status}`);
};

const expectEvent = async (stack: TestStack, uploadId: string, type: string): Promise<void> => {
  await until(`"${type}", or its being given up`, 20_000, async () => {
    const events = await stack.events(uploadId);
    if (events.some((event) => event['detail-type'] === type)) return true;
    const dead = await deadEvents(stack, uploadId);
    if (dead.length > 0) throw new Error(`record-failure gave up: ${JSON.stringify(dead)}`);
    return undefined;
  });
};

const deadEvents = async (stack: TestStack, uploadId: string): Promise<unknown[]> => {
  const { events } = await stack.control<{ events: { event: unknown }[] }>('GET', 'events/dead');
  return events.filter(({ event }) => JSON.stringify(event).includes(uploadId));
};

/** Messages about an upload in the queue of what could not be delivered. */
const undelivered = (stack: TestStack, uploadId: string): string[] => {
  const folder = join(stack.dir, 'queues');
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .flatMap((file) => readFileSync(join(folder, file), 'utf8').split('\n'))
    .filter((line) => line.includes(uploadId));
};

const expectEmpty = async (stack: TestStack, uploadId: string): Promise<void> => {
  const left = [
    ...(await stack.objects(`staging/anonymous/${uploadId}/`)),
    ...(await openUploads(stack, uploadId)),
  ];
  if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`);
};

const withFaults = async (
  stack: TestStack,
  rules: readonly FaultRule[],
  play: () => Promise<void>,
): Promise<void> => {
  await stack.setFaults(rules);
  try {
    await play();
  } finally {
    await stack.setFaults([]);
  }
};

const look = async (stack: TestStack): Promise<void> => {
  await stack.advance(WATCHDOG_PERIOD);
  await stack.watch();
};

/** A file that waits for its last byte in proxy mode, all but one of its chunks staged. */
const staged = async (
  stack: TestStack,
): Promise<{ file: SourceFile; uploadId: string; last: Chunk | undefined }> => {
  const file = video(3 * options.chunkSize);
  const [first, second, last] = chunksOf(file.bytes.byteLength, options);
  await post(stack, file, first);
  const { uploadId } = await post(stack, file, second);
  return { file, uploadId, last };
};

/** An upload that the workflow failed for good, and nobody has recorded it: its function died each time. */
const failedUnrecorded = async (stack: TestStack): Promise<string> => {
  await stack.control('POST', 'functions', {
    name: 'record-failure',
    fault: 'crash',
    when: 'before',
    times: 3,
  });
  const { file, uploadId, last } = await staged(stack);
  await withFaults(stack, [stopAt(uploadId)], async () => {
    await post(stack, file, last);
    await failed(stack, uploadId, 'AccessDenied');
  });
  await until('record-failure to be given up', 20_000, async () =>
    (await deadEvents(stack, uploadId)).length > 0 ? true : undefined,
  );
  return uploadId;
};

/** A refusal that is not the policies': one that passes when an operator has mended what it came from. */
const stopAt = (uploadId: string): FaultRule => ({
  caller: 'complete-upload',
  operation: 'CompleteMultipartUpload',
  input: uploadId,
  action: { kind: 'fail', status: 403, code: 'AccessDenied' },
});

/** The first of two is held up until the second, whose function may have to start, has made its own. */
const SLOW_RACER = { kind: 'delay', ms: 5000 } as const;

/** A workflow's step is held up for so long that something can be done to its upload before, on any machine. */
const HELD = { kind: 'delay', ms: 10_000 } as const;

/** Between them these use every permission that the template grants. */
export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'a page reads the options',
    play: async (stack) => {
      await conform('GET', '/upload/options', await stack.api('GET', '/upload/options'));
    },
  },
  {
    name: 'methods that are not served are told so',
    play: async (stack) => {
      const response = await stack.api('PUT', '/upload');
      if (response.status !== 405) throw new Error(`${response.status} ${await response.text()}`);
    },
  },
  {
    name: 'a file of one chunk by proxy, asked for before and after',
    play: async (stack) => {
      const file = video(1000);
      const [chunk] = chunksOf(1000, options);
      if (!chunk || (await testChunk(stack, file, chunk, options)) !== 204) throw new Error('not 204');
      const { uploadId } = await post(stack, file, chunk);
      await completed(stack, uploadId, file);
      if ((await testChunk(stack, file, chunk, options)) !== 200) throw new Error('not 200');
    },
  },
  {
    name: 'staged chunks by proxy',
    play: async (stack) => {
      const { file, uploadId, last } = await staged(stack);
      await post(stack, file, last);
      await completed(stack, uploadId, file);
      await expectEmpty(stack, uploadId);
    },
  },
  {
    name: 'a presigned file, resumed, with a URL signed anew',
    play: async (stack) => {
      const file = video(PART + 10);
      const upload = await create(stack, file);
      const first = await putPart(upload.partUrls[0]?.url ?? '', partBytes(file, PART, 1));
      await report(stack, upload.uploadId, [first]);
      const again = await create(stack, file);
      if (JSON.stringify(again.receivedParts) !== '[[1,1]]') throw new Error('the first part is not known');
      await expectStatus(stack, upload.uploadId, 'uploading');
      const second = await putPart(await sign(stack, upload, 2), partBytes(file, PART, 2));
      await report(stack, upload.uploadId, [first, second]);
      await completed(stack, upload.uploadId, file);
    },
  },
  {
    name: 'parts that nobody reported are found when their client begins again',
    play: async (stack) => {
      const file = video(PART + 10);
      const upload = await create(stack, file);
      await putAll(file, upload);
      const { status, receivedParts } = await create(stack, file);
      if (status !== 'completing' || JSON.stringify(receivedParts) !== '[[1,2]]')
        throw new Error(`${status}, with ${JSON.stringify(receivedParts)}`);
      await completed(stack, upload.uploadId, file);
    },
  },
  {
    name: 'an ETag that is wrong is mended from what S3 lists',
    play: async (stack) => {
      const file = video(200);
      const upload = await create(stack, file);
      await putAll(file, upload);
      await report(stack, upload.uploadId, ['0'.repeat(32)]);
      await completed(stack, upload.uploadId, file);
    },
  },
  {
    name: 'a part that was reported and is not there is asked for again',
    play: async (stack) => {
      const file = video(PART + 10);
      const upload = await create(stack, file);
      const etag = await putPart(upload.partUrls[0]?.url ?? '', partBytes(file, PART, 1));
      await report(stack, upload.uploadId, [etag, 'f'.repeat(32)]);
      await failed(stack, upload.uploadId, 'PartsMissing');
      await expectStatus(stack, upload.uploadId, 'uploading');
    },
  },
  {
    name: 'a staged chunk that vanished is asked for again',
    play: async (stack) => {
      const { file, uploadId, last } = await staged(stack);
      const [key] = await stack.objects(`staging/anonymous/${uploadId}/`);
      await stack.s3.send(new DeleteObjectCommand({ Bucket: stack.bucketName, Key: key }));
      await post(stack, file, last);
      await failed(stack, uploadId, 'PartsMissing');
      await expectStatus(stack, uploadId, 'uploading');
    },
  },
  {
    name: 'a completion whose answer was lost finds its object',
    play: async (stack) => {
      const { file, uploadId, last } = await staged(stack);
      const lost = { caller: 'complete-upload', operation: 'CompleteMultipartUpload', input: uploadId };
      await withFaults(stack, [{ ...lost, action: { kind: 'kill', when: 'after' } }], async () => {
        await post(stack, file, last);
        await completed(stack, uploadId, file);
      });
    },
  },
  {
    name: 'a multipart upload that somebody aborted is a failure, told and said so',
    play: async (stack) => {
      const file = video(1000);
      const slow: FaultRule = {
        ...{ caller: 'gather-parts', operation: 'GetItem' },
        action: HELD,
      };
      await withFaults(stack, [slow], async () => {
        const { uploadId } = await post(stack, file, chunksOf(1000, options)[0]);
        const [open = ''] = await openUploads(stack, uploadId);
        const [Key, UploadId] = open.split('?');
        await stack.s3.send(new AbortMultipartUploadCommand({ Bucket: stack.bucketName, Key, UploadId }));
        await failed(stack, uploadId, 'MultipartUploadGone');
        await expectEvent(stack, uploadId, 'Upload Failed');
      });
    },
  },
  {
    name: 'a failure is told, and after a redrive the file is there',
    play: async (stack) => {
      const { file, uploadId, last } = await staged(stack);
      await withFaults(stack, [stopAt(uploadId)], async () => {
        await post(stack, file, last);
        await failed(stack, uploadId, 'AccessDenied');
      });
      await expectEvent(stack, uploadId, 'Upload Failed');
      const { name } = await ended(stack, uploadId);
      await stack.redrive(name);
      await completed(stack, uploadId, file);
    },
  },
  {
    name: 'a failure that has passed is redriven by the watchdog',
    play: async (stack) => {
      const { file, uploadId, last } = await staged(stack);
      await withFaults(stack, [stopAt(uploadId)], async () => {
        await post(stack, file, last);
        await failed(stack, uploadId, 'AccessDenied');
      });
      await until(
        'the failure to be told',
        20_000,
        async () => (await itemOf(stack, uploadId))?.announced === true || undefined,
      );
      await look(stack);
      await completed(stack, uploadId, file);
    },
  },
  {
    name: 'an upload whose first part is to be looked at goes on so, whatever the options are by now',
    play: async (stack) => {
      const file = video(200);
      const { uploadId, partUrls } = await createLookedAt(stack, file);
      await report(stack, uploadId, [await putPart(partUrls[0]?.url ?? '', file.bytes)]);
      await completed(stack, uploadId, file);
    },
  },
  {
    name: 'a first part by a URL that is signed anew',
    play: async (stack) => {
      const file = video(200);
      const upload = await createLookedAt(stack, file);
      await report(stack, upload.uploadId, [await putPart(await sign(stack, upload, 1), file.bytes)]);
      await completed(stack, upload.uploadId, file);
    },
  },
  {
    name: 'a first part that was reported and is not there is asked for again',
    play: async (stack) => {
      const { uploadId } = await createLookedAt(stack, video(200));
      await report(stack, uploadId, ['f'.repeat(32)]);
      await failed(stack, uploadId, 'PartsMissing');
      await expectStatus(stack, uploadId, 'uploading');
    },
  },
  {
    name: 'an execution that an operator stops is a failure',
    play: async (stack) => {
      const { file, uploadId, last } = await staged(stack);
      // Held up at its last call, so that nothing more comes of it when the stop is long over.
      const slow = { caller: 'gather-parts', operation: 'UpdateItem', input: uploadId };
      await withFaults(stack, [{ ...slow, action: HELD }], async () => {
        const from = await lastCall(stack);
        await post(stack, file, last);
        await until('a function to be held up', 20_000, async () =>
          (await stack.faults()).some(({ struck }) => struck > 0) ? true : undefined,
        );
        const [execution] = await stack.executions(uploadId);
        const executionArn = `${stack.stateMachineArn.replace(':stateMachine:', ':execution:')}:${execution?.name}`;
        await stack.stepFunctions.send(new StopExecutionCommand({ executionArn }));
        await expectEvent(stack, uploadId, 'Upload Failed');
        await until('the function that was held up to be done', 60_000, async () =>
          (await stack.calls(from)).some(({ fault }) => fault !== undefined) ? true : undefined,
        );
      });
    },
  },
  {
    name: 'of two requests that give a proxied upload its multipart upload, one takes its own back',
    play: async (stack) => {
      const file = video(1000);
      const [chunk] = chunksOf(1000, options);
      const slow = { caller: 'receive-chunk', operation: 'CreateMultipartUpload' };
      await withFaults(stack, [{ ...slow, action: SLOW_RACER }], async () => {
        // The slow one may find the upload completed when it comes to store its part: it is told to ask again.
        const again = async (error: { status?: number }): Promise<Progress> => {
          if (error.status !== 503) throw error;
          return await post(stack, file, chunk);
        };
        const racer = async (): Promise<Progress> => await post(stack, file, chunk).catch(again);
        const [{ uploadId }] = await Promise.all([racer(), racer()]);
        await completed(stack, uploadId, file);
        await expectEmpty(stack, uploadId);
      });
    },
  },
  {
    name: 'of two requests that give a presigned upload its multipart upload, one takes its own back',
    play: async (stack) => {
      const file = video(1000);
      const slow = { caller: 'create-upload', operation: 'CreateMultipartUpload' };
      await withFaults(stack, [{ ...slow, action: SLOW_RACER }], async () => {
        const [upload] = await Promise.all([create(stack, file), create(stack, file)]);
        await report(stack, upload.uploadId, await putAll(file, upload));
        await completed(stack, upload.uploadId, file);
        await expectEmpty(stack, upload.uploadId);
      });
    },
  },
  {
    name: 'of two runs that gather the same parts, one takes its multipart upload back',
    play: async (stack) => {
      const { file, uploadId, last } = await staged(stack);
      const slow = { caller: 'gather-parts', operation: 'CreateMultipartUpload' };
      await withFaults(stack, [{ ...slow, action: SLOW_RACER }], async () => {
        await post(stack, file, last);
        const [execution] = await stack.executions(uploadId);
        const { input } = await stack.execution(execution?.name ?? '');
        const { error, payload } = await stack.invoke(
          'gather-parts',
          typeof input === 'string' ? JSON.parse(input) : input,
        );
        if (error) throw new Error(JSON.stringify(payload));
        await completed(stack, uploadId, file);
        await expectEmpty(stack, uploadId);
      });
    },
  },
  {
    name: 'an upload by proxy is aborted',
    play: async (stack) => {
      const { uploadId } = await staged(stack);
      await abort(stack, uploadId);
    },
  },
  {
    name: 'a presigned upload is aborted',
    play: async (stack) => {
      const file = video(PART + 10);
      const upload = await create(stack, file);
      await report(stack, upload.uploadId, [
        await putPart(upload.partUrls[0]?.url ?? '', partBytes(file, PART, 1)),
      ]);
      await abort(stack, upload.uploadId);
    },
  },
  {
    name: 'the watchdog starts a completion whose starter died',
    play: async (stack) => {
      const file = video(200);
      const upload = await create(stack, file);
      const etags = await putAll(file, upload);
      const died = { caller: 'record-parts', operation: 'StartExecution', input: upload.uploadId };
      await withFaults(stack, [{ ...died, action: { kind: 'kill', when: 'before' } }], async () => {
        const parts = [{ partNumber: 1, etag: etags[0] }];
        const response = await stack.api('POST', `/uploads/${upload.uploadId}/parts`, { parts });
        if (response.status !== 500) throw new Error(`${response.status} ${await response.text()}`);
      });
      await look(stack);
      await completed(stack, upload.uploadId, file);
    },
  },
  {
    name: 'the watchdog finds parts that were never reported',
    play: async (stack) => {
      const file = video(200);
      const upload = await create(stack, file);
      await putAll(file, upload);
      await look(stack);
      await look(stack);
      await completed(stack, upload.uploadId, file);
    },
  },
  {
    name: 'the watchdog ends what is abandoned, in both modes, and sweeps once more',
    play: async (stack) => {
      const { uploadId } = await staged(stack);
      const file = video(PART + 10);
      const upload = await create(stack, file);
      await putPart(upload.partUrls[0]?.url ?? '', partBytes(file, PART, 1));
      await stack.advance(ABANDONED);
      await stack.watch();
      for (const one of [uploadId, upload.uploadId]) {
        await expectStatus(stack, one, 'expired');
        await expectEvent(stack, one, 'Upload Expired');
        await expectEmpty(stack, one);
      }
      await look(stack);
    },
  },
  {
    name: 'a failure that could not be recorded is in the queue, and the watchdog records it',
    play: async (stack) => {
      const uploadId = await failedUnrecorded(stack);
      if (undelivered(stack, uploadId).length !== 1) throw new Error('The queue has not got the event.');
      await look(stack);
      await expectStatus(stack, uploadId, 'failed');
      const told = (await stack.events(uploadId)).map((event) => event['detail-type']);
      if (!told.includes('Upload Failed')) throw new Error('The failure was not told.');
    },
  },
  {
    name: 'a failure event that Lambda does not take is in the queue',
    play: async (stack) => {
      const { file, uploadId, last } = await staged(stack);
      const gone: FaultRule = {
        service: 'lambda',
        operation: 'Invoke',
        resource: stack.functionNames['record-failure'] ?? '',
        action: { kind: 'fail', status: 404, code: 'ResourceNotFoundException' },
      };
      await withFaults(stack, [stopAt(uploadId), gone], async () => {
        await post(stack, file, last);
        await failed(stack, uploadId, 'AccessDenied');
        await until('the event to be given up', 20_000, async () =>
          (await deadEvents(stack, uploadId)).length > 0 ? true : undefined,
        );
      });
      if (undelivered(stack, uploadId).length !== 1) throw new Error('The queue has not got the event.');
    },
  },
  {
    name: 'the schedule starts the watchdog',
    play: async (stack) => {
      const deliveries = await stack.control<{ status: string; reason?: string }[]>(
        'POST',
        `schedules/${await scheduleName(stack)}/run`,
      );
      if (deliveries.some(({ status }) => status !== 'delivered'))
        throw new Error(JSON.stringify(deliveries));
    },
  },
];

/** The rule's logical id, from the template that the stack runs. */
async function scheduleName({ dir }: TestStack): Promise<string> {
  const folder = join(dir, 'cdk.out');
  const file = readdirSync(folder).find((name) => name.endsWith('.template.json')) ?? '';
  const { Resources } = JSON.parse(readFileSync(join(folder, file), 'utf8')) as {
    Resources: Record<string, { Type: string; Properties: Record<string, unknown> }>;
  };
  const found = Object.entries(Resources).find(
    ([, { Type, Properties }]) => Type === 'AWS::Events::Rule' && Properties['ScheduleExpression'],
  );
  return found?.[0] ?? '';
}
