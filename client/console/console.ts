import { BusView } from './bus-view.ts';
import { ExecutionList } from './execution-list.ts';
import { ExecutionView } from './execution-view.ts';

const REFRESH_MS = 2000;

const find = <T extends HTMLElement>(selector: string): T => document.querySelector(selector) as T;

const list = new ExecutionList(find('#list'), find('#count'));
const view = new ExecutionView((execution) => list.update(execution));
const bus = new BusView(find('#bus'), find('#no-events'));

/** `#/`, `#/executions/<name>` and `#/events`, so that each can be linked to and the back button works. */
function route(): { readonly view: 'executions' | 'events'; readonly name?: string } {
  const [, first, name] = location.hash.split('/');
  if (first === 'events') return { view: 'events' };
  return { view: 'executions', ...(name ? { name: decodeURIComponent(name) } : {}) };
}

async function showRoute(): Promise<void> {
  const { view: shown, name } = route();
  find('#executions-view').hidden = shown !== 'executions';
  find('#events-view').hidden = shown !== 'events';
  document.body.classList.toggle('has-detail', name !== undefined);
  for (const link of document.querySelectorAll<HTMLElement>('[data-view]')) {
    if (link.dataset.view === shown) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  list.choose(name ?? '');
  await reporting(shown === 'events' ? bus.refresh() : view.open(name));
}

/** Says whether the stack answers, once each time that it changes. */
async function reporting(work: Promise<void>): Promise<void> {
  const status = find('#connection');
  let text = '';
  try {
    await work;
  } catch (error) {
    text = error instanceof TypeError ? 'The local stack does not answer.' : (error as Error).message;
  }
  if (status.textContent !== text) status.textContent = text;
}

async function refreshForever(): Promise<never> {
  for (;;) {
    if (!document.hidden) {
      await reporting(
        route().view === 'events'
          ? bus.refresh()
          : Promise.all([list.refresh(), view.refresh()]).then(() => {}),
      );
    }
    await new Promise((resolve) => setTimeout(resolve, REFRESH_MS));
  }
}

const applyFilter = (): void =>
  list.filter({
    search: find<HTMLInputElement>('#search').value,
    status: find<HTMLSelectElement>('#status').value,
  });

find('#search').addEventListener('input', applyFilter);
find('#status').addEventListener('change', applyFilter);
find('.filters').addEventListener('submit', (event) => event.preventDefault());
const showOnlyUploads = (): void => {
  find('#bus').classList.toggle('hide-workflow', find<HTMLInputElement>('#only-uploads').checked);
};
find('#only-uploads').addEventListener('change', showOnlyUploads);
showOnlyUploads();
addEventListener('hashchange', () => void showRoute());
void showRoute();
void refreshForever();
