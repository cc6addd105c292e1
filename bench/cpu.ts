/**
 * npm run bench:cpu
 *
 * The work of the functions that handle bytes and URLs, in CPU time on one core: to parse a chunk's form, to sign a
 * request with its bytes, to sign a URL. The durations that the cost table assumes build on these.
 */
import { availableParallelism } from 'node:os';
import { S3Client } from '@aws-sdk/client-s3';
import { parseChunkRequest } from '../lambdas/http/chunk-request.ts';
import { type ApiEvent } from '../lambdas/http/handler.ts';
import { MiB } from '../lambdas/parts/geometry.ts';
import { presignParts } from '../lambdas/storage/presign.ts';
import { stageChunk } from '../lambdas/storage/staging.ts';
import { newUpload } from '../lambdas/upload/lifecycle.ts';
import type { UploadSettings } from '../lambdas/upload/settings.ts';

const CHUNK_MIB = 4;
const ROUNDS = 30;

const client = new S3Client({
  region: 'us-east-1',
  credentials: { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'any' },
  requestChecksumCalculation: 'WHEN_REQUIRED',
});
// All is done but the sending: this step comes after the signing.
client.middlewareStack.add(
  () => async () => ({ output: { $metadata: {}, ETag: '"0"' }, response: {} }) as never,
  { step: 'deserialize', priority: 'high' },
);
const bucket = { client, bucketName: 'bucket' };

async function chunkEvent(bytes: Uint8Array<ArrayBuffer>): Promise<ApiEvent> {
  const form = new FormData();
  const parameters = {
    resumableChunkNumber: 1,
    resumableChunkSize: bytes.byteLength,
    resumableCurrentChunkSize: bytes.byteLength,
    resumableTotalSize: bytes.byteLength,
    resumableIdentifier: 'file',
    resumableFilename: 'file.mp4',
  };
  for (const [name, value] of Object.entries(parameters)) form.append(name, String(value));
  form.append('file', new Blob([bytes]));
  const sent = new Response(form);
  return {
    body: Buffer.from(await sent.arrayBuffer()).toString('base64'),
    isBase64Encoded: true,
    headers: { 'content-type': sent.headers.get('content-type') ?? '' },
    rawQueryString: '',
  } as unknown as ApiEvent;
}

/** CPU milliseconds of one run, all threads together: the median of many. */
async function cpuMs(work: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const from = process.cpuUsage();
    await work();
    const { user, system } = process.cpuUsage(from);
    times.push((user + system) / 1000);
  }
  return times.sort((a, b) => a - b)[ROUNDS / 2] ?? 0;
}

const bytes = new Uint8Array(CHUNK_MIB * MiB);
const event = await chunkEvent(bytes);
const parsing = (await cpuMs(() => parseChunkRequest(event))) / CHUNK_MIB;
const storing = (await cpuMs(() => stageChunk(bucket, 'staging/key', bytes))) / CHUNK_MIB;
const identity = {
  owner: 'owner',
  mode: 'presigned',
  identifier: 'file',
  totalSize: 800 * MiB,
  chunkSize: 0,
  fileName: 'file.mp4',
} as const;
const settings = { abandonAfterSeconds: 86_400, maxAgeSeconds: 604_800 } as UploadSettings;
const upload = {
  ...newUpload(identity, { contentType: 'video/mp4', pieceSize: 16 * MiB }, settings, Date.now()),
  s3UploadId: 'id',
};
const numbers = Array.from({ length: 50 }, (_, index) => index + 1);
const signing =
  (await cpuMs(() => presignParts(bucket, upload, numbers, { now: Date.now(), expirySeconds: 3600 }))) /
  numbers.length;

console.log(
  `Node ${process.versions.node}, ${process.arch}, ${availableParallelism()} cores, ${new Date().toISOString().slice(0, 10)}; medians of ${ROUNDS}.

| work | CPU ms on one core |
|---|---:|
| parse a chunk's form, each MiB | ${parsing.toFixed(2)} |
| sign a request with its bytes, each MiB | ${storing.toFixed(2)} |
| sign a URL | ${signing.toFixed(2)} |`,
);
