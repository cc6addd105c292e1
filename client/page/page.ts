import { uploadsApi } from '../api.ts';
import { formatBytes } from '../format.ts';
import { numbersIn } from '../ranges.ts';
import {
  ApiError,
  presignedResumable,
  proxyResumable,
  type Resumable,
  type ResumableConstructor,
  type ResumableFile,
  type UploadedFile,
  UploadReopenedError,
  waitUntilCompleted,
} from '../resumable-uploads.ts';
import { announce } from './announcer.ts';
import { clearNotices, notice } from './notices.ts';
import { type Unfinished, UnfinishedUploads } from './unfinished.ts';
import { showUnfinished } from './unfinished-list.ts';
import { type Action, UploadCard } from './upload-card.ts';
import { fetchEvent, fetchObjectUrl, fetchWorkflow, hasLocalStack } from './workflow.ts';

declare const Resumable: ResumableConstructor;

const find = <T extends HTMLElement>(selector: string): T => document.querySelector(selector) as T;
const api = find<HTMLMetaElement>('meta[name=uploads-api]').content;
let token = '';
const headers = (): Record<string, string> => (token ? { authorization: `Bearer ${token}` } : {});

const unfinished = new UnfinishedUploads(() => localStorage);
/** By identifier: which share of an unfinished upload the server has. */
const arrived = new Map<string, number>();
const cards = new Map<ResumableFile, UploadCard>();
const uploaders: Record<Unfinished['mode'], Resumable> = {
  presigned: presignedResumable(Resumable, { api, headers }),
  proxy: proxyResumable(Resumable, { api, headers }),
};

for (const mode of ['presigned', 'proxy'] as const) {
  const r = uploaders[mode];
  r.on('fileAdded', (file) => {
    addCard(mode, file);
    r.upload();
  });
  r.on('filesAdded', (_added, skipped) => {
    for (const file of skipped) notice(`${file.name} is in the list already`);
  });
  r.on('fileProgress', (file) => {
    const card = cards.get(file);
    if (card && file.uploadId) remember(mode, file);
    card?.progress();
  });
  r.on('fileError', (file, message) => {
    cards.get(file)?.show('failed', message);
    announce('failed', file.fileName, `${file.fileName} failed. ${message}`);
    askForToken(file.uploadError);
  });
  r.on('fileSuccess', (file) => void complete(r, file));
  // Errors beside the file's own, such as a cancellation that did not reach the server.
  r.on('error', (message, file) => {
    if (!cards.has(file)) notice(`${file.fileName}: ${message}`);
  });
}

/** Adds files, each in the mode chosen now, or in that of an unfinished upload of the same file. */
function add(files: Iterable<File>): void {
  const chosen = find<HTMLInputElement>('[name=mode]:checked').value as Unfinished['mode'];
  clearNotices();
  for (const file of files) {
    if (file.size === 0) notice(`${file.name} is empty and cannot be uploaded`);
    else uploaders[unfinished.find(file)?.mode ?? chosen].addFile(file);
  }
}

function addCard(mode: Unfinished['mode'], file: ResumableFile): void {
  const card = new UploadCard(file, (action) => act(uploaders[mode], file, action));
  cards.set(file, card);
  find('#upload-list').prepend(card.element);
  find('#uploads').hidden = false;
  remember(mode, file);
  refreshUnfinished();
  announce('added', file.fileName, `${file.fileName} added`);
}

function act(r: Resumable, file: ResumableFile, action: Action): void {
  const card = cards.get(file);
  switch (action) {
    case 'pause':
      file.pause(true);
      file.abort();
      card?.show('paused');
      r.upload(); // The slots that this file gave back go to the others.
      break;
    case 'resume':
      file.pause(false);
      card?.show('uploading');
      r.upload();
      break;
    case 'retry':
      file.retry(); // First: until then a failed file counts as done.
      card?.show('waiting');
      break;
    case 'cancel':
      cards.delete(file);
      card?.element.remove();
      file.cancel();
      unfinished.forget(file.uniqueIdentifier);
      find('#uploads').hidden = cards.size === 0;
      focusOnward();
      announce('cancelled', file.fileName, `${file.fileName} cancelled`);
  }
}

/** Where a keyboard goes on when what it was at has gone. */
function focusOnward(): void {
  (cards.size > 0 ? find('#uploads-title') : find('#files')).focus();
}

/** All bytes are there: follows the workflow until the object is. */
async function complete(r: Resumable, file: UploadedFile): Promise<void> {
  const card = cards.get(file);
  const { uploadId } = file;
  if (!card) return;
  card.show('completing');
  let executionName: string | undefined;
  const showWorkflow = async () => {
    const states = executionName ? await fetchWorkflow(executionName) : undefined;
    if (states) card.showWorkflow(states);
  };
  try {
    const upload = await waitUntilCompleted({
      api,
      headers,
      uploadId,
      onStatus: (status) => {
        executionName = status.executionName;
        void showWorkflow();
      },
    });
    unfinished.forget(file.uniqueIdentifier);
    card.show('completed');
    const url = await fetchObjectUrl(upload.key);
    card.showResult(upload, { url });
    announce('completed', file.fileName, `${file.fileName} completed`);
    card.showResult(upload, { url, event: await fetchEvent(uploadId) });
  } catch (error) {
    if (error instanceof UploadReopenedError) return act(r, file, 'retry');
    const message = error instanceof Error ? error.message : String(error);
    card.show('failed', message);
    announce('failed', file.fileName, `${file.fileName} failed. ${message}`);
    askForToken(error);
  } finally {
    await showWorkflow();
  }
}

function remember(mode: Unfinished['mode'], file: ResumableFile): void {
  const known = unfinished.find(file.file);
  if (known && known.uploadId === file.uploadId && known.mode === mode) return;
  unfinished.remember({
    identifier: file.uniqueIdentifier,
    name: file.fileName,
    size: file.size,
    lastModified: file.file.lastModified,
    mode,
    ...(file.uploadId ? { uploadId: file.uploadId } : {}),
  });
}

function refreshUnfinished(): void {
  const here = new Set([...cards.keys()].map((file) => file.uniqueIdentifier));
  showUnfinished(
    unfinished.list().filter(({ identifier }) => !here.has(identifier)),
    arrived,
    {
      choose: () => find('#files').click(),
      discard: async ({ identifier, uploadId }) => {
        if (uploadId) await uploadsApi({ api, headers }).abort(uploadId);
        unfinished.forget(identifier);
        refreshUnfinished();
      },
    },
  );
}

/** Asks how much of each has arrived, and drops what has ended meanwhile, elsewhere or by itself. */
async function checkUnfinished(): Promise<void> {
  for (const { uploadId, identifier } of unfinished.list()) {
    if (!uploadId) continue;
    try {
      const { status, receivedParts, partCount } = await uploadsApi({ api, headers, maxRetries: 2 }).get(
        uploadId,
      );
      if (status !== 'uploading') unfinished.forget(identifier);
      else arrived.set(identifier, [...numbersIn(receivedParts)].length / partCount);
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) unfinished.forget(identifier);
      else askForToken(error);
    }
  }
  refreshUnfinished();
}

const isUnauthorized = (error: unknown): boolean => error instanceof ApiError && error.status === 401;

function askForToken(error: unknown): void {
  if (!isUnauthorized(error)) return;
  find('#token-form').hidden = false;
  find('#token').focus();
}

async function showLimits(): Promise<void> {
  const { maxFileSize, allowedExtensions, allowedContentTypes } = await uploadsApi({
    api,
    headers,
  }).options();
  const kinds = [...allowedContentTypes, ...allowedExtensions];
  find('#limits').textContent =
    `Up to ${formatBytes(maxFileSize)} a file${kinds.length ? `, ${kinds.join(', ')}` : ''}`;
  find<HTMLInputElement>('#files').accept = kinds.join(',');
}

find('#files').addEventListener('change', ({ target }) => {
  const input = target as HTMLInputElement;
  add([...(input.files ?? [])]);
  input.value = '';
});
document.addEventListener('dragover', (event) => {
  event.preventDefault();
  document.body.classList.add('dragging');
});
document.addEventListener('dragleave', (event) => {
  if (!event.relatedTarget) document.body.classList.remove('dragging');
});
document.addEventListener('drop', (event) => {
  event.preventDefault();
  document.body.classList.remove('dragging');
  add(event.dataTransfer?.files ?? []);
});
find('#token-form').addEventListener('submit', (event) => {
  event.preventDefault();
  token = find<HTMLInputElement>('#token').value.trim();
  find('#token-form').hidden = true;
  focusOnward(); // The button that had the focus is gone.
  showLimits().catch(askForToken);
  for (const r of Object.values(uploaders)) {
    for (const file of r.files.filter(({ uploadError }) => isUnauthorized(uploadError)))
      act(r, file, 'retry');
  }
});
setInterval(() => {
  for (const card of cards.values()) card.progress();
}, 1000);

refreshUnfinished();
checkUnfinished().catch(askForToken);
showLimits().catch(askForToken);
void hasLocalStack().then((local) => {
  find('#console-link').hidden = !local;
});
