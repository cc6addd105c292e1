import type { HistoryEvent } from '../../local/states/history.ts';
import type { ExecutionDetail } from '../../local/states/overview.ts';
import { formatElapsed, formatTime, prettyJson } from './times.ts';

/** A history may have 25,000 events: so many are shown at first, and more on demand. */
const STEP = 200;

/** An execution's events, oldest first. Events never change: rows are added only. */
export class HistoryTable {
  readonly #body: HTMLElement;
  readonly #more: HTMLElement;
  #execution: ExecutionDetail | undefined;
  #limit = STEP;

  constructor(body: HTMLElement, more: HTMLElement) {
    this.#body = body;
    this.#more = more;
    more.addEventListener('click', () => {
      this.#limit += STEP;
      if (this.#execution) this.show(this.#execution);
    });
  }

  show(execution: ExecutionDetail): void {
    if (execution.name !== this.#execution?.name) {
      this.#body.replaceChildren();
      this.#limit = STEP;
    }
    this.#execution = execution;
    const { events, startDate } = execution;
    const states = stateNames(events);
    const rows = events
      .slice(this.#body.children.length, this.#limit)
      .map((event) => drawEvent(event, startDate, states));
    this.#body.append(...rows);
    this.#more.hidden = events.length <= this.#limit;
    this.#more.textContent = `Show more events (${events.length - this.#limit})`;
  }
}

/** Most events do not name their state: it is that of the event that they follow. */
export function stateNames(events: readonly HistoryEvent[]): ReadonlyMap<number, string> {
  const names = new Map<number, string>();
  for (const event of events) {
    const own = detailsOf(event)?.name;
    const name = typeof own === 'string' ? own : names.get(event.previousEventId);
    if (name !== undefined) names.set(event.id, name);
  }
  return names;
}

function detailsOf(event: HistoryEvent): Readonly<Record<string, unknown>> | undefined {
  for (const [key, value] of Object.entries(event)) {
    if (key.endsWith('EventDetails')) return value as Readonly<Record<string, unknown>>;
  }
  return undefined;
}

function drawEvent(
  event: HistoryEvent,
  startDate: number,
  states: ReadonlyMap<number, string>,
): HTMLTableRowElement {
  const at = event.timestamp * 1000;
  const row = document.createElement('tr');
  const cells = [
    String(event.id),
    event.type,
    states.get(event.id) ?? '',
    formatTime(at, Date.now()),
    formatElapsed(Math.max(at - startDate, 0)),
  ];
  for (const text of cells) row.insertCell().textContent = text;
  if (/Failed|TimedOut|Aborted/.test(event.type)) row.dataset.status = 'failed';
  const details = detailsOf(event);
  const cell = row.insertCell();
  if (!details || Object.keys(details).length === 0) return row;
  const disclosure = cell.appendChild(document.createElement('details'));
  const summary = disclosure.appendChild(document.createElement('summary'));
  summary.textContent = 'Show';
  summary.setAttribute('aria-label', `Show details of event ${event.id}`);
  // Thousands of payloads are not laid out before someone wants to see them.
  disclosure.addEventListener(
    'toggle',
    () => {
      const body = disclosure.appendChild(document.createElement('pre'));
      body.tabIndex = 0;
      body.textContent = Object.entries(details)
        .map(
          ([key, value]) =>
            `${key}: ${typeof value === 'string' ? prettyJson(value) : JSON.stringify(value, null, 2)}`,
        )
        .join('\n');
    },
    { once: true },
  );
  return row;
}
