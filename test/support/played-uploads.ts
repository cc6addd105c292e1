import { randomBytes } from 'node:crypto';
import { uploadIdOf } from '../../lambdas/upload/identity.ts';
import type { FaultRule } from '../../local/types.ts';
import {
  type Chunk,
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
import { withHeaders } from './owners.ts';
import type { TestStack } from './stack.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

/** An upload as a list of single requests, its id known before the first of them. */
export interface PlayedUpload {
  readonly file: SourceFile;
  readonly uploadId: string;
  readonly owner: string;
  /** The stack as its owner sees it. */
  readonly user: TestStack;
  /** A text that every call about it has in its input. */
  readonly mark: string;
  readonly steps: readonly Step[];
  /** What makes it go as it goes, besides its steps. */
  readonly faults?: readonly FaultRule[];
}

/** Whose uploads they are, and what they are announced as. */
export interface Sender {
  readonly owner: string;
  readonly headers?: Record<string, string>;
  readonly contentType?: string;
}

const ANONYMOUS: Sender = { owner: 'anonymous' };

const random = new Map<number, Buffer>();
let taken = 0;

/** Files that differ from one another, and share their memory: there may be hundreds at a time. */
function cheapFile(size: number, { contentType }: Sender): SourceFile {
  const offsets = 4096;
  const pool = random.get(size) ?? randomBytes(size + offsets);
  random.set(size, pool);
  const offset = taken++ % offsets;
  const file = sourceFile(size, undefined, pool.subarray(offset, offset + size));
  return contentType === undefined ? file : { ...file, type: contentType };
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

/** All but the steps of an upload. */
type Stage = Omit<PlayedUpload, 'steps' | 'faults'>;

/** Everything of one owner's only upload has the owner in it; of anonymous uploads, each has its id. */
const stageOf = (
  stack: TestStack,
  file: SourceFile,
  uploadId: string,
  { owner, headers }: Sender,
): Stage => ({
  file,
  uploadId,
  owner,
  user: headers ? withHeaders(stack, headers) : stack,
  mark: owner === 'anonymous' ? uploadId : owner,
});

/** The requests that a proxied file can be sent by. */
export function proxiedRequests(
  stack: TestStack,
  size: number,
  options: ProxyOptions,
  sender: Sender = ANONYMOUS,
): Stage & { numbers: number[]; ask: (chunk: number) => Step; post: (chunk: number) => Step } {
  const file = cheapFile(size, sender);
  const { chunkSize } = options;
  const stage = stageOf(stack, file, proxyIdOf(file, chunkSize, sender.owner), sender);
  const chunks = chunksOf(size, options);
  const chunkAt = (number: number): Chunk => {
    const chunk = chunks[number - 1];
    if (!chunk) throw new Error(`There is no chunk ${number}.`);
    return chunk;
  };
  const sent = { ...options, ...(sender.headers && { headers: sender.headers }) };
  return {
    ...stage,
    numbers: chunks.map(({ number }) => number),
    ask: (number) => {
      const query = new URLSearchParams(chunkParameters(file, chunkAt(number), options));
      return {
        name: `test of chunk ${number}`,
        send: async () => await conform('GET', '/upload', await stage.user.api('GET', `/upload?${query}`)),
      };
    },
    post: (number) => {
      const chunk = chunkAt(number);
      // The last body may be more than one of the pieces that the service counts.
      const last = Math.ceil(chunk.end / chunkSize);
      return {
        name: `chunk ${number}`,
        acknowledges: Array.from({ length: last - number + 1 }, (_, index) => number + index),
        send: async () => await conform('POST', '/upload', await postChunk(stack, file, chunk, sent)),
      };
    },
  };
}

/**
 * A proxied file, its chunks posted in the order given, the first two after their test requests.
 *
 * @param alike chunk numbers whose request makes the same calls as an earlier one's
 */
export function proxied(
  stack: TestStack,
  size: number,
  options: ProxyOptions,
  {
    order,
    alike = [],
    sender,
  }: { order?: readonly number[]; alike?: readonly number[]; sender?: Sender } = {},
): PlayedUpload {
  const { numbers, ask, post, ...stage } = proxiedRequests(stack, size, options, sender);
  const steps = (order ?? numbers).flatMap((number, index): Step[] => {
    const step = { ...post(number), asBefore: alike.includes(number) };
    // The first test finds no upload, the second one finds it without the chunk.
    return index < 2 ? [ask(number), step] : [step];
  });
  return { ...stage, steps };
}

/** The requests that a presigned file can be sent by. */
export function presignedRequests(
  stack: TestStack,
  size: number,
  sender: Sender = ANONYMOUS,
): Stage & {
  numbers: number[];
  create: Step;
  status: Step;
  put: (partNumber: number) => Step;
  /** @param lies ETags in place of those that S3 answered */
  report: (partNumbers: readonly number[], lies?: Readonly<Record<number, string>>) => Step;
} {
  const file = cheapFile(size, sender);
  const stage = stageOf(stack, file, presignedIdOf(file, sender.owner), sender);
  const { user, uploadId } = stage;
  const etags = new Map<number, string>();
  const post = async (path: 'part-urls' | 'parts', body: unknown): Promise<unknown> => {
    const response = await user.api('POST', `/uploads/${uploadId}/${path}`, body);
    return await conform('POST', `/uploads/{uploadId}/${path}`, response);
  };
  return {
    ...stage,
    numbers: Array.from({ length: Math.ceil(size / (5 * MiB)) }, (_, index) => index + 1),
    create: {
      name: 'create',
      acknowledges: [],
      send: async () =>
        await conform('POST', '/uploads', await user.api('POST', '/uploads', createBody(file))),
    },
    status: {
      name: 'status',
      send: async () =>
        await conform('GET', '/uploads/{uploadId}', await user.api('GET', `/uploads/${uploadId}`)),
    },
    put: (partNumber) => ({
      name: `put ${partNumber}`,
      send: async () => {
        const { partUrls } = (await post('part-urls', { partNumbers: [partNumber] })) as CreatedUpload;
        const bytes = partBytes(file, 5 * MiB, partNumber);
        etags.set(partNumber, await putPart(partUrls[0]?.url ?? '', bytes));
      },
    }),
    report: (partNumbers, lies = {}) => ({
      name: `report ${partNumbers.join(', ')}`,
      acknowledges: partNumbers,
      send: async () =>
        await post('parts', {
          parts: partNumbers.map((partNumber) => ({
            partNumber,
            etag: lies[partNumber] ?? etags.get(partNumber),
          })),
        }),
    }),
  };
}

/**
 * A presigned file: created, its status asked for, each part signed, put and reported, and created again in between.
 *
 * @param reported each part when it is put, or all by one request at the end; or none: the file is created again
 */
export function presigned(
  stack: TestStack,
  size: number,
  { reported = 'each', sender }: { reported?: 'each' | 'at once' | 'never'; sender?: Sender } = {},
): PlayedUpload {
  const { numbers, create, status, put, report, ...stage } = presignedRequests(stack, size, sender);
  const resume = { ...create, name: 'resume' };
  if (reported !== 'each') {
    const last = reported === 'never' ? resume : report(numbers);
    return { ...stage, steps: [create, ...numbers.map(put), last] };
  }
  const [first = [], ...others] = numbers.map((number) => [put(number), report([number])]);
  return { ...stage, steps: [create, status, ...first, resume, ...others.flat()] };
}

/** A way to upload a file. */
export interface Way {
  readonly name: string;
  readonly begin: (stack: TestStack) => PlayedUpload | Promise<PlayedUpload>;
  /** Calls that a play of it must have made, and at which there are deaths: the guard holds that they are all. */
  readonly calls: readonly string[];
  /** The functions that it is there for: others are as on an earlier way. Absent: everybody. */
  readonly about?: readonly string[];
  /** Detail-types of what was told of it before its good end. */
  readonly toldBefore?: readonly string[];
}

/** Uploads that between them take every way through the functions. */
export const WAYS: readonly Way[] = [
  {
    name: 'one chunk, proxied',
    begin: (stack) => proxied(stack, 1000, { chunkSize: 64 * KiB }),
    calls: [
      'receive-chunk PutItem',
      'receive-chunk CreateMultipartUpload',
      'receive-chunk UploadPart',
      'receive-chunk GetItem',
      'receive-chunk StartExecution',
      'gather-parts GetItem',
      'complete-upload GetItem',
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
      'create-upload GetItem',
      'create-upload Query',
      'get-upload GetItem',
      'get-upload Query',
      'sign-parts GetItem',
      'record-parts GetItem',
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
