import { BusView } from './bus-view.ts';
import { ExecutionList } from './execution-list.ts';
import { ExecutionView } from './execution-view.ts';
import { routeOf, VIEWS, type View } from './route.ts';
import { UploadList } from './upload-list.ts';

const REFRESH_MS = 2000;

const find = <T extends HTMLElement>(selector: string): T => document.querySelector(selector) as T;

const list = new ExecutionList(find('#list'), find('#count'));
const view = new ExecutionView((execution) => list.update(execution));
const uploads = new UploadList(find('#uploads'), find('#upload-count'), find('#more-uploads'));
const bus = new BusView(find('#bus'), find('#no-events'));

async function showRoute(): Promise<void> {
  const { view: shown, name } = routeOf(location.hash);
  for (const one of VIEWS) find(`#${one}-view`).hidden = one !== shown;
  document.body.classList.toggle('has-detail', name !== undefined);
  for (const link of document.querySelectorAll<HTMLElement>('[data-view]')) {
    if (link.dataset.view === shown) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  list.choose(name ?? '');
  await reporting(shown === 'executions' ? view.open(name) : refresh(shown));
}

async function refresh(shown: View): Promise<void> {
  if (shown === 'uploads') await uploads.refresh();
  else if (shown === 'events') await bus.refresh();
  else await Promise.all([list.refresh(), view.refresh()]);
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
    if (!document.hidden) await reporting(refresh(routeOf(location.hash).view));
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
const applyUploadFilter = (): void =>
  void reporting(
    uploads.filter({
      search: find<HTMLInputElement>('#search-uploads').value,
      status: find<HTMLSelectElement>('#upload-status').value,
    }),
  );
find('#search-uploads').addEventListener('input', applyUploadFilter);
find('#upload-status').addEventListener('change', applyUploadFilter);
find('#more-uploads').addEventListener('click', () => void reporting(uploads.showMore()));
for (const form of document.querySelectorAll('.filters'))
  form.addEventListener('submit', (event) => event.preventDefault());
const showOnlyUploads = (): void => {
  find('#bus').classList.toggle('hide-workflow', find<HTMLInputElement>('#only-uploads').checked);
};
find('#only-uploads').addEventListener('change', showOnlyUploads);
showOnlyUploads();
addEventListener('hashchange', () => void showRoute());
void showRoute();
void refreshForever();
