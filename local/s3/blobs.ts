import { randomBytes } from 'node:crypto';
import { createReadStream, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** Bytes that are gathered before they are written: few system calls, and little memory for each request. */
const writeSize = 1024 * 1024;
const readSize = 1024 * 1024;

/** A piece of an object: bytes of a file, from `start` to `end` inclusive. */
export interface BlobRange {
  readonly blob: string;
  readonly start: number;
  readonly end: number;
}

/**
 * Immutable files of bytes, named at random. A file counts once the metadata names it; all others are swept when
 * the store opens, so a crash at any moment leaves nothing behind.
 */
export interface BlobStore {
  /** Writes a stream to a new blob. What it wrote is gone if the stream fails. */
  write(bytes: AsyncIterable<Buffer>): Promise<{ readonly blob: string; readonly size: number }>;
  /** The ranges' bytes, one after another. The blobs stay readable to the end even if they are removed meanwhile. */
  read(ranges: readonly BlobRange[]): AsyncIterableIterator<Buffer>;
  remove(blobs: readonly string[]): Promise<void>;
}

/** @param isReferenced tells of a blob found on disk whether the metadata names it. */
export function openBlobStore(dir: string, isReferenced: (blob: string) => boolean): BlobStore {
  const incoming = join(dir, 'incoming');
  const stored = join(dir, 'blobs');
  rmSync(incoming, { recursive: true, force: true });
  mkdirSync(incoming, { recursive: true });
  for (let shelf = 0; shelf < 256; shelf++) {
    const folder = join(stored, shelf.toString(16).padStart(2, '0'));
    mkdirSync(folder, { recursive: true });
    for (const blob of readdirSync(folder)) if (!isReferenced(blob)) rmSync(join(folder, blob));
  }

  const path = (blob: string): string => join(stored, blob.slice(0, 2), blob);
  const readers = new Map<string, number>();
  const removedWhileRead = new Set<string>();

  /** Keeps blobs on disk until the returned function is called. */
  function hold(ranges: readonly BlobRange[]): () => Promise<void> {
    for (const { blob } of ranges) readers.set(blob, (readers.get(blob) ?? 0) + 1);
    let held = true;
    return async () => {
      if (!held) return;
      held = false;
      for (const { blob } of ranges) {
        const left = (readers.get(blob) ?? 1) - 1;
        if (left > 0) {
          readers.set(blob, left);
        } else {
          readers.delete(blob);
          if (removedWhileRead.delete(blob)) await rm(path(blob), { force: true });
        }
      }
    };
  }

  return {
    async write(bytes) {
      const blob = randomBytes(16).toString('hex');
      const temporary = join(incoming, blob);
      const file = await open(temporary, 'wx');
      let size = 0;
      try {
        let gathered: Buffer[] = [];
        let gatheredSize = 0;
        // One write is under way while the next megabyte arrives and is hashed.
        let writing: Promise<void> = Promise.resolve();
        const flush = async (): Promise<void> => {
          await writing;
          const batch = gathered;
          gathered = [];
          gatheredSize = 0;
          writing = file.appendFile(batch.length === 1 ? (batch[0] as Buffer) : Buffer.concat(batch));
          // A failure shows at the next await; it must not count as unhandled until then.
          writing.catch(() => undefined);
        };
        for await (const chunk of bytes) {
          gathered.push(chunk);
          gatheredSize += chunk.length;
          size += chunk.length;
          if (gatheredSize >= writeSize) await flush();
        }
        if (gatheredSize > 0) await flush();
        await writing;
      } catch (error) {
        await file.close();
        await rm(temporary, { force: true });
        throw error;
      }
      await file.close();
      await rename(temporary, path(blob));
      return { blob, size };
    },

    read(ranges) {
      const release = hold(ranges);
      const bytes = async function* (): AsyncGenerator<Buffer> {
        try {
          for (const { blob, start, end } of ranges) {
            yield* createReadStream(path(blob), { start, end, highWaterMark: readSize });
          }
        } finally {
          await release();
        }
      };
      const generator = bytes();
      return {
        next: () => generator.next(),
        // A generator that was never started does not run its `finally`.
        return: async () => {
          await release();
          return generator.return(undefined);
        },
        [Symbol.asyncIterator]() {
          return this;
        },
      };
    },

    async remove(blobs) {
      for (const blob of blobs) {
        if (readers.has(blob)) removedWhileRead.add(blob);
        else await rm(path(blob), { force: true });
      }
    },
  };
}
