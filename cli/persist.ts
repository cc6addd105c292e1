import { retryAfterMs, sleep, waitBeforeRetry } from '../client/backoff.ts';
import { type Answer, type SendOptions, sendBytes } from './send-bytes.ts';

/** With waits of up to 30 seconds: some ten minutes without a network. */
const MAX_RETRIES = 45;

export interface PersistOptions {
  /** Makes the request anew for each try. */
  readonly request: () => Promise<Pick<SendOptions, 'method' | 'url' | 'headers' | 'body' | 'length'>>;
  /**
   * Looks at a refusal.
   *
   * @throws where it is final
   */
  readonly judge: (answer: Answer) => void;
  readonly signal: AbortSignal;
  readonly onBytes: (bytes: number) => void;
}

/** Sends until it is accepted or refused for good, with exponential backoff and full jitter between tries. */
export async function persist({ request, judge, signal, onBytes }: PersistOptions): Promise<Answer> {
  for (let retry = 1; ; retry++) {
    let sent = 0;
    const answer = await sendBytes({
      ...(await request()),
      signal,
      onBytes(bytes) {
        sent += bytes;
        onBytes(bytes);
      },
    });
    if (answer.status >= 200 && answer.status < 300) return answer;
    onBytes(-sent);
    judge(answer);
    if (retry > MAX_RETRIES)
      throw new Error('The server cannot be reached, or keeps failing. Try again later.');
    const asked = retryAfterMs(answer.headers['retry-after'], Date.now());
    await sleep(waitBeforeRetry(retry - 1, Math.random, {}, asked), signal);
  }
}
