import { expect } from '@jest/globals';
import { objectAt, type SourceFile, sha256, untilStatus } from './clients.ts';
import { conformEvent } from './openapi.ts';
import { type TestStack, until } from './stack.ts';

/**
 * An upload came to its good end: one object with the source's bytes, at least one event and all of one id, one
 * successful execution, and nothing else in the bucket.
 *
 * @param before detail-types of what may have been told of this upload earlier
 */
export async function expectCompleted(
  stack: TestStack,
  uploadId: string,
  file: SourceFile,
  before: readonly string[] = [],
): Promise<void> {
  const upload = await untilStatus(stack, uploadId, 'completed');
  const key = String(upload.key);
  expect(await objectAt(stack, key)).toEqual({
    sha256: sha256(file.bytes),
    size: file.bytes.byteLength,
    contentType: file.type,
  });
  expect(upload).toMatchObject({ receivedBytes: file.bytes.byteLength, fileName: file.name });

  const events = await until('the event', 20_000, async () => {
    const seen = await stack.events(uploadId);
    seen.forEach(conformEvent);
    const news = seen.filter((event) => !before.includes(event['detail-type']));
    return news.length > 0 ? news : undefined;
  });
  for (const event of events) {
    expect(event).toMatchObject({
      'detail-type': 'Upload Completed',
      detail: {
        key,
        size: file.bytes.byteLength,
        etag: upload.etag,
        fileName: file.name,
        contentType: file.type,
      },
    });
  }
  expect(new Set(events.map(({ detail }) => detail.eventId)).size).toBe(1);

  const executions = await until('the execution to end', 20_000, async () => {
    const seen = await stack.executions(uploadId);
    return seen.some(({ status }) => status === 'RUNNING') ? undefined : seen;
  });
  expect(executions.filter(({ status }) => status === 'SUCCEEDED')).toHaveLength(1);

  const owner = key.split('/')[1];
  expect(await stack.objects(`uploads/${owner}/${uploadId}/`)).toEqual([key]);
}

/** Nothing of an upload is left behind in S3 but its object. */
export async function expectNoLeftovers(
  stack: TestStack,
  uploadId: string,
  owner = 'anonymous',
): Promise<void> {
  expect(await stack.objects(`staging/${owner}/${uploadId}/`)).toEqual([]);
  expect(await stack.multipartUploads(`uploads/${owner}/${uploadId}/`)).toEqual([]);
}

/** Every item of the table will be taken by TTL. */
export async function expectEveryItemToHaveTtl(stack: TestStack): Promise<void> {
  for (const item of await stack.items()) expect(item).toMatchObject({ ttl: expect.any(Number) });
}
