import {
  type Chunk,
  chunksOf,
  createPresigned,
  describeUpload,
  inParallel,
  isPassing,
  partBytes,
  postChunk,
  putPart,
  reportParts,
  type SourceFile,
  untilOk,
} from '../support/clients.ts';
import { conform } from '../support/openapi.ts';
import { presignedIdOf, proxyIdOf } from '../support/played-uploads.ts';
import type { TestStack } from '../support/stack.ts';
import type { PlannedUpload } from './plan.ts';

/** Enough for a storm: a client that gives up is not what is tested. */
const TRIES = 200;
/** Where no fault needs the watchdog, an upload takes seconds; the watchdog comes round every 45 s here. */
const PATIENCE_MS = 300_000;

export const uploadIdOfPlan = ({ mode, chunkSize }: PlannedUpload, file: SourceFile): string =>
  mode === 'proxy' ? proxyIdOf(file, chunkSize) : presignedIdOf(file);

/** Does with a planned upload what its client is to do, until that has its answers. */
export async function behave(stack: TestStack, plan: PlannedUpload, file: SourceFile): Promise<void> {
  const uploadId = uploadIdOfPlan(plan, file);
  const sendAll = async (): Promise<void> => await sendUntilTaken(stack, plan, file, uploadId);
  switch (plan.behaviour) {
    case 'sends':
      return await sendAll();
    case 'sends twice':
      await Promise.all([sendAll(), sendAll()]);
      return;
    case 'misreports':
      await misreport(stack, file);
      return await sendAll();
    case 'resumes':
      await send(stack, plan, file, plan.stopsAfter);
      return await sendAll();
    case 'leaves':
      await send(stack, plan, file, plan.stopsAfter);
      return;
    case 'aborts':
      if (await send(stack, plan, file, plan.stopsAfter)) return;
      // It may be whole all the same, and then it is completed.
      await unless([404, 409], async () => {
        const path = `/uploads/${uploadId}`;
        const abort = async () =>
          await conform('DELETE', '/uploads/{uploadId}', await stack.api('DELETE', path));
        await untilOk('abort', abort, TRIES);
      });
  }
}

/** @returns false where the answer was one of these, which say that the upload has moved on */
async function unless(statuses: readonly number[], work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    const { status = 0 } = ((error as Error).cause ?? error) as { status?: number };
    if (statuses.includes(status)) return false;
    throw error;
  }
}

/** Sends what is missing, again where the server found something not to be there after all. */
async function sendUntilTaken(
  stack: TestStack,
  plan: PlannedUpload,
  file: SourceFile,
  uploadId: string,
): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    await send(stack, plan, file, 1);
    for (;;) {
      if (Date.now() > deadline) throw new Error('is not taken for five minutes');
      const { status } = await describeUpload(stack, uploadId);
      if (status === 'uploading') break;
      if (status !== 'completing') return;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
  }
}

/**
 * Sends a share of the pieces, from the first on.
 *
 * @returns whether that was all
 */
async function send(
  stack: TestStack,
  plan: PlannedUpload,
  file: SourceFile,
  share: number,
): Promise<boolean> {
  return plan.mode === 'proxy'
    ? await sendByProxy(stack, plan, file, share)
    : await sendPresigned(stack, file, share);
}

async function sendByProxy(
  stack: TestStack,
  plan: PlannedUpload,
  file: SourceFile,
  share: number,
): Promise<boolean> {
  const { chunkSize, forceChunkSize, method } = plan;
  const options = { chunkSize, forceChunkSize, method };
  const chunks = chunksOf(file.bytes.byteLength, options);
  const chosen = chunks.slice(0, Math.ceil(chunks.length * share));
  const post = async (chunk: Chunk): Promise<void> => {
    await untilOk(
      `chunk ${chunk.number}`,
      async () => await conform('POST', '/upload', await postChunk(stack, file, chunk, options)),
      TRIES,
    );
  };
  await inParallel(chosen, 3, post);
  return chosen.length === chunks.length;
}

/** As the browser's client: whatever goes wrong with a part, a URL signed anew is asked for. */
async function sendPresigned(stack: TestStack, file: SourceFile, share: number): Promise<boolean> {
  const upload = await createPresigned(stack, file);
  const { uploadId, partSize, partCount, receivedParts } = upload;
  const isThere = (number: number): boolean =>
    receivedParts.some(([first, last]) => number >= first && number <= last);
  const numbers = Array.from({ length: Math.ceil(partCount * share) }, (_, index) => index + 1);
  // A part whose answer was lost may have been found, and the upload completed, behind the client's back: S3 knows
  // no such upload then, and whoever asks for its status hears why.
  const goesOn = await unless([404, 409], async () => {
    await inParallel(
      numbers.filter((number) => !isThere(number)),
      3,
      async (partNumber) => {
        const put = async (): Promise<string> => {
          const body = { partNumbers: [partNumber] };
          const response = await stack.api('POST', `/uploads/${uploadId}/part-urls`, body);
          const { partUrls } = (await conform('POST', '/uploads/{uploadId}/part-urls', response)) as {
            partUrls: { url: string }[];
          };
          return await putPart(partUrls[0]?.url ?? '', partBytes(file, partSize, partNumber));
        };
        const etag = await untilOk(`part ${partNumber}`, put, TRIES);
        await reportParts(stack, uploadId, [{ partNumber, etag }]);
      },
    );
  });
  return goesOn && numbers.length === partCount;
}

/** All parts reported, none of them rightly, and half of them not even put. */
async function misreport(stack: TestStack, file: SourceFile): Promise<void> {
  const { uploadId, partCount, partSize, partUrls } = await createPresigned(stack, file);
  for (const { partNumber, url } of partUrls.slice(0, Math.ceil(partCount / 2)))
    await putPart(url, partBytes(file, partSize, partNumber)).catch((error) => {
      // What does not arrive now is sent again later.
      if (!isPassing(error)) throw error;
    });
  const parts = Array.from({ length: partCount }, (_, index) => ({
    partNumber: index + 1,
    etag: String(index % 10).repeat(32),
  }));
  await reportParts(stack, uploadId, parts);
}
