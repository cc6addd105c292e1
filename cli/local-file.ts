import { openAsBlob } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { basename, extname } from 'node:path';
import { fileIdentifier } from '../client/identifier.ts';

/** What browsers say of these endings. */
const CONTENT_TYPES: Record<string, string> = {
  '.3gp': 'video/3gpp',
  '.avi': 'video/x-msvideo',
  '.m2ts': 'video/mp2t',
  '.m4v': 'video/x-m4v',
  '.mkv': 'video/x-matroska',
  '.mov': 'video/quicktime',
  '.mp4': 'video/mp4',
  '.mpeg': 'video/mpeg',
  '.mpg': 'video/mpeg',
  '.mxf': 'application/mxf',
  '.ogv': 'video/ogg',
  '.webm': 'video/webm',
  '.wmv': 'video/x-ms-wmv',
};

/** Read, and sent, at once. */
const READ_BYTES = 256 * 1024;

export interface LocalFile extends AsyncDisposable {
  readonly name: string;
  readonly size: number;
  /** Empty where it is not known. */
  readonly contentType: string;
  /** The same as the browser's for this file. */
  readonly identifier: string;
  /** Reads `length` bytes from `start`; never more than a buffer at a time is in memory. */
  stream(start: number, length: number): AsyncIterable<Uint8Array>;
  read(start: number, length: number): Promise<Uint8Array>;
}

/** @throws Error that names what is wrong with the file */
export async function openLocalFile(path: string, contentType?: string): Promise<LocalFile> {
  let handle: FileHandle;
  try {
    handle = await open(path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new Error(code === 'ENOENT' ? 'There is no such file.' : `The file cannot be opened (${code}).`, {
      cause,
    });
  }
  try {
    return await describe(path, handle, contentType);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function describe(path: string, handle: FileHandle, contentType?: string): Promise<LocalFile> {
  const { size, mtimeMs, isFile } = await statOf(handle);
  if (!isFile) throw new Error('This is not a file.');
  if (size === 0) throw new Error('The file is empty.');
  const name = basename(path);
  const identity = Object.assign(await openAsBlob(path), { name, lastModified: Math.floor(mtimeMs) });

  /** Parts of two versions of a file would make a whole that never was. */
  const assertUnchanged = async () => {
    const now = await statOf(handle);
    if (now.size !== size || now.mtimeMs !== mtimeMs)
      throw new Error(
        'The file has changed during the upload. Run the command again to upload it as it is now.',
      );
  };

  const read = async (start: number, length: number): Promise<Uint8Array> => {
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(length), 0, length, start);
    if (bytesRead !== length) throw new Error('The file has become shorter during the upload.');
    return buffer;
  };

  return {
    name,
    size,
    contentType: contentType ?? CONTENT_TYPES[extname(name).toLowerCase()] ?? '',
    identifier: await fileIdentifier(identity),
    async *stream(start, length) {
      await assertUnchanged();
      for (let sent = 0; sent < length; sent += READ_BYTES)
        yield read(start + sent, Math.min(READ_BYTES, length - sent));
    },
    async read(start, length) {
      await assertUnchanged();
      return read(start, length);
    },
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

async function statOf(handle: FileHandle): Promise<{ size: number; mtimeMs: number; isFile: boolean }> {
  const stat = await handle.stat();
  return { size: stat.size, mtimeMs: stat.mtimeMs, isFile: stat.isFile() };
}
