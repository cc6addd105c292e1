import type { UploadFunctionName } from '../../infra/function-map.ts';
import type { ApiAnswer, ApiEvent, ApiRequest } from '../../lambdas/http/handler.ts';
import { pieceCount, pieceLength } from '../../lambdas/parts/geometry.ts';
import { type Bucket, uploadPart } from '../../lambdas/storage/multipart.ts';
import type { Table } from '../../lambdas/upload/store.ts';
import type { StateMachine } from '../../lambdas/workflow/execution.ts';
import { createUpload, logger, receiveChunk, recordParts, SETTINGS, signParts } from './functions.ts';
import { type SimulatedLambda, Throttled } from './lambda.ts';
import { type Meter, tokenBucket } from './meter.ts';
import { QUOTAS } from './quotas.ts';
import type { SimulatedTime } from './time.ts';

export interface ClientFile {
  readonly owner: string;
  readonly name: string;
  readonly bytes: number;
  /** Of a chunk, or of a part. */
  readonly pieceBytes: number;
  /** Pieces that are sent at the same time. */
  readonly atOnce: number;
  readonly bitsPerSecond: number;
}

export interface ClientWorld {
  readonly time: SimulatedTime;
  readonly meter: Meter;
  readonly random: () => number;
  readonly lambda: SimulatedLambda;
  readonly services: {
    readonly table: Table;
    readonly bucket: Bucket;
    readonly signer: Bucket;
    readonly stateMachine: StateMachine;
    readonly settings: typeof SETTINGS;
  };
}

type Handler = (request: ApiRequest) => Promise<ApiAnswer>;

/** One request through API Gateway and Lambda, repeated a second later as long as it is throttled. */
export function apiOf({ time, meter, random, lambda }: Omit<ClientWorld, 'services'>) {
  const gateway = tokenBucket(time.now, QUOTAS.apiRequestsPerSecond, QUOTAS.apiRequestsPerSecond);
  const log = logger();
  return async (
    name: UploadFunctionName,
    cpuMs: number,
    request: { owner: string; event: Partial<ApiEvent> },
    handler: Handler,
  ): Promise<Record<string, unknown>> => {
    const event = { headers: {}, rawQueryString: '', ...request.event } as ApiEvent;
    for (;;) {
      meter.add('API requests');
      try {
        if (!gateway.take()) throw new Throttled('API Gateway');
        const answer = await lambda.run(name, cpuMs, () =>
          handler({ event, owner: request.owner, now: time.now(), log }),
        );
        return answer.body as Record<string, unknown>;
      } catch (error) {
        if (!(error instanceof Throttled) && (error as Error).name !== 'ThrottlingException') throw error;
        meter.add('client retries');
        await time.sleep(500 + random() * 1000);
      }
    }
  };
}

/** Resumable.js in proxy mode, with bare bytes. @returns the upload's id */
export async function sendProxied(
  world: ClientWorld,
  api: ReturnType<typeof apiOf>,
  file: ClientFile,
): Promise<string> {
  const chunks = { totalSize: file.bytes, pieceSize: file.pieceBytes };
  let uploadId = '';
  await inSlots(pieceCount(chunks), file.atOnce, async (number) => {
    const length = pieceLength(chunks, number);
    await world.time.sleep(travelMs(file, length));
    const query = new URLSearchParams({
      resumableChunkNumber: String(number),
      resumableChunkSize: String(file.pieceBytes),
      resumableCurrentChunkSize: String(length),
      resumableTotalSize: String(file.bytes),
      resumableType: 'video/mp4',
      resumableIdentifier: file.name,
      resumableFilename: file.name,
    });
    const event = {
      headers: { 'content-type': 'application/octet-stream' },
      rawQueryString: String(query),
      body: bodyOf(length),
      isBase64Encoded: false,
    };
    const answer = await api('receive-chunk', 40, { owner: file.owner, event }, (request) =>
      receiveChunk(request, world.services),
    );
    uploadId = String(answer['uploadId']);
  });
  return uploadId;
}

const bodies = new Map<number, ArrayBuffer>();

/** A request's body. Not text but the buffer that the function makes of it: it is then taken over, not copied. */
function bodyOf(length: number): string {
  const body = bodies.get(length) ?? new ArrayBuffer(length);
  bodies.set(length, body);
  return body as unknown as string;
}

/** As the presigned client does it: URLs for 20 parts at a time, reports of 20 parts or of two seconds. */
const SIGN_AT_ONCE = 20;
const REPORT_AT_ONCE = 20;
const REPORT_AFTER_MS = 2000;

/** @returns the upload's id */
export async function sendPresigned(
  world: ClientWorld,
  api: ReturnType<typeof apiOf>,
  file: ClientFile,
): Promise<string> {
  const { services, time } = world;
  const parts = { totalSize: file.bytes, pieceSize: file.pieceBytes };
  const count = pieceCount(parts);
  const json = (body: object) => ({ body: JSON.stringify(body), isBase64Encoded: false });
  const created = await api(
    'create-upload',
    60,
    {
      owner: file.owner,
      event: json({ fileName: file.name, size: file.bytes, contentType: 'video/mp4' }),
    },
    (request) => createUpload(request, services),
  );
  const uploadId = String(created['uploadId']);
  const pathParameters = { uploadId };
  const urls = created['partUrls'] as { partNumber: number; url: string }[];
  let signed = urls.length;
  let signing: Promise<unknown> = Promise.resolve();
  const s3UploadId = new URL(urls[0]?.url ?? '').searchParams.get('uploadId') ?? '';
  const target = { key: String(created['key']), s3UploadId };

  let waiting: { partNumber: number; etag: string }[] = [];
  let since = time.now();
  const report = async (): Promise<void> => {
    const sent = waiting;
    waiting = [];
    since = time.now();
    const event = { ...json({ parts: sent }), pathParameters };
    await api('record-parts', 10, { owner: file.owner, event }, (request) => recordParts(request, services));
  };
  let stored = 0;
  await inSlots(count, file.atOnce, async (partNumber) => {
    if (partNumber > signed) {
      const first = signed + 1;
      signed = Math.min(count, signed + SIGN_AT_ONCE);
      const partNumbers = Array.from({ length: signed - first + 1 }, (_, index) => first + index);
      const event = { ...json({ partNumbers }), pathParameters };
      signing = api('sign-parts', 30, { owner: file.owner, event }, (request) =>
        signParts(request, services),
      );
    }
    await signing;
    const size = pieceLength(parts, partNumber);
    await time.sleep(travelMs(file, size));
    const etag = await uploadPart(services.bucket, target, { partNumber, size, body: emptyBody(size) });
    stored++;
    waiting.push({ partNumber, etag });
    const isTime = time.now() - since >= REPORT_AFTER_MS;
    if (stored === count || waiting.length >= REPORT_AT_ONCE || isTime) await report();
  });
  return uploadId;
}

let zeros = new Uint8Array(0);
function emptyBody(size: number): Uint8Array {
  if (zeros.byteLength < size) zeros = new Uint8Array(size);
  return zeros.subarray(0, size);
}

/** All pieces on their way share the line. */
const travelMs = ({ bitsPerSecond, atOnce }: ClientFile, bytes: number): number =>
  ((bytes * 8) / bitsPerSecond) * 1000 * atOnce;

async function inSlots(count: number, slots: number, send: (number: number) => Promise<void>): Promise<void> {
  let next = 1;
  await Promise.all(
    Array.from({ length: Math.min(slots, count) }, async () => {
      while (next <= count) await send(next++);
    }),
  );
}
