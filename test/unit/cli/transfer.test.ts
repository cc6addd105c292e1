import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { openLocalFile } from '../../../cli/local-file.ts';
import { persist } from '../../../cli/persist.ts';
import { sendBytes } from '../../../cli/send-bytes.ts';
import { inParallel } from '../../../cli/transfer.ts';
import { fileIdentifier } from '../../../client/identifier.ts';

let dir: string;
let server: Server | undefined;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cli-'));
});
afterEach(async () => {
  await rm(dir, { recursive: true });
  server?.closeAllConnections();
  await new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)));
  server = undefined;
});

async function serve(listener: RequestListener): Promise<URL> {
  const started = createServer(listener);
  server = started;
  await new Promise<void>((resolve) => started.listen(0, '127.0.0.1', resolve));
  return new URL(`http://127.0.0.1:${(started.address() as AddressInfo).port}/`);
}

async function fileWith(content: string) {
  const path = join(dir, 'a.mp4');
  await writeFile(path, content);
  return { path, file: await openLocalFile(path) };
}

async function drain(source: AsyncIterable<Uint8Array>): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const piece of source) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

const never = new AbortController().signal;

describe('a local file', () => {
  test('has the identifier that a browser gives it', async () => {
    const { path, file } = await fileWith('content');
    await utimes(path, 1000, 1000);
    await file[Symbol.asyncDispose]();
    await using again = await openLocalFile(path);
    const inBrowser = new File(['content'], 'a.mp4', { lastModified: 1_000_000 });
    expect(again.identifier).toBe(await fileIdentifier(inBrowser));
    expect([again.size, again.contentType]).toEqual([7, 'video/mp4']);
  });

  test('is read in ranges, several times at once', async () => {
    const { file } = await fileWith('0123456789');
    const read = (start: number, length: number) => drain(file.stream(start, length));
    expect(await Promise.all([read(0, 3), read(3, 3), read(6, 4)])).toEqual(['012', '345', '6789']);
    expect(Buffer.from(await file.read(8, 2)).toString()).toBe('89');
    await file[Symbol.asyncDispose]();
  });

  test('that changes meanwhile is not mixed', async () => {
    const { path, file } = await fileWith('0123456789');
    await writeFile(path, 'abcdefghijk');
    await expect(drain(file.stream(0, 3))).rejects.toThrow('has changed');
    await file[Symbol.asyncDispose]();
  });

  test.each([
    ['missing.mp4', 'There is no such file.'],
    ['.', 'This is not a file.'],
  ])('%s is refused with a reason', async (name, reason) => {
    await expect(openLocalFile(join(dir, name))).rejects.toThrow(reason);
  });
});

describe('sending', () => {
  test('goes with its length, and tells of its progress', async () => {
    const url = await serve((request, response) => {
      request.setEncoding('utf8');
      request.toArray().then(
        (texts) =>
          response.setHeader('etag', '"e"').end(`${request.headers['content-length']} ${texts.join('')}`),
        () => undefined,
      );
    });
    let sent = 0;
    const answer = await sendBytes({
      method: 'PUT',
      url,
      headers: {},
      body: [Buffer.from('abc'), Buffer.from('de')],
      length: 5,
      signal: never,
      onBytes: (bytes) => {
        sent += bytes;
      },
    });
    expect([answer.status, answer.body, answer.headers.etag, sent]).toEqual([200, '5 abcde', '"e"', 5]);
  });

  test('persists through refused connections and 503, counting no byte twice', async () => {
    jest.spyOn(Math, 'random').mockReturnValue(0);
    let tries = 0;
    const url = await serve((request, response) => {
      tries++;
      if (tries === 1) return request.destroy();
      request.resume();
      request.on('end', () => response.writeHead(tries === 2 ? 503 : 200).end());
    });
    let sent = 0;
    await persist({
      request: async () => ({ method: 'PUT', url, headers: {}, body: [Buffer.from('abc')], length: 3 }),
      judge: () => undefined,
      signal: never,
      onBytes: (bytes) => {
        sent += bytes;
      },
    });
    expect([tries, sent]).toEqual([3, 3]);
  });

  test('ends where the refusal is final', async () => {
    const url = await serve((_request, response) => response.writeHead(403).end());
    const judge = ({ status }: { status: number }) => {
      throw new Error(`refused ${status}`);
    };
    const request = async () => ({ method: 'PUT' as const, url, headers: {}, body: [], length: 0 });
    await expect(persist({ request, judge, signal: never, onBytes: () => undefined })).rejects.toThrow(
      'refused 403',
    );
  });
});

describe('inParallel', () => {
  test('does all, never more than the width at once', async () => {
    let running = 0;
    let most = 0;
    const done: number[] = [];
    await inParallel([1, 2, 3, 4, 5, 6, 7], 3, never, async (item) => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 5));
      running--;
      done.push(item);
    });
    expect(most).toBe(3);
    expect(done.sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  test('the first failure stops the others and is the one told', async () => {
    const begun: number[] = [];
    const work = inParallel([1, 2, 3, 4], 2, never, async (item, signal) => {
      begun.push(item);
      if (item === 1) throw new Error('first');
      await new Promise((_resolve, reject) =>
        signal.addEventListener('abort', () => reject(new Error('stopped'))),
      );
    });
    await expect(work).rejects.toThrow('first');
    expect(begun).toEqual([1, 2]);
  });
});
