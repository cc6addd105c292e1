import { formatBytes, formatPercent } from '../format.ts';
import { announce } from './announcer.ts';
import type { Unfinished } from './unfinished.ts';

/** Draws the uploads of earlier visits that can be gone on with. */
export function showUnfinished(
  uploads: readonly Unfinished[],
  arrived: ReadonlyMap<string, number>,
  actions: { choose: () => void; discard: (upload: Unfinished) => Promise<void> },
): void {
  const section = document.querySelector('#unfinished') as HTMLElement;
  const list = document.querySelector('#unfinished-list') as HTMLElement;
  const template = document.querySelector('#unfinished-template') as HTMLTemplateElement;
  section.hidden = uploads.length === 0;
  list.replaceChildren(
    ...uploads.map((upload) => {
      const item = (template.content.cloneNode(true) as DocumentFragment).firstElementChild as HTMLElement;
      const part = (selector: string) => item.querySelector(selector) as HTMLElement;
      part('.name').textContent = upload.name;
      part('.state').textContent = upload.mode === 'proxy' ? 'Through the API' : 'Straight to S3';
      const share = arrived.get(upload.identifier);
      part('.facts').textContent =
        share === undefined
          ? formatBytes(upload.size)
          : `${formatPercent(share)} of ${formatBytes(upload.size)} has arrived`;
      part('[data-action=choose]').setAttribute('aria-label', `Choose the file ${upload.name} to go on`);
      part('[data-action=choose]').addEventListener('click', actions.choose);
      part('[data-action=forget]').setAttribute('aria-label', `Discard ${upload.name}`);
      part('[data-action=forget]').addEventListener('click', () => {
        actions.discard(upload).then(
          () => announce('discarded', upload.name, `${upload.name} discarded`),
          (error: unknown) => {
            part('.facts').textContent = error instanceof Error ? error.message : String(error);
          },
        );
      });
      return item;
    }),
  );
}
