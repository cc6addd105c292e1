import { type BusEvent, BusEvents } from './bus-events.ts';
import { formatTime } from './times.ts';

/** The page shows so many of the newest. */
const MOST = 500;

/** The events on the local buses, newest first; new ones are put on top, the others are left alone. */
export class BusView {
  readonly #list: HTMLElement;
  readonly #none: HTMLElement;
  readonly #events = new BusEvents();

  constructor(list: HTMLElement, none: HTMLElement) {
    this.#list = list;
    this.#none = none;
  }

  async refresh(): Promise<void> {
    const fresh = await this.#events.fetchNew();
    this.#list.prepend(...fresh.slice(-MOST).reverse().map(drawEvent));
    while (this.#list.children.length > MOST) this.#list.lastElementChild?.remove();
    this.#none.hidden = this.#list.children.length > 0;
  }
}

function drawEvent({ bus, event, matchedRules }: BusEvent): HTMLLIElement {
  const item = document.createElement('li');
  const disclosure = item.appendChild(document.createElement('details'));
  const summary = disclosure.appendChild(document.createElement('summary'));
  const add = (className: string, text: string) => {
    const part = summary.appendChild(document.createElement('span'));
    part.className = className;
    part.textContent = text;
  };
  item.dataset.source = event.source;
  const { uploadId, name, status } = event.detail;
  add('event-type', [event['detail-type'], uploadId ? undefined : status].filter(Boolean).join(': '));
  add('quiet when', event.time ? formatTime(Date.parse(event.time), Date.now()) : '');
  add('quiet small', uploadId ?? name ?? '');
  add(
    'quiet small when',
    `${bus} · ${matchedRules.length > 0 ? `matched ${matchedRules.join(', ')}` : 'no rule matched'}`,
  );
  const body = disclosure.appendChild(document.createElement('pre'));
  body.tabIndex = 0;
  body.textContent = JSON.stringify(event, null, 2);
  return item;
}
