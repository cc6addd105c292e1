import { formatBytes, formatDuration, formatPercent, formatRate } from '../client/format.ts';
import { TransferRate } from '../client/transfer-rate.ts';

/** What a terminal, or a log, is to this. */
export interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const TERMINAL_MS = 200;
/** A log gets a line so often. */
const LOG_MS = 10_000;

/** A file's progress: one line that redraws itself on a terminal, now and then a plain line in a log. */
export class ProgressLine {
  readonly #name: string;
  readonly #size: number;
  readonly #output: Output;
  readonly #now: () => number;
  readonly #rate = new TransferRate();
  #bytes = 0;
  #drawnAt: number | undefined;
  #drawn = false;

  constructor(name: string, size: number, output: Output, now: () => number = () => performance.now()) {
    this.#name = name;
    this.#size = size;
    this.#output = output;
    this.#now = now;
  }

  /** @param bytes that have arrived or are on their way */
  update(bytes: number): void {
    const now = this.#now();
    this.#bytes = Math.min(bytes, this.#size);
    const step = this.#output.isTTY ? TERMINAL_MS : LOG_MS;
    if (this.#drawnAt !== undefined && now - this.#drawnAt < step && bytes < this.#size) return;
    this.#rate.add(this.#bytes, now);
    this.#drawnAt = now;
    this.#draw(this.#text());
  }

  say(text: string): void {
    this.#draw(`${this.#name}  ${text}`);
  }

  end(): void {
    if (this.#drawn) this.#output.write('\n');
    this.#drawn = false;
  }

  #draw(text: string): void {
    if (!this.#output.isTTY) {
      this.#output.write(`${text}\n`);
      return;
    }
    this.#output.write(`\r\u001b[2K${text.slice(0, (this.#output.columns ?? 80) - 1)}`);
    this.#drawn = true;
  }

  #text(): string {
    const rate = this.#rate.bytesPerSecond;
    const left = this.#rate.secondsLeft(this.#size);
    const facts = [
      formatPercent(this.#bytes / this.#size).padStart(5),
      `${formatBytes(this.#bytes)} of ${formatBytes(this.#size)}`,
      ...(rate ? [formatRate(rate)] : []),
      ...(left !== undefined && left >= 1 ? [`${formatDuration(left)} left`] : []),
    ].join('  ');
    if (!this.#output.isTTY) return `${this.#name}  ${facts.trim()}`;
    const room = (this.#output.columns ?? 80) - facts.length - 4;
    const name = shorten(this.#name, Math.max(Math.min(30, room - 12), 8));
    return `${name} ${bar(this.#bytes / this.#size, Math.min(30, room - name.length))} ${facts}`;
  }
}

export function bar(fraction: number, width: number): string {
  if (width < 4) return '';
  const full = Math.round(Math.min(Math.max(fraction, 0), 1) * width);
  return '█'.repeat(full) + '░'.repeat(width - full);
}

/** Cuts the middle out, since a name's ends tell most. */
export function shorten(text: string, length: number): string {
  if (text.length <= length) return text;
  const tail = Math.floor((length - 1) / 2);
  return `${text.slice(0, length - 1 - tail)}…${text.slice(text.length - tail)}`;
}
