import { expect, test } from '@jest/globals';
import { ApiError, uploadsApi } from '../../../client/api.ts';

const api = (fetch: typeof globalThis.fetch, maxRetries = 2) =>
  uploadsApi({ api: 'https://api.example', fetch, maxRetries, backoff: { baseMs: 1 } });

/** A body whose connection is cut after some bytes. */
const cutOff = (text: string) =>
  new ReadableStream({
    start(stream) {
      stream.enqueue(new TextEncoder().encode(text));
      stream.error(new TypeError('terminated'));
    },
  });

test.each([
  ['cut off', () => new Response(cutOff('{"status":'))],
  ['not whole', () => new Response('{"status":"comp')],
  ['a captive portal’s page', () => new Response('<html>Please sign in to this hotel</html>')],
])('an answer that is %s counts as none, and is asked for again', async (_what, broken) => {
  const answers = [broken, broken, () => Response.json({ status: 'completed' })];
  const upload = await api(async () => answers.shift()?.() ?? Response.error()).get('abc');
  expect(upload.status).toBe('completed');
});

test('an answer that is never whole ends as one that never came', async () => {
  const asked = api(async () => new Response('{"status":"comp')).get('abc');
  const error: unknown = await asked.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(ApiError);
  expect((error as ApiError).status).toBe(0);
  expect((error as ApiError).message).toBe('The server cannot be reached. Check the connection.');
  expect((error as ApiError).cause).toBeInstanceOf(SyntaxError);
});

test('an outage before it does not use up the tries of a request that is put off', async () => {
  const answers = [503, 503, 429, 429, 200];
  const asked = api(async () => {
    const status = answers.shift() ?? 500;
    return status === 200 ? Response.json({ status: 'completed' }) : new Response('', { status });
  }).get('abc');
  expect((await asked).status).toBe('completed');
});

test('who aborts a request gets their own reason, also while the answer is read', async () => {
  const stop = new AbortController();
  const asked = api(async () => {
    queueMicrotask(() => stop.abort('enough'));
    const pull = (stream: ReadableStreamDefaultController) => stream.error('cut');
    return new Response(new ReadableStream({ pull }));
  }).get('abc', { signal: stop.signal });
  await expect(asked).rejects.toBe('enough');
});
