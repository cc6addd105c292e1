import { formatTime } from './times.ts';

interface BusEvent {
  readonly seq: number;
  readonly bus: string;
  readonly event: {
    readonly source?: string;
    readonly 'detail-type'?: string;
    readonly time?: string;
    readonly detail?: { readonly uploadId?: string; readonly name?: string; readonly status?: string };
  };
  readonly matchedRules: readonly string[];
}

/** The page shows so many of the newest. */
const MOST = 500;

/** The events on the local buses, newest first; new ones are put on top, the others are left alone. */
export class BusView {
  readonly #list: HTMLElement;
  readonly #none: HTMLElement;
  #last = -1;

  constructor(list: HTMLElement, none: HTMLElement) {
    this.#list = list;
    this.#none = none;
  }

  async refresh(): Promise<void> {
    const answer = await fetch('/_local/events');
    if (!answer.ok) throw new Error(`The local stack answers ${answer.status}.`);
    const { events } = (await answer.json()) as { events: BusEvent[] };
    const ordered = events.toSorted((a, b) => a.seq - b.seq);
    const newest = ordered.at(-1)?.seq ?? -1;
    if (newest < this.#last) {
      this.#list.replaceChildren(); // The stack was started anew.
      this.#last = -1;
    }
    const fresh = ordered.filter(({ seq }) => seq > this.#last);
    this.#last = newest;
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
  const { uploadId, name, status } = event.detail ?? {};
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
