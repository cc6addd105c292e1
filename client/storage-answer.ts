import { ApiError, isPassing } from './api.ts';

/**
 * What S3's refusal of a part means. 403: the URL has expired. 400: `RequestTimeout` or `ExpiredToken` (the signer's
 * credentials ended before the URL) pass, and the rest does not, which the next tries show.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList
 *
 * @param status 0 where there was no answer
 * @param retry 1 after the first failure
 * @returns whether the part needs a new URL, or only time
 * @throws ApiError where trying again is of no use
 */
export function judgeStorageAnswer(
  { status, body }: { readonly status: number; readonly body: string },
  retry: number,
): 'sign again' | 'wait' {
  if (isPassing(status)) return 'wait';
  if ((status === 403 || status === 400) && retry <= 4) return 'sign again';
  if (status === 404)
    throw new ApiError('This upload is gone from storage. Try again to start it anew.', 404);
  const code = /<Code>(\w+)<\/Code>/.exec(body)?.[1];
  throw new ApiError(`Storage refuses a part of this file (${code ?? `HTTP ${status}`}).`, status);
}
