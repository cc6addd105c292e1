import { Buffer } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { parseChunkQuery, parseChunkRequest } from '../../../lambdas/http/chunk-request.ts';
import type { ApiEvent } from '../../../lambdas/http/handler.ts';

const parameters = {
  resumableChunkNumber: '2',
  resumableChunkSize: '1048576',
  resumableCurrentChunkSize: '5',
  resumableTotalSize: '1048581',
  resumableType: 'video/mp4',
  resumableIdentifier: '1048581-amp4',
  resumableFilename: 'a, “b” & c.mp4',
  resumableRelativePath: 'a.mp4',
  resumableTotalChunks: '1',
};

const understood = {
  chunkNumber: 2,
  chunkSize: 1_048_576,
  currentChunkSize: 5,
  totalSize: 1_048_581,
  identifier: '1048581-amp4',
  fileName: 'a, “b” & c.mp4',
  type: 'video/mp4',
};

function event(request: {
  query?: Record<string, string> | URLSearchParams;
  body?: Uint8Array | string;
  headers?: Record<string, string>;
  base64?: boolean;
}): ApiEvent {
  const { query = {}, body = '', headers = {}, base64 = true } = request;
  return {
    rawQueryString: new URLSearchParams(query).toString(),
    headers,
    isBase64Encoded: base64,
    body: base64 ? Buffer.from(body as Uint8Array).toString('base64') : String(body),
  } as unknown as ApiEvent;
}

async function form(fields: Record<string, string>, files: Record<string, Uint8Array>) {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) data.append(name, value);
  for (const [name, bytes] of Object.entries(files))
    data.append(name, new Blob([new Uint8Array(bytes)]), 'blob');
  const response = new Response(data);
  return {
    body: new Uint8Array(await response.arrayBuffer()),
    headers: { 'content-type': response.headers.get('content-type') ?? '' },
  };
}

describe('a chunk request', () => {
  test('as a form gives its fields and exactly its bytes', async () => {
    const bytes = randomBytes(70_000);
    const request = event(await form(parameters, { file: bytes }));
    const { parameters: read, bytes: got } = await parseChunkRequest(request);
    expect(read).toEqual(understood);
    expect(Buffer.compare(Buffer.from(got), bytes)).toBe(0);
  });

  test('as octets gives its query and exactly its bytes, whatever they are', async () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    const headers = { 'content-type': 'application/octet-stream' };
    const { parameters: read, bytes: got } = await parseChunkRequest(
      event({ query: parameters, body: bytes, headers }),
    );
    expect(read).toEqual(understood);
    expect([...got]).toEqual([...bytes]);
  });

  test('whose body the gateway took for text is read as that text', async () => {
    const { bytes } = await parseChunkRequest(event({ query: parameters, body: 'häl', base64: false }));
    expect(Buffer.from(bytes).toString()).toBe('häl');
  });

  test('may have its parameters in query and form, if both say the same', async () => {
    const { body, headers } = await form(parameters, { file: randomBytes(5) });
    const read = await parseChunkRequest(event({ query: parameters, body, headers }));
    expect(read.parameters).toEqual(understood);
    await expect(
      parseChunkRequest(event({ query: { ...parameters, resumableChunkNumber: '3' }, body, headers })),
    ).rejects.toThrow(/twice/);
  });

  test('may have fields after the file', async () => {
    const boundary = 'XX';
    const part = (name: string, value: string) =>
      `--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
    const file = `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="blob"\r\nContent-Type: application/octet-stream\r\n\r\nhello\r\n`;
    const body = `${file}${Object.entries(parameters)
      .map(([name, value]) => part(name, value))
      .join('')}--${boundary}--\r\n`;
    const headers = { 'content-type': `multipart/form-data; boundary=${boundary}` };
    const read = await parseChunkRequest(event({ body: Buffer.from(body), headers }));
    expect(read.parameters).toEqual(understood);
    expect(Buffer.from(read.bytes).toString()).toBe('hello');
  });

  test.each([
    ['no file', async () => form(parameters, {})],
    ['two files', async () => form(parameters, { file: randomBytes(5), other: randomBytes(5) })],
    [
      'no boundary',
      async () => ({
        ...(await form(parameters, { file: randomBytes(5) })),
        headers: { 'content-type': 'multipart/form-data' },
      }),
    ],
    [
      'a body cut short',
      async () => {
        const { body, headers } = await form(parameters, { file: randomBytes(500) });
        return { headers, body: body.subarray(0, body.length - 100) };
      },
    ],
  ])('with %s is refused for good', async (_, make) => {
    await expect(parseChunkRequest(event(await make()))).rejects.toMatchObject({
      problem: 'invalid-request',
    });
  });

  test('of another kind, or compressed, is refused', async () => {
    for (const headers of [
      { 'content-type': 'application/x-www-form-urlencoded' },
      { 'content-type': 'application/octet-stream', 'content-encoding': 'gzip' },
    ])
      await expect(parseChunkRequest(event({ query: parameters, headers }))).rejects.toMatchObject({
        problem: 'unsupported-body',
      });
  });
});

describe('parameters', () => {
  test.each([
    '-1',
    '1.5',
    '1e3',
    '01',
    '+1',
    ' 1',
    '',
    'NaN',
    '0x10',
    '9007199254740993',
    '99999999999999999999',
    '1,1',
  ])('refuse %j for a number', (value) => {
    expect(() => parseChunkQuery(event({ query: { ...parameters, resumableTotalSize: value } }))).toThrow(
      expect.objectContaining({ problem: 'invalid-request' }),
    );
  });

  test('refuse a number given twice with two values', () => {
    const query = new URLSearchParams(parameters);
    query.append('resumableChunkNumber', '3');
    expect(() => parseChunkQuery(event({ query }))).toThrow(/given twice/);
  });

  test('refuse names that are missing or gigantic', () => {
    const { resumableIdentifier: _, ...rest } = parameters;
    expect(() => parseChunkQuery(event({ query: rest }))).toThrow(/resumableIdentifier is missing/);
    expect(() =>
      parseChunkQuery(event({ query: { ...parameters, resumableFilename: 'x'.repeat(1025) } })),
    ).toThrow(/longer/);
  });
});
