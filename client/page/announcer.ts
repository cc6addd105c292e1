import { Announcements, type Kind } from './announcements.ts';

/** Long enough for what comes together to be said together. */
const GATHER_MS = 200;
/** A region changed twice in a row is read once. */
const PAUSE_MS = 1500;

const region = document.querySelector('#announcements') as HTMLElement;
const waiting = new Announcements();
let speaking = false;

/** Says it when the person is idle, one after the other. */
export function announce(kind: Kind, subject: string, sentence: string): void {
  waiting.add({ kind, subject, sentence });
  if (speaking) return;
  speaking = true;
  setTimeout(speak, GATHER_MS);
}

function speak(): void {
  const sentence = waiting.next();
  speaking = sentence !== undefined;
  if (sentence === undefined) return;
  region.textContent = sentence;
  setTimeout(speak, PAUSE_MS);
}
