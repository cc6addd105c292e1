/** One file's way to the server, in either mode. */
export interface Sender {
  readonly uploadId: string;
  /** Bytes of every part but the last. */
  readonly partSize: number;
  readonly partCount: number;
  /** Part numbers, from 1, that the server has. */
  readonly received: Set<number>;
  /** Bytes that earlier runs, or other clients, had sent. */
  readonly resumedBytes: number;
  /**
   * Sends a part once more or for the first time, until it is stored and recorded.
   *
   * @param onBytes told of progress; of less than nothing when a part starts over
   */
  send(partNumber: number, signal: AbortSignal, onBytes: (bytes: number) => void): Promise<void>;
  /** Tells the server what it does not know yet. */
  flush(): Promise<void>;
}

export const partLength = (size: number, partSize: number, partNumber: number): number =>
  Math.min(partSize, size - (partNumber - 1) * partSize);

export function bytesOf(numbers: Iterable<number>, size: number, partSize: number): number {
  let bytes = 0;
  for (const number of numbers) bytes += partLength(size, partSize, number);
  return bytes;
}
