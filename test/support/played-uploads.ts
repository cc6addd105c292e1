import { randomBytes } from 'node:crypto';
import { uploadIdOf } from '../../lambdas/upload/identity.ts';
import {
  type CreatedUpload,
  chunkParameters,
  chunksOf,
  createBody,
  type ProxyOptions,
  partBytes,
  postChunk,
  putPart,
  type SourceFile,
  sourceFile,
} from './clients.ts';
import type { Step } from './deaths.ts';
import { conform } from './openapi.ts';
import type { TestStack } from './stack.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

/** An upload as a list of single requests, its id known before the first of them. */
export interface PlayedUpload {
  readonly file: SourceFile;
  readonly uploadId: string;
  readonly steps: readonly Step[];
}

const random = new Map<number, Buffer>();
let taken = 0;

/** Files that differ from one another, and share their memory: there may be hundreds at a time. */
function cheapFile(size: number): SourceFile {
  const offsets = 4096;
  const pool = random.get(size) ?? randomBytes(size + offsets);
  random.set(size, pool);
  const offset = taken++ % offsets;
  return sourceFile(size, undefined, pool.subarray(offset, offset + size));
}

export const proxyIdOf = (file: SourceFile, chunkSize: number, owner = 'anonymous'): string =>
  uploadIdOf({
    owner,
    mode: 'proxy',
    identifier: file.identifier,
    totalSize: file.bytes.byteLength,
    chunkSize,
    fileName: file.name,
  });

export const presignedIdOf = (file: SourceFile, owner = 'anonymous'): string =>
  uploadIdOf({
    owner,
    mode: 'presigned',
    identifier: file.identifier,
    totalSize: file.bytes.byteLength,
    chunkSize: 0,
    fileName: file.name,
  });

/**
 * A proxied file, its chunks posted in the order given, the first two after their test requests.
 *
 * @param alike chunk numbers whose request makes the same calls as an earlier one's
 */
export function proxied(
  stack: TestStack,
  size: number,
  options: ProxyOptions,
  { order, alike = [] }: { order?: readonly number[]; alike?: readonly number[] } = {},
): PlayedUpload {
  const file = cheapFile(size);
  const uploadId = proxyIdOf(file, options.chunkSize);
  const chunks = chunksOf(size, options);
  const numbers = order ?? chunks.map(({ number }) => number);
  const steps = numbers.flatMap((number, index): Step[] => {
    const chunk = chunks[number - 1];
    if (!chunk) throw new Error(`There is no chunk ${number}.`);
    const asBefore = alike.includes(number);
    const query = new URLSearchParams(chunkParameters(file, chunk, options));
    const test: Step = {
      name: `test of chunk ${number}`,
      send: async () => await conform('GET', '/upload', await stack.api('GET', `/upload?${query}`)),
    };
    const post: Step = {
      name: `chunk ${number}`,
      asBefore,
      send: async () => await conform('POST', '/upload', await postChunk(stack, file, chunk, options)),
    };
    // The first test finds no upload, the second one finds it without the chunk.
    return index < 2 ? [test, post] : [post];
  });
  return { file, uploadId, steps };
}

/**
 * A presigned file: created, its status asked for, each part signed, put and reported, and created again in between.
 *
 * @param reported each part when it is put, or all by one request at the end; or none: the file is created again
 */
export function presigned(
  stack: TestStack,
  size: number,
  { reported = 'each' }: { reported?: 'each' | 'at once' | 'never' } = {},
): PlayedUpload {
  const file = cheapFile(size);
  const uploadId = presignedIdOf(file);
  let upload: CreatedUpload | undefined;
  const etags = new Map<number, string>();
  const create: Step = {
    name: 'create',
    send: async () => {
      const response = await stack.api('POST', '/uploads', createBody(file));
      upload = (await conform('POST', '/uploads', response)) as CreatedUpload;
    },
  };
  const post = async (path: 'part-urls' | 'parts', body: unknown): Promise<unknown> => {
    const response = await stack.api('POST', `/uploads/${uploadId}/${path}`, body);
    return await conform('POST', `/uploads/{uploadId}/${path}`, response);
  };
  const status: Step = {
    name: 'status',
    send: async () =>
      await conform('GET', '/uploads/{uploadId}', await stack.api('GET', `/uploads/${uploadId}`)),
  };
  const put = (partNumber: number): Step => ({
    name: `put ${partNumber}`,
    send: async () => {
      const { partUrls } = (await post('part-urls', { partNumbers: [partNumber] })) as CreatedUpload;
      const bytes = partBytes(file, upload?.partSize ?? 0, partNumber);
      etags.set(partNumber, await putPart(partUrls[0]?.url ?? '', bytes));
    },
  });
  const report = (partNumbers: readonly number[]): Step => ({
    name: `report ${partNumbers.join(', ')}`,
    send: async () =>
      await post('parts', {
        parts: partNumbers.map((partNumber) => ({ partNumber, etag: etags.get(partNumber) })),
      }),
  });
  const numbers = Array.from({ length: Math.ceil(size / (5 * MiB)) }, (_, index) => index + 1);
  const resume = { ...create, name: 'resume' };
  if (reported !== 'each') {
    const last = reported === 'never' ? resume : report(numbers);
    return { file, uploadId, steps: [create, ...numbers.map(put), last] };
  }
  const [first = [], ...others] = numbers.map((number) => [put(number), report([number])]);
  return {
    file,
    uploadId,
    steps: [create, status, ...first, resume, ...others.flat()],
  };
}

/** Uploads that between them take every way through the functions. */
export const WAYS: readonly {
  readonly name: string;
  readonly begin: (stack: TestStack) => PlayedUpload;
  /** Calls that a play of it must have made, lest a test be about nothing. */
  readonly calls: readonly string[];
}[] = [
  {
    name: 'one chunk, proxied',
    begin: (stack) => proxied(stack, 1000, { chunkSize: 64 * KiB }),
    calls: [
      'receive-chunk PutItem',
      'receive-chunk CreateMultipartUpload',
      'receive-chunk UploadPart',
      'receive-chunk StartExecution',
      'complete-upload ListParts',
    ],
  },
  {
    name: 'two pages of chunks and a floor tail, proxied',
    begin: (stack) =>
      proxied(
        stack,
        17 * 64 * KiB + 1000,
        { chunkSize: 64 * KiB, method: 'octet' },
        { alike: [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15] },
      ),
    calls: [
      'receive-chunk PutObject',
      'receive-chunk UpdateItem',
      'test-chunk GetItem',
      'gather-parts Query',
      'gather-parts CreateMultipartUpload',
      'assemble-part GetObject',
      'assemble-part UploadPart',
      'complete-upload DeleteObjects',
    ],
  },
  {
    name: 'an assembled part and a direct last one, proxied',
    begin: (stack) =>
      proxied(
        stack,
        16 * MiB + 2 * MiB + 1000,
        { chunkSize: 2 * MiB, method: 'octet' },
        // The last body is chunks 9 and 10, a part as it stands; it comes first.
        { order: [9, 1, 2, 3, 4, 5, 6, 7, 8], alike: [2, 3, 4, 5, 6, 7] },
      ),
    calls: [
      'receive-chunk UploadPart',
      'receive-chunk PutObject',
      'assemble-part UploadPart',
      'complete-upload CompleteMultipartUpload',
      'workflow Invoke',
      'workflow UpdateItem',
      'workflow PutEvents',
    ],
  },
  {
    name: 'two parts, presigned',
    begin: (stack) => presigned(stack, 5 * MiB + 1000),
    calls: [
      'create-upload PutItem',
      'create-upload CreateMultipartUpload',
      'create-upload Query',
      'get-upload Query',
      'sign-parts GetItem',
      'record-parts UpdateItem',
      'record-parts StartExecution',
      'complete-upload Query',
      'complete-upload CompleteMultipartUpload',
      'workflow PutEvents',
    ],
  },
  {
    name: 'two parts, presigned and never reported',
    begin: (stack) => presigned(stack, 5 * MiB + 1000, { reported: 'never' }),
    calls: ['create-upload ListParts', 'create-upload UpdateItem', 'create-upload StartExecution'],
  },
];
