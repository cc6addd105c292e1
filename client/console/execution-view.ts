import type { ExecutionDetail, StateOverview } from '../../local/states/overview.ts';
import { statusName } from './execution-list.ts';
import { GraphView } from './graph-view.ts';
import { HistoryTable } from './history-table.ts';
import { formatElapsed, formatTime, prettyJson } from './times.ts';

const find = (selector: string): HTMLElement => document.querySelector(selector) as HTMLElement;

/** One execution: facts, graph, the chosen state, history. */
export class ExecutionView {
  readonly #graph: GraphView;
  readonly #history: HistoryTable;
  readonly #changed: (execution: ExecutionDetail) => void;
  #execution: ExecutionDetail | undefined;
  #name = '';
  #chosenState: string | undefined;
  #drawn = '';

  /** @param changed told of each new look at an execution */
  constructor(changed: (execution: ExecutionDetail) => void) {
    this.#changed = changed;
    this.#graph = new GraphView(document.querySelector('#graph') as SVGSVGElement, (name) => {
      this.#chosenState = name;
      this.#draw();
    });
    this.#history = new HistoryTable(find('#history'), find('#more-history'));
    find('#redrive').addEventListener('click', () => {
      this.#redrive().catch((error: Error) => setText(find('#redrive-answer'), error.message));
    });
  }

  /** @param name undefined for none */
  async open(name: string | undefined): Promise<void> {
    this.#name = name ?? '';
    this.#execution = undefined;
    this.#chosenState = undefined;
    this.#drawn = '';
    find('#execution').hidden = true;
    find('#nothing').hidden = name !== undefined;
    find('#redrive-answer').textContent = '';
    if (name === undefined) return;
    await this.refresh();
    find('#detail-title').focus({ preventScroll: false });
  }

  async refresh(): Promise<void> {
    const name = this.#name;
    if (!name || (this.#execution && this.#execution.status !== 'RUNNING')) return;
    const answer = await fetch(`/_local/executions/${encodeURIComponent(name)}`);
    if (name !== this.#name) return; // Another has been chosen meanwhile.
    if (answer.status === 404) {
      find('#nothing').textContent = 'There is no such execution.';
      find('#nothing').hidden = false;
      return;
    }
    if (!answer.ok) throw new Error(`The local stack answers ${answer.status}.`);
    this.#execution = (await answer.json()) as ExecutionDetail;
    this.#changed(this.#execution);
    this.#draw();
  }

  async #redrive(): Promise<void> {
    const answer = await fetch(`/_local/executions/${encodeURIComponent(this.#name)}/redrive`, {
      method: 'POST',
    });
    const { message } = (await answer.json()) as { message?: string };
    find('#redrive-answer').textContent = answer.ok
      ? 'Redriven.'
      : (message ?? `Refused (${answer.status}).`);
    this.#execution = undefined;
    await this.refresh();
  }

  #draw(): void {
    const execution = this.#execution;
    if (!execution) return;
    const chosen = this.#chosenState ?? interestingState(execution);
    const snapshot = JSON.stringify([execution, chosen]);
    if (snapshot === this.#drawn) return; // Nothing new: leave selections and scroll positions alone.
    this.#drawn = snapshot;
    const { name, status, error, cause } = execution;
    find('#execution').hidden = false;
    find('#nothing').hidden = true;
    setText(find('#detail-title'), name);
    setText(find('#detail-status'), statusName(status));
    find('#detail-status').dataset.status = status;
    find('#redrive').hidden = !execution.redrivable;
    setText(find('#detail-error'), error ? `${error}${cause ? `: ${causeSentence(cause)}` : ''}` : '');
    find('#detail-error').hidden = error === undefined;
    drawFacts(find('#facts'), executionFacts(execution));
    this.#graph.show(execution, chosen);
    drawState(execution.states.find((state) => state.name === chosen));
    this.#history.show(execution);
  }
}

/** The one that failed or runs, else the first. */
const interestingState = ({ states, definition }: ExecutionDetail): string =>
  (
    states.findLast(({ status }) => status === 'failed') ??
    states.findLast(({ status }) => status === 'running')
  )?.name ?? definition.StartAt;

function executionFacts(execution: ExecutionDetail): [string, string][] {
  const [uploadId = '', attempt = '', run = ''] = execution.name.split('-');
  const { startDate, stopDate, transitions, redriveCount } = execution;
  return [
    ['Upload', uploadId],
    ['Attempt', run === '1' ? attempt : `${attempt}, run ${run}`],
    ['Started', formatTime(startDate, Date.now())],
    ...(stopDate === undefined
      ? []
      : ([['Took', formatElapsed(stopDate - startDate)]] satisfies [string, string][])),
    ['Transitions', String(transitions)],
    ...(redriveCount > 0 ? ([['Redriven', `${redriveCount} ×`]] satisfies [string, string][]) : []),
  ];
}

function drawState(state: StateOverview | undefined): void {
  setText(find('#state-title'), state?.name ?? '');
  if (!state) return;
  const facts: [string, string][] = [
    ['Type', state.type],
    ['Status', state.status === 'waiting' ? 'not started' : state.status],
  ];
  if (state.entered !== undefined) facts.push(['Entered', formatTime(state.entered, Date.now())]);
  if (state.entered !== undefined && state.exited !== undefined)
    facts.push(['Took', formatElapsed(state.exited - state.entered)]);
  if (state.tries > 1) facts.push([state.map ? 'Runs' : 'Tries', String(state.tries)]);
  if (state.iterations) {
    const { total, running, succeeded, failed, aborted } = state.iterations;
    const parts = Object.entries({ succeeded, running, failed, aborted }).filter(([, count]) => count > 0);
    facts.push(['Iterations', [`${total}`, ...parts.map(([what, count]) => `${count} ${what}`)].join(', ')]);
  }
  drawFacts(find('#state-facts'), facts);
  drawData([
    ['Error', state.error],
    ['Cause', state.cause],
    ['Input', state.input],
    ['Output', state.output],
  ]);
}

function drawData(data: readonly (readonly [string, string | undefined])[]): void {
  const box = find('#state-data');
  const given = data.filter((entry): entry is [string, string] => entry[1] !== undefined);
  const content = JSON.stringify(given);
  if (box.dataset.content === content) return;
  box.dataset.content = content;
  box.replaceChildren(
    ...given.flatMap(([title, text]) => {
      const head = document.createElement('h4');
      head.textContent = title;
      const body = document.createElement('pre');
      body.tabIndex = 0;
      body.setAttribute('aria-label', title);
      body.setAttribute('role', 'region');
      body.textContent = prettyJson(text);
      return [head, body];
    }),
  );
}

function drawFacts(list: HTMLElement, facts: readonly (readonly [string, string])[]): void {
  const content = JSON.stringify(facts);
  if (list.dataset.content === content) return;
  list.dataset.content = content;
  list.replaceChildren(
    ...facts.map(([term, value]) => {
      const pair = document.createElement('div');
      pair.append(document.createElement('dt'), document.createElement('dd'));
      setText(pair.firstElementChild as HTMLElement, term);
      setText(pair.lastElementChild as HTMLElement, value);
      return pair;
    }),
  );
}

/** Lambda puts a JSON document into the cause. */
function causeSentence(cause: string): string {
  try {
    const parsed = JSON.parse(cause) as { errorMessage?: unknown };
    return typeof parsed.errorMessage === 'string' ? parsed.errorMessage : cause;
  } catch {
    return cause;
  }
}

function setText(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}
