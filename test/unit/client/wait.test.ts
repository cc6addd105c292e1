import { expect, test } from '@jest/globals';
import { ApiError } from '../../../client/api.ts';
import { UploadEndedError, UploadReopenedError, waitUntilCompleted } from '../../../client/wait.ts';

function waiting(...answers: readonly (object | number)[]) {
  let next = 0;
  const seen: string[] = [];
  const wait = waitUntilCompleted({
    api: 'https://api.example/',
    uploadId: 'abc',
    intervalMs: [1, 1],
    maxRetries: 3,
    backoff: { baseMs: 1 },
    headers: () => ({ authorization: 'Bearer t' }),
    onStatus: ({ status }) => seen.push(status),
    fetch: async (url, init) => {
      expect(url).toBe('https://api.example/uploads/abc');
      expect(new Headers(init?.headers).get('authorization')).toBe('Bearer t');
      const answer = answers[Math.min(next++, answers.length - 1)] ?? {};
      return typeof answer === 'number' ? new Response('', { status: answer }) : Response.json(answer);
    },
  });
  return { wait, seen };
}

test('resolves to the completed upload', async () => {
  const { wait, seen } = waiting(
    { status: 'uploading', partCount: 2, receivedParts: [[1, 2]] },
    { status: 'completing' },
    { status: 'completed', etag: '"e"' },
  );
  expect((await wait).etag).toBe('"e"');
  expect(seen).toEqual(['uploading', 'completing', 'completed']);
});

test('waits through passing faults', async () => {
  await expect(waiting(503, 429, { status: 'completed', etag: '"e"' }).wait).resolves.toMatchObject({
    etag: '"e"',
  });
});

test.each(['failed', 'aborted', 'expired'])('rejects when the upload has %s', async (status) => {
  await expect(waiting({ status }).wait).rejects.toBeInstanceOf(UploadEndedError);
});

test('tells why it failed', async () => {
  const failure = { error: 'InvalidPart', cause: 'Part 3 is gone.' };
  await expect(waiting({ status: 'failed', failure }).wait).rejects.toThrow('Part 3 is gone.');
});

test('rejects when parts turn out to be missing after all', async () => {
  const { wait } = waiting({ status: 'completing' }, { status: 'uploading' });
  await expect(wait).rejects.toBeInstanceOf(UploadReopenedError);
});

test('rejects at once where the API refuses', async () => {
  const error = await waiting(403, { status: 'completed', etag: '"e"' }).wait.catch(
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ApiError);
  expect((error as ApiError).status).toBe(403);
});

test('rejects when the upload was opened again before the first look', async () => {
  const { wait } = waiting({ status: 'uploading', partCount: 3, receivedParts: [[1, 2]] });
  await expect(wait).rejects.toBeInstanceOf(UploadReopenedError);
});
