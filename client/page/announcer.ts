const region = document.querySelector('#announcements') as HTMLElement;
const queue: string[] = [];

/** Says it when the person is idle, one after the other: a region changed twice in a row is read once. */
export function announce(sentence: string): void {
  queue.push(sentence);
  if (queue.length === 1) speak();
}

function speak(): void {
  region.textContent = queue[0] ?? '';
  setTimeout(() => {
    queue.shift();
    if (queue.length > 0) speak();
  }, 1500);
}
