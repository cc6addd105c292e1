import type { UploadProgress } from '../client/api.ts';
import { assertOpen, wholeElsewhere } from '../client/confirm.ts';
import { PartReport } from '../client/part-report.ts';
import { PartUrls } from '../client/part-urls.ts';
import { missingNumbers, numbersIn } from '../client/ranges.ts';
import { StorageJudge } from '../client/storage-answer.ts';
import type { Connection } from './connection.ts';
import type { LocalFile } from './local-file.ts';
import { persist } from './persist.ts';
import { bytesOf, partLength, type Sender } from './sender.ts';

/** Parts go straight to S3 by signed URLs, without the API's Authorization header. */
export async function presignedSender(
  { api }: Connection,
  file: LocalFile,
  signal: AbortSignal,
): Promise<Sender> {
  const opened = await api.open(
    {
      fileName: file.name,
      size: file.size,
      identifier: file.identifier,
      ...(file.contentType ? { contentType: file.contentType } : {}),
    },
    { signal },
  );
  const { uploadId, partSize, partCount } = opened;
  const received = new Set(
    numbersIn(opened.status === 'uploading' ? opened.receivedParts : [[1, partCount]]),
  );
  const onTheWay = new Set<number>();

  const urls = new PartUrls({
    sign: (partNumbers) => api.signParts(uploadId, partNumbers, { signal }),
    *upcoming(partNumber) {
      for (const next of missingNumbers(partCount, received)) {
        if (next > partNumber && !onTheWay.has(next)) yield next;
      }
    },
    now: Date.now,
  });
  urls.add(opened.partUrls);
  const judge = new StorageJudge();

  const reporting = new Set<Promise<unknown>>();
  let refused: unknown;
  const report = new PartReport<UploadProgress>({
    send: (parts) =>
      api.recordParts(uploadId, parts).catch((error: unknown) => wholeElsewhere(api, uploadId, error)),
    isLast: () => onTheWay.size === 0,
  });

  return {
    uploadId,
    partSize,
    partCount,
    received,
    resumedBytes: bytesOf(received, file.size, partSize),
    async send(partNumber, partSignal, onBytes) {
      if (refused) throw refused;
      const length = partLength(file.size, partSize, partNumber);
      onTheWay.add(partNumber);
      try {
        const { headers } = await persist({
          request: async () => ({
            method: 'PUT',
            url: new URL(await urls.get(partNumber)),
            headers: {},
            body: file.stream((partNumber - 1) * partSize, length),
            length,
          }),
          judge(answer) {
            if (judge.judge(partNumber, answer) === 'sign again') urls.discard(partNumber);
          },
          signal: partSignal,
          onBytes,
        });
        if (!headers.etag) throw new Error(`Storage answered part ${partNumber} without an ETag.`);
        urls.discard(partNumber); // Thousands of them are megabytes.
        onTheWay.delete(partNumber);
        // Not waited for: the next part may start meanwhile. `flush` does wait, and tells of failures.
        const recorded = report.add({ partNumber, etag: headers.etag }).then((answer) => {
          assertOpen(answer);
          received.add(partNumber);
        });
        reporting.add(recorded);
        recorded.then(
          () => reporting.delete(recorded),
          (error: unknown) => {
            refused = error;
          },
        );
      } finally {
        onTheWay.delete(partNumber);
      }
    },
    async flush() {
      report.flush();
      await Promise.all(reporting);
    },
  };
}
