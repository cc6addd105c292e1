import { announce } from './announcer.ts';

const list = document.querySelector('#notices') as HTMLElement;

/** Shows what has no card of its own, and says it. */
export function notice(sentence: string): void {
  const item = document.createElement('li');
  item.textContent = sentence;
  list.append(item);
  list.hidden = false;
  announce('notice', sentence, sentence);
}

/** What was said of an earlier choice of files helps no more. */
export function clearNotices(): void {
  list.replaceChildren();
  list.hidden = true;
}
