/**
 * What we use of Resumable.js 1.1 (npm `resumablejs`). Its own types lack the chunk, on which everything here turns.
 * The names and their meaning are those of its source.
 */

export interface ResumableChunk {
  readonly fileObj: ResumableFile;
  /** 0-based; parts and `resumableChunkNumber` are 1-based. */
  readonly offset: number;
  readonly startByte: number;
  readonly endByte: number;
  readonly retries: number;
  /** 0: not yet, 1: at it, 2: done. A chunk in 1 keeps its file from counting as complete. */
  preprocessState: 0 | 1 | 2;
  xhr: XMLHttpRequest | FinishedRequest | null;
  status(): 'pending' | 'uploading' | 'success' | 'error';
  /** Told of the chunk's `progress`, `success`, `error` and `retry`; hands them on as the file's events. */
  callback: (event: string, message?: string) => void;
  abort: () => void;
  send(): void;
  preprocessFinished(): void;
}

/** Stands in for the request of a chunk that the server has already. */
export interface FinishedRequest {
  readonly readyState: 4;
  readonly status: 200;
  readonly responseText: '';
  getResponseHeader(name: string): null;
  getAllResponseHeaders(): string;
  abort(): void;
}

export interface ResumableFile {
  readonly resumableObj: Resumable;
  readonly file: File;
  readonly fileName: string;
  readonly relativePath: string;
  readonly size: number;
  readonly uniqueIdentifier: string;
  readonly chunks: readonly ResumableChunk[];
  /** Overrides the instance's options for this file. */
  readonly opts: { chunkSize?: number };
  progress: (relative?: boolean) => number;
  abort: () => void;
  cancel: () => void;
  retry(): void;
  pause(paused?: boolean): void;
  isPaused(): boolean;
  bootstrap: () => void;
  isUploading(): boolean;
  isComplete: () => boolean;

  /** Set by us once the server has answered: the upload's id. */
  uploadId?: string;
  /** Set by us with `fileError`: the error behind the message. */
  uploadError?: Error;
}

/** A file whose bytes are all stored. */
export interface UploadedFile extends ResumableFile {
  uploadId: string;
}

export interface Resumable {
  readonly version: number;
  readonly support: boolean;
  readonly opts: Record<string, unknown>;
  readonly files: ResumableFile[];
  on(event: 'fileAdded', callback: (file: ResumableFile, event: Event | undefined) => void): void;
  on(event: 'fileSuccess', callback: (file: UploadedFile, message: string) => void): void;
  on(event: 'fileError', callback: (file: ResumableFile, message: string) => void): void;
  on(event: 'fileProgress', callback: (file: ResumableFile, message?: string) => void): void;
  on(
    event: 'fileRetry' | 'chunkingStart' | 'chunkingComplete',
    callback: (file: ResumableFile) => void,
  ): void;
  on(event: 'chunkingProgress', callback: (file: ResumableFile, ratio: number) => void): void;
  on(event: 'filesAdded', callback: (files: ResumableFile[], skipped: File[]) => void): void;
  on(event: 'error', callback: (message: string, file: ResumableFile) => void): void;
  on(
    event: 'complete' | 'progress' | 'pause' | 'beforeAdd' | 'beforeCancel' | 'cancel' | 'uploadStart',
    callback: () => void,
  ): void;
  /** Told of every event: its name in lower case, and its details. */
  on(event: 'catchAll', callback: (event: string, ...details: unknown[]) => void): void;
  fire(event: string, ...details: unknown[]): void;
  getOpt(option: string): unknown;
  upload: () => void;
  uploadNextChunk(): boolean;
  pause(): void;
  cancel(): void;
  progress(): number;
  isUploading(): boolean;
  addFile(file: File, event?: Event): void;
  addFiles(files: readonly File[], event?: Event): void;
  removeFile(file: ResumableFile): void;
  getFromUniqueIdentifier(identifier: string): ResumableFile | false;
  /** Of all files, in bytes. */
  getSize(): number;
  assignBrowse(nodes: Element | Element[], isDirectory?: boolean): void;
  assignDrop(nodes: Element | Element[]): void;
  unAssignDrop(nodes: Element | Element[]): void;
}

export type ResumableConstructor = new (options: Record<string, unknown>) => Resumable;

/** Resumable.js's constructor by whatever types it comes with: npm's own know neither chunks nor `pause`. */
export type AnyResumableConstructor = new (options: Record<string, unknown>) => Pick<Resumable, 'support'>;
