import { FileFlow, type FlowControl, type FlowHost, type UploadSession } from './file-flow.ts';
import { fileIdentifier, type IdentifiableFile, identifierWithoutBytes } from './identifier.ts';
import type { AnyResumableConstructor, Resumable, ResumableChunk, ResumableFile } from './resumable-types.ts';

/** With waits of up to 30 seconds: some ten minutes without an answer. */
export const MAX_CHUNK_RETRIES = 50;

/** Resumable.js drops a file without a word where this rejects: one that cannot be read is to fail aloud. */
const identify = (file: IdentifiableFile): Promise<string> =>
  fileIdentifier(file).catch(() => identifierWithoutBytes(file));

/**
 * Makes a Resumable.js instance that asks `open` about each file when its turn comes, cuts it into chunks of the size
 * that it is told, skips what the server has, waits with backoff between tries, and tells the server of cancelled
 * files. Everything else is Resumable.js as its users know it: `assignBrowse`, `on`, `pause`, `upload`, `file.retry`.
 *
 * Two things differ. `upload()` may be called at any time: it fills free slots, also those that a paused file gave
 * back (`file.pause(true); file.abort(); r.upload()`). And `file.cancel()` also deletes what the server has.
 */
export function adaptResumable(
  Constructor: AnyResumableConstructor,
  options: Record<string, unknown>,
  open: (control: FlowControl) => Promise<UploadSession>,
): Resumable {
  const flows = new WeakMap<ResumableFile, FileFlow>();
  /** Resumable.js's own `bootstrap` of each file, which cuts it into chunks. */
  const bootstraps = new WeakMap<ResumableFile, () => void>();
  /** Files that are being cut into chunks, and what follows. */
  const cutting = new Map<ResumableFile, () => void>();
  let running = false;

  const host: FlowHost = {
    rebuildChunks: (file) => new Promise((resolve) => cut(file, resolve)),
    proceed: () => {
      if (running) fillSlots();
    },
    warn: (message, file) => resumable.fire('error', message, file),
  };

  const resumable = new Constructor({
    simultaneousUploads: 3,
    maxChunkRetries: MAX_CHUNK_RETRIES,
    generateUniqueIdentifier: identify,
    // A file that Resumable.js refuses takes those after it in the selection with it. An empty one fails by itself.
    minFileSize: 0,
    ...options,
    // Each file is one chunk until the server has said how to cut it.
    chunkSize: Number.MAX_SAFE_INTEGER,
    forceChunkSize: true,
    testChunks: false,
    chunkRetryInterval: undefined,
    preprocess: (chunk: ResumableChunk) => {
      const { fileObj: file } = chunk;
      wrap(file);
      let flow = flows.get(file);
      if (!flow || flow.over) {
        flow = new FileFlow(chunk, host, open);
        flows.set(file, flow);
      }
      void flow.prepare(chunk);
    },
  }) as Resumable;

  function wrap(file: ResumableFile): void {
    if (bootstraps.has(file)) return;
    const { abort, bootstrap, cancel, isComplete, progress } = file;
    bootstraps.set(file, bootstrap);
    // By file.retry(), at any time.
    file.bootstrap = () => {
      flows.get(file)?.restart();
      cut(file, host.proceed);
    };
    file.progress = (relative) => progress(relative) || 0; // Of no bytes, NaN has arrived.
    // Without its chunks it would count as complete, and with it perhaps everything.
    file.isComplete = () => !cutting.has(file) && isComplete();
    file.abort = () => {
      abort();
      flows.get(file)?.revoke();
    };
    file.cancel = () => {
      void flows.get(file)?.cancel();
      cancel();
      host.proceed();
    };
  }

  /** Cuts a file into chunks, in timers; one that is being cut is cut when it is, or it would have the chunks of both. */
  function cut(file: ResumableFile, then: () => void): void {
    const underway = cutting.get(file);
    if (underway) {
      cutting.set(file, () => {
        underway();
        cut(file, then);
      });
      return;
    }
    cutting.set(file, then);
    bootstraps.get(file)?.();
  }

  function fillSlots(): void {
    if (resumable.files.length === 0) return;
    let busy = 0;
    for (const file of resumable.files) {
      busy += flows.get(file)?.preparing ?? 0;
      for (const chunk of file.chunks) if (chunk.status() === 'uploading') busy++;
    }
    const slots = Number(resumable.getOpt('simultaneousUploads'));
    while (busy < slots && resumable.uploadNextChunk()) busy++;
  }

  resumable.on('fileAdded', wrap);
  resumable.on('chunkingComplete', (file) => {
    const then = cutting.get(file);
    cutting.delete(file);
    then?.();
  });
  resumable.on('pause', () => {
    running = false;
  });
  resumable.upload = () => {
    if (!running) resumable.fire('uploadStart');
    running = true;
    fillSlots();
  };
  globalThis.addEventListener?.('pagehide', () => {
    for (const file of resumable.files) flows.get(file)?.leaving();
  });
  return resumable;
}
