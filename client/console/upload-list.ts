import type { UploadPage, UploadSummary } from '../../local/uploads.ts';
import { formatBytes, formatPercent } from '../format.ts';
import { formatTime } from './times.ts';

const PAGE = 200;

/** The uploads that the table knows, newest first. The stack finds and sorts; here they are shown. */
export class UploadList {
  readonly #rows: HTMLElement;
  readonly #count: HTMLElement;
  readonly #more: HTMLElement;
  readonly #byUpload = new Map<string, HTMLTableRowElement>();
  #filter = { search: '', status: '' };
  #limit = PAGE;
  #asked = 0;

  constructor(rows: HTMLElement, count: HTMLElement, more: HTMLElement) {
    this.#rows = rows;
    this.#count = count;
    this.#more = more;
  }

  /** Asks for the list. Rejects when the stack does not answer. */
  async refresh(): Promise<void> {
    const asked = ++this.#asked;
    const query = new URLSearchParams({ ...this.#filter, limit: String(this.#limit) });
    const answer = await fetch(`/_local/uploads?${query}`);
    if (!answer.ok) throw new Error(`The local stack answers ${answer.status}.`);
    const page = (await answer.json()) as UploadPage;
    // A later question has been asked meanwhile, perhaps another one.
    if (asked === this.#asked) this.#draw(page);
  }

  async filter(filter: { search: string; status: string }): Promise<void> {
    this.#filter = filter;
    this.#limit = PAGE;
    await this.refresh();
  }

  async showMore(): Promise<void> {
    this.#limit += PAGE;
    await this.refresh();
  }

  /** Changes only what has changed: focus, scroll and selection stay. */
  #draw({ uploads, found }: UploadPage): void {
    const wanted = new Set(uploads.map(nameOf));
    for (const [name, row] of this.#byUpload) {
      if (wanted.has(name)) continue;
      row.remove();
      this.#byUpload.delete(name);
    }
    let before = this.#rows.firstElementChild;
    for (const upload of uploads) {
      const row = this.#byUpload.get(nameOf(upload)) ?? newRow();
      this.#byUpload.set(nameOf(upload), row);
      fill(row, upload);
      if (row === before) before = before.nextElementSibling;
      else this.#rows.insertBefore(row, before);
    }
    setText(this.#count, `${found} ${found === 1 ? 'upload' : 'uploads'}`);
    this.#more.hidden = found <= uploads.length;
  }
}

const nameOf = ({ owner, uploadId }: UploadSummary): string => `${owner} ${uploadId}`;

function newRow(): HTMLTableRowElement {
  const row = document.createElement('tr');
  for (let cell = 0; cell < 7; cell++) row.insertCell();
  (row.cells[1] as HTMLElement).appendChild(document.createElement('span')).className = 'badge';
  return row;
}

function fill(row: HTMLTableRowElement, upload: UploadSummary): void {
  const [file, status, received, mode, owner, begun, execution] = row.cells as unknown as HTMLElement[];
  if (!file || !status || !received || !mode || !owner || !begun || !execution) return;
  const { totalBytes, receivedBytes } = upload;
  setText(file, upload.fileName);
  file.title = `Upload ${upload.uploadId}, attempt ${upload.attempt}\n${upload.key}`;
  const badge = status.firstElementChild as HTMLElement;
  badge.dataset['status'] = upload.status;
  setText(badge, upload.status.charAt(0).toUpperCase() + upload.status.slice(1));
  const part = receivedBytes < totalBytes ? `${formatPercent(receivedBytes / totalBytes)} of ` : '';
  setText(received, `${part}${formatBytes(totalBytes)}`);
  setText(mode, upload.mode);
  setText(owner, upload.owner);
  setText(begun, formatTime(upload.createdAt, Date.now()));
  const link = execution.querySelector('a');
  if (!upload.executionName) link?.remove();
  else {
    const shown = link ?? execution.appendChild(document.createElement('a'));
    shown.href = `#/executions/${encodeURIComponent(upload.executionName)}`;
    setText(shown, 'Execution');
    shown.setAttribute('aria-label', `Execution of ${upload.fileName}`);
  }
}

const setText = (element: HTMLElement, text: string): void => {
  if (element.textContent !== text) element.textContent = text;
};
