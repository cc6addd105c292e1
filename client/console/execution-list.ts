import type { ExecutionPage, ExecutionSummary } from '../../local/states/overview.ts';
import { formatElapsed, formatTime } from './times.ts';

const PAGE = 100;

export interface ListFilter {
  /** Part of an upload's id, an attempt, or an execution's name. */
  readonly search: string;
  /** Empty for all. */
  readonly status: string;
}

export const matches = ({ name, status }: ExecutionSummary, filter: ListFilter): boolean =>
  (filter.status === '' || status === filter.status) && name.includes(filter.search.trim().toLowerCase());

/**
 * All executions, newest first, as far as they have been asked for: new ones come in at the top by themselves, older
 * ones page by page as the list is scrolled, or searched, to its end.
 */
export class ExecutionList {
  readonly #list: HTMLElement;
  readonly #count: HTMLElement;
  readonly #rows = new Map<string, { summary: ExecutionSummary; row: HTMLLIElement }>();
  #filter: ListFilter = { search: '', status: '' };
  #chosen = '';
  /** `before` of the next older page; undefined when all are here. */
  #next: number | undefined;
  #loading = false;

  constructor(list: HTMLElement, count: HTMLElement) {
    this.#list = list;
    this.#count = count;
    list.addEventListener('scroll', () => this.#loadIfNeeded());
    list.addEventListener('keydown', (event) => this.#move(event));
  }

  /** Asks for what is new. Rejects when the stack does not answer. */
  async refresh(): Promise<void> {
    const isFirst = this.#rows.size === 0;
    const pages = await newPages(fetchPage, (name) => isFirst || this.#rows.has(name));
    const [top] = pages;
    for (const { executions } of pages) this.#take(executions);
    if (isFirst) this.#next = top.next;
    await this.#refreshRunning(new Set(top.executions.map(({ name }) => name)));
    this.#draw();
    this.#loadIfNeeded();
  }

  filter(filter: ListFilter): void {
    this.#filter = filter;
    this.#draw();
    this.#list.scrollTop = 0;
    this.#loadIfNeeded();
  }

  choose(name: string): void {
    this.#chosen = name;
    for (const { row, summary } of this.#rows.values()) markChosen(row, summary.name === name);
  }

  /** What another request has told of one of them. */
  update(summary: ExecutionSummary): void {
    this.#take([summary]);
    this.#draw();
  }

  /** Those that ran when last seen and are too old for the first page. */
  async #refreshRunning(fresh: ReadonlySet<string>): Promise<void> {
    const running = [...this.#rows.values()]
      .map(({ summary }) => summary)
      .filter(({ name, status }) => status === 'RUNNING' && !fresh.has(name));
    for (const { name } of running.slice(-5)) {
      const answer = await fetch(`/_local/executions/${encodeURIComponent(name)}`);
      if (answer.ok) this.#take([(await answer.json()) as ExecutionSummary]);
    }
  }

  #take(executions: readonly ExecutionSummary[]): void {
    for (const summary of executions) {
      const known = this.#rows.get(summary.name);
      const row = known?.row ?? document.createElement('li');
      if (known && known.summary.status === summary.status && known.summary.stopDate === summary.stopDate)
        continue;
      drawRow(row, summary);
      markChosen(row, summary.name === this.#chosen);
      this.#rows.set(summary.name, { summary, row });
    }
  }

  /** Puts rows into the list in order, moving none that is in its place: focus, scroll and selection stay. */
  #draw(): void {
    const shown = [...this.#rows.values()]
      .filter(({ summary }) => matches(summary, this.#filter))
      .sort((a, b) => b.summary.startDate - a.summary.startDate);
    const wanted = new Set(shown.map(({ row }) => row));
    const { scrollTop, scrollHeight } = this.#list;
    for (const row of [...this.#list.children]) if (!wanted.has(row as HTMLLIElement)) row.remove();
    let before: Element | null = this.#list.firstElementChild;
    for (const { row } of shown) {
      if (row === before) before = before.nextElementSibling;
      else this.#list.insertBefore(row, before);
    }
    // What one looks at stays where it is when new ones come in above.
    if (scrollTop > 0) this.#list.scrollTop = scrollTop + this.#list.scrollHeight - scrollHeight;
    const more = this.#next === undefined ? '' : ' so far';
    const text = `${shown.length} ${shown.length === 1 ? 'execution' : 'executions'}${more}`;
    if (this.#count.textContent !== text) this.#count.textContent = text;
  }

  #loadIfNeeded(): void {
    const { scrollTop, scrollHeight, clientHeight } = this.#list;
    if (this.#loading || this.#next === undefined || scrollHeight - scrollTop - clientHeight > 600) return;
    this.#loading = true;
    fetchPage(this.#next)
      .then(({ executions, next }) => {
        this.#next = next;
        const { scrollTop } = this.#list;
        this.#take(executions);
        this.#draw();
        this.#list.scrollTop = scrollTop; // Those came in below.
        this.#loading = false;
        this.#loadIfNeeded();
      })
      .catch(() => {
        this.#loading = false; // The next refresh says so, and the next scroll tries again.
      });
  }

  #move(event: KeyboardEvent): void {
    const step = { ArrowDown: 'nextElementSibling', ArrowUp: 'previousElementSibling' } as const;
    const direction = step[event.key as keyof typeof step];
    const row = (event.target as Element).closest('li');
    const link = direction && row?.[direction]?.querySelector('a');
    if (!link) return;
    event.preventDefault();
    link.focus();
  }
}

/** As much of a page as is needed to find where the known ones begin. */
interface Named {
  readonly executions: readonly Pick<ExecutionSummary, 'name'>[];
  readonly next?: number | undefined;
}

/** The first page, and those after it up to one that is known in part: between them and the others is no gap. */
export async function newPages<Page extends Named>(
  fetchPage: (before?: number) => Promise<Page>,
  isKnown: (name: string) => boolean,
): Promise<[Page, ...Page[]]> {
  let page = await fetchPage();
  const pages: [Page, ...Page[]] = [page];
  while (page.next !== undefined && !page.executions.some(({ name }) => isKnown(name))) {
    page = await fetchPage(page.next);
    pages.push(page);
  }
  return pages;
}

async function fetchPage(before?: number): Promise<ExecutionPage> {
  const query = new URLSearchParams({
    limit: String(PAGE),
    ...(before === undefined ? {} : { before: String(before) }),
  });
  const answer = await fetch(`/_local/executions?${query}`);
  if (!answer.ok) throw new Error(`The local stack answers ${answer.status}.`);
  return (await answer.json()) as ExecutionPage;
}

function drawRow(
  row: HTMLLIElement,
  { name, status, startDate, stopDate, redriveCount }: ExecutionSummary,
): void {
  const [uploadId = name, attempt = '', run = ''] = name.split('-');
  let link = row.querySelector('a');
  if (!link) {
    link = row.appendChild(document.createElement('a'));
    for (const className of ['badge', 'upload', 'when', 'took']) {
      link.appendChild(document.createElement('span')).className = className;
    }
    link.href = `#/executions/${encodeURIComponent(name)}`;
  }
  const part = (className: string) => link.querySelector(`.${className}`) as HTMLElement;
  part('badge').dataset.status = status;
  part('badge').textContent = statusName(status);
  part('upload').textContent = uploadId.slice(0, 12);
  part('upload').title = `Upload ${uploadId}, attempt ${attempt}, run ${run}`;
  part('when').textContent = formatTime(startDate, Date.now());
  const took = stopDate === undefined ? '' : formatElapsed(stopDate - startDate);
  part('took').textContent = redriveCount > 0 ? `${took} · redriven` : took;
}

const markChosen = (row: HTMLElement, chosen: boolean): void => {
  const link = row.querySelector('a');
  if (chosen) link?.setAttribute('aria-current', 'true');
  else link?.removeAttribute('aria-current');
};

export const statusName = (status: string): string =>
  (status.charAt(0) + status.slice(1).toLowerCase()).replace('_', ' ');
