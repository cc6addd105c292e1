/** Bytes read at each end of a file to tell it from another of the same name, size and time. */
const SAMPLE_BYTES = 64 * 1024;

export interface IdentifiableFile extends Blob {
  readonly name: string;
  /** Milliseconds since the epoch. */
  readonly lastModified: number;
}

/**
 * An identifier that is the same for the same file in every session, browser and the command line, and another for
 * any other file: 40 hex digits of a SHA-256 over name, size, time of change, and the first and last 64 KiB.
 *
 * Resumable.js's own (`size-name` without anything outside `[0-9a-zA-Z_-]`) takes `日本語.mp4` and `映画.mp4` of equal
 * size for one file.
 *
 * Pages served without TLS have no `crypto.subtle`; there it is size, time and name, without the bytes.
 */
export async function fileIdentifier(file: IdentifiableFile): Promise<string> {
  const lastModified = Math.floor(file.lastModified);
  if (!globalThis.crypto?.subtle) return identifierWithoutBytes(file);
  const head = await file.slice(0, SAMPLE_BYTES).arrayBuffer();
  const tail = await file.slice(Math.max(file.size - SAMPLE_BYTES, 0)).arrayBuffer();
  const facts = new TextEncoder().encode(JSON.stringify([file.name, file.size, lastModified]));
  const all = await new Blob([facts, head, tail]).arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', all));
  return [...digest.subarray(0, 20)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** The second best: for pages without TLS, and for files that cannot be read. */
export const identifierWithoutBytes = ({ size, lastModified, name }: IdentifiableFile): string =>
  `${size}-${Math.floor(lastModified)}-${encodeURIComponent(name)}`;

/** @throws Error fit to be shown, where the file is a folder, or has been moved, changed or deleted since it was chosen */
export async function assertReadable(file: Blob, start: number): Promise<void> {
  try {
    await file.slice(start, start + 1).arrayBuffer();
  } catch (cause) {
    throw new Error(
      'This file cannot be read: it may have been moved, changed or deleted. Choose it once more.',
      {
        cause,
      },
    );
  }
}
