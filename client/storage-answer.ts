import { ApiError, isPassing } from './api.ts';

/** How often S3 may refuse a part, by whatever URL, before that is its last word. */
const MAX_REFUSALS = 5;

interface StorageAnswer {
  /** 0 where there was no answer. */
  readonly status: number;
  readonly body: string;
}

/**
 * What S3's refusals of an upload's parts mean. 403: the URL has expired. 400: `RequestTimeout` (the bytes came too
 * slowly) and `ExpiredToken` (the signer's credentials ended before the URL) pass, and the rest does not, which the next
 * tries show. They are counted by themselves: a part that the network has cut off often may still be signed again.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList
 */
export class StorageJudge {
  readonly #refusals = new Map<number, Set<StorageAnswer>>();

  /**
   * @param answer that was no success; the same one may be asked about twice
   * @returns whether the part needs a new URL, or only time
   * @throws ApiError where trying again is of no use
   */
  judge(partNumber: number, answer: StorageAnswer): 'sign again' | 'wait' {
    const { status, body } = answer;
    if (isPassing(status)) return 'wait';
    if (status === 404)
      throw new ApiError('This upload is gone from storage. Try again to start it anew.', 404, {
        type: 'urn:resumable-uploads:problem:upload-gone-from-storage',
      });
    const code = /<Code>(\w+)<\/Code>/.exec(body)?.[1];
    if (code === 'RequestTimeout') return 'wait';
    if (code === 'ExpiredToken') return 'sign again';
    if (status === 400 || status === 403) {
      const refusals = this.#refusals.get(partNumber) ?? new Set();
      this.#refusals.set(partNumber, refusals.add(answer));
      if (refusals.size < MAX_REFUSALS) return 'sign again';
    }
    throw new ApiError(`Storage refuses a part of this file (${code ?? `HTTP ${status}`}).`, status, {
      type: 'urn:resumable-uploads:problem:refused-by-storage',
    });
  }
}
