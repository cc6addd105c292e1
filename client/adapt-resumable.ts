import { FileFlow, type FlowControl, type FlowHost, type UploadSession } from './file-flow.ts';
import { fileIdentifier } from './identifier.ts';
import type { Resumable, ResumableChunk, ResumableConstructor, ResumableFile } from './resumable-types.ts';

/**
 * Makes a Resumable.js instance that asks `open` about each file when its turn comes, cuts it into chunks of the size
 * that it is told, skips what the server has, waits with backoff between tries, and tells the server of cancelled
 * files. Everything else is Resumable.js as its users know it: `assignBrowse`, `on`, `pause`, `upload`, `file.retry`.
 *
 * Two things differ. `upload()` may be called at any time: it fills free slots, also those that a paused file gave
 * back (`file.pause(true); file.abort(); r.upload()`). And `file.cancel()` also deletes what the server has.
 */
export function adaptResumable(
  Constructor: ResumableConstructor,
  options: Record<string, unknown>,
  open: (control: FlowControl) => Promise<UploadSession>,
): Resumable {
  const flows = new WeakMap<ResumableFile, FileFlow>();
  const wrapped = new WeakSet<ResumableFile>();
  /** Files that are being cut into chunks, and who waits for it. */
  const cutting = new Map<ResumableFile, () => void>();
  let running = false;

  const host: FlowHost = {
    rebuildChunks: (file) =>
      new Promise((resolve) => {
        file.bootstrap();
        cutting.set(file, resolve);
      }),
    proceed: () => {
      if (running) fillSlots();
    },
    warn: (message, file) => resumable.fire('error', message, file),
  };

  const resumable = new Constructor({
    simultaneousUploads: 3,
    maxChunkRetries: 50,
    generateUniqueIdentifier: fileIdentifier,
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
  });

  function wrap(file: ResumableFile): void {
    if (wrapped.has(file)) return;
    wrapped.add(file);
    const { abort, bootstrap, cancel, isComplete } = file;
    file.bootstrap = () => {
      cutting.set(file, () => undefined);
      bootstrap();
    };
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
    const cut = cutting.get(file);
    cutting.delete(file);
    cut?.();
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
