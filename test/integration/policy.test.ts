import { UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  chunksOf,
  createBody,
  createPresigned,
  describeUpload,
  partBytes,
  postChunk,
  putPart,
  reportParts,
  type SourceFile,
  sendChunks,
  sendPresigned,
  sourceFile,
  untilStatus,
} from '../support/clients.ts';
import { HTML, MP4, PNG, WEBM } from '../support/media.ts';
import { conform, conformEvent } from '../support/openapi.ts';
import { expectCompleted, expectNoLeftovers } from '../support/outcome.ts';
import { as, bearer, token } from '../support/owners.ts';
import { TestStack, until } from '../support/stack.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const PART = 5 * MiB;
const CHUNK = 64 * KiB;

/** A file that begins like one of its type. */
function beginning(first: Uint8Array, size: number, type = 'video/mp4', name?: string): SourceFile {
  const file = sourceFile(size, name);
  Buffer.from(first).copy(file.bytes as Buffer);
  return { ...file, type };
}
const video = (size: number): SourceFile => beginning(MP4, size);

const problem = (status: number, name: string) =>
  expect.objectContaining({ status, type: `urn:resumable-uploads:problem:${name}` });

describe('what a deployment allows', () => {
  const stack = new TestStack({
    env: { AUTH: 'jwt' },
    context: {
      partSize: PART,
      minFileSize: 200,
      maxFileSize: 100 * MiB,
      allowedContentTypes: 'video/*,application/octet-stream',
      allowedExtensions: '.mp4,.webm',
      maxUploadsPerOwner: 3,
      maxBytesPerOwner: 30 * MiB,
      checkContent: true,
    },
  });
  let owners = 0;
  let clockOffset = 0;
  /** Somebody with nothing in progress. */
  const somebody = async (): Promise<{ user: TestStack; name: string; headers: Record<string, string> }> => {
    const name = `owner-${owners++}`;
    return {
      name,
      user: await as(stack, name, { clockOffset }),
      headers: bearer(await token(stack, name, { clockOffset })),
    };
  };
  const advance = async (seconds: number): Promise<void> => {
    await stack.advance(seconds);
    clockOffset += seconds;
  };
  const create = async (user: TestStack, file: SourceFile): Promise<unknown> =>
    await conform('POST', '/uploads', await user.api('POST', '/uploads', createBody(file)));
  const chunk = async (file: SourceFile, headers: Record<string, string>): Promise<unknown> => {
    const options = { chunkSize: CHUNK, headers };
    const [first] = chunksOf(file.bytes.byteLength, options);
    if (!first) throw new Error('There should be a chunk.');
    return await conform('POST', '/upload', await postChunk(stack, file, first, options));
  };
  const quotaOf = async (name: string): Promise<Record<string, unknown> | undefined> =>
    (await stack.items()).find(({ pk }) => pk === `${name}#quota`);
  const nothingCounted = { uploads: 0, bytes: 0 };

  beforeAll(async () => {
    await stack.start();
  }, 180_000);
  afterAll(async () => await stack.stop(), 60_000);

  describe('is kept before any bytes are accepted', () => {
    test.each([
      ['a file that is too small', { size: 199 }, 400, 'file-too-small'],
      ['a file above its owner’s quota', { size: 30 * MiB + 1 }, 400, 'file-too-large'],
      ['a type that is not taken', { type: 'image/png' }, 415, 'content-type-not-allowed'],
      ['an ending that is not taken', { name: 'a.exe' }, 415, 'file-extension-not-allowed'],
      ['an ending behind an ending', { name: 'a.mp4.exe' }, 415, 'file-extension-not-allowed'],
      ['no ending', { name: 'mp4' }, 415, 'file-extension-not-allowed'],
    ] as const)(
      '%s is refused in both modes, and nothing is called or kept for it',
      async (_, wrong, status, name) => {
        const { user, headers } = await somebody();
        const file = { ...video(300), ...wrong };
        await stack.clearCalls();
        const size = 'size' in wrong ? wrong.size : 300;
        const body = { ...createBody(file), size };
        const response = await user.api('POST', '/uploads', body);
        await expect(conform('POST', '/uploads', response)).rejects.toEqual(problem(status, name));
        const query = new URLSearchParams({
          resumableChunkNumber: '1',
          resumableChunkSize: String(4 * MiB),
          resumableCurrentChunkSize: '300',
          resumableTotalSize: String(size),
          resumableType: file.type,
          resumableIdentifier: 'x',
          resumableFilename: file.name,
        });
        const posted = await fetch(`${stack.apiUrl}/upload?${query}`, {
          method: 'POST',
          headers: { ...headers, 'content-type': 'application/octet-stream' },
          body: new Uint8Array(300),
        });
        await expect(conform('POST', '/upload', posted)).rejects.toEqual(problem(status, name));
        expect(await stack.calls()).toEqual([]);
      },
    );

    test('the options tell the largest file that an owner can have', async () => {
      const { user } = await somebody();
      const options = await conform('GET', '/upload/options', await user.api('GET', '/upload/options'));
      expect(options).toMatchObject({ maxFileSize: 30 * MiB });
    });
  });

  test('is kept again before the object appears, should it have changed meanwhile', async () => {
    const { user, name } = await somebody();
    const file = video(PART);
    const { uploadId, partUrls } = await createPresigned(user, file);
    // As if images had been allowed when it began.
    await stack.dynamodb.send(
      new UpdateItemCommand({
        TableName: stack.tableName,
        Key: { pk: { S: `${name}#${uploadId}` }, sk: { S: 'upload' } },
        UpdateExpression: 'SET contentType = :type',
        ExpressionAttributeValues: { ':type': { S: 'image/png' } },
      }),
    );
    const etag = await putPart(partUrls[0]?.url ?? '', file.bytes);
    await reportParts(user, uploadId, [{ partNumber: 1, etag }]);
    expect(await untilStatus(user, uploadId, 'failed')).toMatchObject({
      failure: { error: 'NotAllowedAnyMore' },
    });
    expect(await stack.objects(`uploads/${name}/`)).toEqual([]);
  }, 60_000);

  describe('quotas', () => {
    test('a fourth upload is refused in both modes until one has ended, in whichever way', async () => {
      const { user, name, headers } = await somebody();
      const files = [video(300), video(300), video(300)];
      const [first, second, third] = files as [SourceFile, SourceFile, SourceFile];
      const uploads = await Promise.all(files.map(async (file) => await createPresigned(user, file)));
      const [aborted] = uploads;

      const refused = await user.api('POST', '/uploads', createBody(video(300)));
      expect(refused.headers.get('retry-after')).toBe('60');
      await expect(conform('POST', '/uploads', refused)).rejects.toEqual(problem(429, 'quota-exceeded'));
      await expect(chunk(video(300), headers)).rejects.toEqual(problem(400, 'quota-exceeded'));
      // What is under way goes on.
      expect(await create(user, first)).toMatchObject({ uploadId: aborted?.uploadId });

      await user.api('DELETE', `/uploads/${aborted?.uploadId}`);
      await user.api('DELETE', `/uploads/${aborted?.uploadId}`);
      await create(user, first);
      await expect(create(user, video(300))).rejects.toEqual(problem(429, 'quota-exceeded'));

      const { uploadId } = await sendPresigned(user, second);
      await untilStatus(user, uploadId, 'completed');
      const proxied = video(300);
      await chunk(proxied, headers);
      await until('the proxied upload to be done', 20_000, async () =>
        (await quotaOf(name))?.uploads === 2 ? true : undefined,
      );

      await advance(25 * 3600 + 60);
      await stack.watch();
      await until('nothing to be counted', 20_000, async () =>
        (await quotaOf(name))?.uploads === 0 ? true : undefined,
      );
      expect(await quotaOf(name)).toMatchObject(nothingCounted);
      const { user: later } = { user: await as(stack, name, { clockOffset }) };
      for (const file of [third, video(300), video(300)]) await create(later, file);
      await expect(create(later, video(300))).rejects.toEqual(problem(429, 'quota-exceeded'));
    }, 90_000);

    test('bytes in progress are limited by what was announced', async () => {
      const { user, name } = await somebody();
      await create(user, video(20 * MiB));
      await create(user, video(10 * MiB));
      await expect(create(user, video(300))).rejects.toEqual(problem(429, 'quota-exceeded'));
      expect(await quotaOf(name)).toMatchObject({ uploads: 2, bytes: 30 * MiB });
    });

    test('of many uploads at once exactly as many begin as are allowed', async () => {
      const { user, name } = await somebody();
      const answers = await Promise.all(
        Array.from(
          { length: 12 },
          async () => (await user.api('POST', '/uploads', createBody(video(300)))).status,
        ),
      );
      expect(answers.filter((status) => status === 201)).toHaveLength(3);
      expect(answers.filter((status) => status === 429)).toHaveLength(9);
      expect(await quotaOf(name)).toMatchObject({ uploads: 3, bytes: 900 });
    }, 30_000);

    test('one upload begun by many requests at once counts once', async () => {
      const { user, name, headers } = await somebody();
      await create(user, video(300));
      await create(user, video(300));
      const file = video(10 * CHUNK);
      const { uploadId } = await sendChunks(
        stack,
        file,
        chunksOf(file.bytes.byteLength, { chunkSize: CHUNK }).slice(1),
        { chunkSize: CHUNK, headers, parallel: 9 },
      );
      expect(await quotaOf(name)).toMatchObject({ uploads: 3 });
      await chunk(file, headers);
      await expectCompleted(user, uploadId, file);
      expect(await quotaOf(name)).toMatchObject({ uploads: 2, bytes: 600 });
    }, 60_000);

    test('what a function that died has left counted is found out', async () => {
      const { name, user } = await somebody();
      for (let death = 0; death < 3; death++) {
        await stack.setFaults([
          {
            caller: 'create-upload',
            operation: 'PutItem',
            times: 1,
            action: { kind: 'kill', when: 'before' },
          },
        ]);
        expect((await user.api('POST', '/uploads', createBody(video(300)))).status).toBe(500);
      }
      await stack.setFaults([]);
      expect(await quotaOf(name)).toMatchObject({ uploads: 3 });
      await expect(create(user, video(300))).rejects.toEqual(problem(429, 'quota-exceeded'));
      await advance(61);
      const later = await as(stack, name, { clockOffset });
      for (let upload = 0; upload < 3; upload++) await create(later, video(300));
      await expect(create(later, video(300))).rejects.toEqual(problem(429, 'quota-exceeded'));
      expect(await quotaOf(name)).toMatchObject({ uploads: 3, bytes: 900 });
    }, 60_000);

    test('an upload that failed counts until it is begun anew, and then once', async () => {
      const { user, name } = await somebody();
      const wrong = beginning(HTML, PART);
      const { uploadId } = await sendPresigned(user, wrong);
      await untilStatus(user, uploadId, 'failed');
      expect(await quotaOf(name)).toMatchObject({ uploads: 1 });
      await create(user, wrong);
      expect(await quotaOf(name)).toMatchObject({ uploads: 1, bytes: PART });
      // The parts of the attempt that does not count any more are gone.
      expect(await stack.multipartUploads(`uploads/${name}/${uploadId}/`)).toHaveLength(1);
    }, 60_000);
  });

  describe('content', () => {
    test('a page that calls itself video is refused at its first chunk, and leaves nothing', async () => {
      const { headers, name } = await somebody();
      for (const size of [300, 3 * CHUNK]) {
        await stack.clearCalls();
        await expect(chunk(beginning(HTML, size), headers)).rejects.toEqual(problem(415, 'content-mismatch'));
        expect(await stack.calls()).toEqual([]);
      }
      await expect(chunk(beginning(PNG, 300, 'application/octet-stream'), headers)).rejects.toEqual(
        problem(415, 'content-mismatch'),
      );
      expect(await stack.objects(`staging/${name}/`)).toEqual([]);
    });

    test('a later chunk does not change what the first one must be', async () => {
      const { headers } = await somebody();
      const file = beginning(WEBM, 3 * CHUNK);
      const [, second] = chunksOf(file.bytes.byteLength, { chunkSize: CHUNK });
      if (!second) throw new Error('There should be a second chunk.');
      // Begun as MP4; then its first chunk comes as WebM, and as what it was begun as.
      await sendChunks(stack, file, [second], { chunkSize: CHUNK, headers });
      await expect(chunk({ ...file, type: 'video/webm' }, headers)).rejects.toEqual(
        problem(415, 'content-mismatch'),
      );
      await expect(chunk(file, headers)).rejects.toEqual(problem(415, 'content-mismatch'));
    });

    test.each([
      ['video/mp4', MP4],
      ['video/quicktime', MP4],
      ['video/webm', WEBM],
      ['application/octet-stream', MP4],
    ])(
      '%s that is one comes out whole in both modes',
      async (type, first) => {
        const { user, name, headers } = await somebody();
        for (const size of [300, PART, 2 * PART + 17]) {
          const file = beginning(first, size, type);
          const { uploadId } = await sendPresigned(user, file);
          await expectCompleted(user, uploadId, file);
          await expectNoLeftovers(stack, uploadId, name);
        }
        const file = beginning(first, 3 * CHUNK, type);
        const options = { chunkSize: CHUNK, headers };
        const { uploadId } = await sendChunks(stack, file, chunksOf(file.bytes.byteLength, options), options);
        await expectCompleted(user, uploadId, file);
        await expectNoLeftovers(stack, uploadId, name);
        await until('nothing to be counted', 20_000, async () =>
          (await quotaOf(name))?.uploads === 0 ? true : undefined,
        );
      },
      90_000,
    );

    test('a page that was put to S3 as video never appears, and its owner is told why', async () => {
      const { user, name } = await somebody();
      const file = beginning(HTML, PART + 5);
      const { uploadId } = await sendPresigned(user, file);
      const upload = await untilStatus(user, uploadId, 'failed');
      expect(upload).toMatchObject({ failure: { error: 'ContentMismatch' } });
      expect(await stack.objects(`uploads/${name}/`)).toEqual([]);
      const events = await until('the event', 20_000, async () => {
        const seen = await stack.events(uploadId);
        return seen.length > 0 ? seen : undefined;
      });
      for (const event of events) conformEvent(event);
      expect(events.map((event) => event['detail-type'])).toEqual(['Upload Failed']);
      await user.api('DELETE', `/uploads/${uploadId}`);
      await expectNoLeftovers(stack, uploadId, name);
    }, 60_000);

    test('a first part that nobody reported is found, and one that is not there is asked for again', async () => {
      const { user, name } = await somebody();
      const file = video(2 * PART);
      const upload = await createPresigned(user, file);
      const [first, second] = upload.partUrls.map(({ url }) => url);
      const etag = await putPart(second ?? '', partBytes(file, PART, 2));
      await reportParts(user, upload.uploadId, [
        { partNumber: 1, etag: '0'.repeat(32) },
        { partNumber: 2, etag },
      ]);
      expect(await untilStatus(user, upload.uploadId, 'uploading')).toMatchObject({
        receivedParts: [[2, 2]],
      });
      await putPart(first ?? '', partBytes(file, PART, 1));
      await advance(301);
      await stack.watch();
      await advance(601);
      await stack.watch();
      const later = await as(stack, name, { clockOffset });
      await expectCompleted(later, upload.uploadId, file);
      await expectNoLeftovers(stack, upload.uploadId, name);
    }, 60_000);

    test('what is stored over the first part after it was looked at does not get in', async () => {
      const { user, name } = await somebody();
      const file = video(2 * PART);
      const upload = await createPresigned(user, file);
      const [first, second] = upload.partUrls.map(({ url }) => url);
      const parts = [
        { partNumber: 1, etag: await putPart(first ?? '', partBytes(file, PART, 1)) },
        { partNumber: 2, etag: await putPart(second ?? '', partBytes(file, PART, 2)) },
      ];
      await stack.setFaults([
        {
          caller: 'complete-upload',
          operation: 'CompleteMultipartUpload',
          action: { kind: 'delay', ms: 2000 },
        },
      ]);
      await reportParts(user, upload.uploadId, parts);
      await until('the first part to be in its place', 20_000, async () =>
        (await stack.calls()).some(
          ({ operation, resource }) => operation === 'UploadPartCopy' && resource.includes(upload.uploadId),
        )
          ? true
          : undefined,
      );
      const page = Buffer.from(partBytes(file, PART, 1));
      HTML.copy(page);
      await putPart(first ?? '', page);
      await expectCompleted(user, upload.uploadId, file);
      await stack.setFaults([]);
      // A URL is good for its hour, also after the end: what comes then is swept later.
      await putPart(first ?? '', page);
      await advance(301);
      await stack.watch();
      await putPart(first ?? '', page);
      await advance(3600 + 301);
      await stack.watch();
      await expectNoLeftovers(stack, upload.uploadId, name);
      expect(await describeUpload(await as(stack, name, { clockOffset }), upload.uploadId)).toMatchObject({
        status: 'completed',
      });
    }, 60_000);
  });
});

describe("a deployer's function that is asked", () => {
  const stack = new TestStack({
    env: { AUTH: 'jwt', UPLOADS_APP: 'examples/authorize-upload/app.ts' },
    context: { partSize: PART },
  });
  beforeAll(async () => {
    await stack.start();
  }, 180_000);
  afterAll(async () => await stack.stop(), 60_000);

  const asked = async (): Promise<number> =>
    (await stack.calls()).filter(
      ({ operation, functionName }) => operation === 'Invoke' && functionName !== undefined,
    ).length;

  test('chooses the prefix and the metadata, and is asked once for an upload', async () => {
    const user = await as(stack, 'ann', { claims: { tenant: 'acme' } });
    const file = sourceFile(PART + 1);
    await stack.clearCalls();
    const { uploadId, key } = await sendPresigned(user, file, { extra: { metadata: { title: 'x' } } });
    expect(key).toMatch(new RegExp(`^uploads/tenants/acme/ann/${uploadId}/[0-9a-z]{14}/`));
    const upload = await untilStatus(user, uploadId, 'completed');
    expect(upload.key).toBe(key);
    expect(await stack.objects('uploads/')).toEqual([key]);
    expect((await stack.events(uploadId))[0]?.detail).toMatchObject({
      key,
      metadata: { title: 'x', plan: 'small' },
    });
    await sendPresigned(user, file);
    expect(await asked()).toBe(1);

    const chunks = {
      chunkSize: CHUNK,
      headers: bearer(await token(stack, 'ann', { claims: { tenant: 'acme' } })),
    };
    const proxied = sourceFile(5 * CHUNK);
    const sent = await sendChunks(stack, proxied, chunksOf(5 * CHUNK, chunks), { ...chunks, parallel: 1 });
    await untilStatus(user, sent.uploadId, 'completed');
    expect(await stack.objects(`uploads/tenants/acme/ann/${sent.uploadId}/`)).toHaveLength(1);
    await expectNoLeftovers(stack, sent.uploadId, 'ann');
    expect(await asked()).toBe(2);
    // No quota is set here: nothing is counted.
    expect((await stack.items()).filter(({ sk }) => sk === 'quota')).toEqual([]);
  }, 60_000);

  test('refuses with a reason, at a status where the client stops, and nothing is kept', async () => {
    const headers = bearer(await token(stack, 'eve', { claims: { tenant: 'suspended' } }));
    const file = sourceFile(100);
    const before = await stack.items();
    const response = await stack.api('POST', '/uploads', createBody(file), headers);
    expect(await response.clone().json()).toMatchObject({ detail: 'Your account is suspended.' });
    await expect(conform('POST', '/uploads', response)).rejects.toEqual(problem(403, 'upload-refused'));
    const posted = await postChunk(
      stack,
      file,
      { number: 1, start: 0, end: 100 },
      { chunkSize: CHUNK, headers },
    );
    await expect(conform('POST', '/upload', posted)).rejects.toEqual(problem(400, 'upload-refused'));
    expect(await stack.items()).toEqual(before);
  });

  test('that gives no usable answer lets nothing begin: 503', async () => {
    const before = await stack.items();
    for (const tenant of ['../other', 'a/../../b', 'x'.repeat(300)]) {
      const user = await as(stack, 'mal', { claims: { tenant } });
      const response = await user.api('POST', '/uploads', createBody(sourceFile(100)));
      expect(response.headers.get('retry-after')).toBe('1');
      await expect(conform('POST', '/uploads', response)).rejects.toEqual(problem(503, 'try-again'));
    }
    await stack.setFaults([
      {
        service: 'lambda',
        operation: 'Invoke',
        times: 0,
        action: { kind: 'fail', status: 500, code: 'ServiceException' },
      },
    ]);
    const user = await as(stack, 'ann');
    const response = await user.api('POST', '/uploads', createBody(sourceFile(100)));
    await expect(conform('POST', '/uploads', response)).rejects.toEqual(problem(503, 'try-again'));
    await stack.setFaults([]);
    expect(await stack.items()).toEqual(before);
  }, 60_000);
});

test('all of it works under a key of the deployer’s', async () => {
  const stack = new TestStack({
    context: { partSize: PART, kmsKey: 'new', checkContent: true, maxUploadsPerOwner: 2 },
  });
  try {
    await stack.start();
    const file = video(PART + 9);
    await expectCompleted(stack, (await sendPresigned(stack, file)).uploadId, file);
    const proxied = video(3 * CHUNK);
    const options = { chunkSize: CHUNK };
    const { uploadId } = await sendChunks(stack, proxied, chunksOf(3 * CHUNK, options), options);
    await expectCompleted(stack, uploadId, proxied);
    await expectNoLeftovers(stack, uploadId);
  } finally {
    await stack.stop();
  }
}, 120_000);
