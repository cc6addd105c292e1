import type { UploadEvent } from '../console/bus-events.ts';
import { formatBytes, formatDuration, formatPercent, formatRate } from '../format.ts';
import type { CompletedUpload, ResumableFile } from '../resumable-uploads.ts';
import { TransferRate } from '../transfer-rate.ts';
import { announce } from './announcer.ts';
import { Milestones } from './milestones.ts';
import type { WorkflowState } from './workflow.ts';

type CardState = 'waiting' | 'uploading' | 'paused' | 'completing' | 'completed' | 'failed';

const STATE_NAMES: Record<CardState, string> = {
  waiting: 'Waiting',
  uploading: 'Uploading',
  paused: 'Paused',
  completing: 'Completing',
  completed: 'Completed',
  failed: 'Failed',
};

export type Action = 'pause' | 'resume' | 'retry' | 'cancel';

/** One file on the page. */
export class UploadCard {
  readonly element: HTMLElement;
  readonly #file: ResumableFile;
  readonly #rate = new TransferRate();
  readonly #milestones = new Milestones();
  #state: CardState = 'waiting';

  constructor(file: ResumableFile, act: (action: Action) => void) {
    const template = document.querySelector('#upload-template') as HTMLTemplateElement;
    this.element = (template.content.cloneNode(true) as DocumentFragment).firstElementChild as HTMLElement;
    this.#file = file;
    this.#part('.name').textContent = file.fileName;
    this.#part('progress').setAttribute('aria-label', `Progress of ${file.fileName}`);
    for (const button of this.element.querySelectorAll<HTMLButtonElement>('[data-action]')) {
      button.setAttribute('aria-label', `${button.textContent} ${file.fileName}`);
      button.addEventListener('click', () => act(button.dataset.action as Action));
    }
    this.show('waiting');
  }

  show(state: CardState, error = ''): void {
    this.#state = state;
    this.element.dataset.state = state;
    this.#part('.state').textContent = STATE_NAMES[state];
    this.#part('.error').textContent = error;
    this.#part('.error').hidden = error === '';
    const underway = state === 'waiting' || state === 'uploading';
    this.#offer({
      pause: underway,
      resume: state === 'paused',
      retry: state === 'failed',
      cancel: underway || state === 'paused' || state === 'failed',
    });
    if (state !== 'uploading') this.#rate.restart();
    this.progress();
  }

  /** Called as often as there is news, and now and then without. */
  progress(): void {
    const fraction = this.#state === 'failed' ? 0 : this.#file.progress();
    const bytes = Math.round(fraction * this.#file.size);
    if (this.#state === 'waiting' && fraction > 0) return this.show('uploading');
    (this.#part('progress') as HTMLProgressElement).value = fraction;
    if (this.#state !== 'uploading') {
      this.#part('.facts').textContent =
        this.#state === 'paused'
          ? `${formatBytes(bytes)} of ${formatBytes(this.#file.size)}`
          : formatBytes(this.#file.size);
      return;
    }
    this.#rate.add(bytes, performance.now());
    const rate = this.#rate.bytesPerSecond;
    const left = this.#rate.secondsLeft(this.#file.size);
    this.#part('.facts').textContent = [
      formatPercent(fraction),
      `${formatBytes(bytes)} of ${formatBytes(this.#file.size)}`,
      ...(rate ? [formatRate(rate)] : []),
      ...(left !== undefined ? [`${formatDuration(left)} left`] : []),
    ].join(' · ');
    const milestone = this.#milestones.pass(fraction);
    if (milestone) announce('progress', this.#file.fileName, `${this.#file.fileName}: ${milestone} percent`);
  }

  /** The workflow's states, as they light up. */
  showWorkflow(states: readonly WorkflowState[]): void {
    const list = this.#part('.workflow');
    list.hidden = states.length === 0;
    for (const [index, { name, status, items }] of states.entries()) {
      const item = list.children[index] ?? list.appendChild(document.createElement('li'));
      const text = items === undefined ? name : `${name} (${items})`;
      if (item.getAttribute('data-status') === status && item.textContent === text) continue;
      item.setAttribute('data-status', status);
      item.textContent = text;
    }
    while (list.children.length > states.length) list.lastElementChild?.remove();
  }

  /** @param local what only a local stack tells: the event on its bus, and where the object can be had */
  showResult(
    { key, totalBytes, etag }: CompletedUpload,
    { event, url }: { readonly event?: UploadEvent | undefined; readonly url?: string | undefined },
  ): void {
    this.#part('.key').textContent = key;
    this.#part('.size').textContent = `${totalBytes.toLocaleString('en')} bytes`;
    this.#part('.etag').textContent = etag;
    (this.#part('.download a') as HTMLAnchorElement).href = url ?? '';
    this.#part('.download').hidden = this.#part('.download-term').hidden = !url;
    this.#part('.event pre').textContent = event ? JSON.stringify(event, null, 2) : '';
    this.#part('.event').hidden = !event;
    this.#part('.result').hidden = false;
  }

  #part(selector: string): HTMLElement {
    return this.element.querySelector(selector) as HTMLElement;
  }

  /** Shows some buttons; a focused one that goes away hands its focus on, so that a keyboard does not lose its place. */
  #offer(shown: Record<Action, boolean>): void {
    const buttons = [...this.element.querySelectorAll<HTMLButtonElement>('[data-action]')];
    const focused = buttons.find((button) => button === document.activeElement);
    for (const button of buttons) button.hidden = !shown[button.dataset.action as Action];
    if (!focused?.hidden) return;
    const next =
      buttons.find((button) => !button.hidden) ?? (document.querySelector('#uploads-title') as HTMLElement);
    next.focus();
  }
}
