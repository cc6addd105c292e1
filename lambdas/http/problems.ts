/**
 * What goes wrong, in the words and with the status that make a client do the right thing.
 *
 * Resumable.js stops at 400, 404, 415, 500 and 501 and sends anything else again, up to 100 times without a pause.
 * So: what can never work is 400, 404 or 415; what passes is 503 with Retry-After; an unhandled 500 must not be.
 */

const PROBLEMS = {
  'invalid-request': [400, 'The request is not valid'],
  'invalid-file-name': [400, 'The file name is not valid'],
  'empty-file': [400, 'The file is empty'],
  'file-too-small': [400, 'The file is too small'],
  'file-too-large': [400, 'The file is too large'],
  'chunk-size-not-supported': [400, 'The chunk size is not supported'],
  'chunk-length-mismatch': [400, 'The chunk does not have the length that it should have'],
  'part-not-in-upload': [400, 'The upload has no such part'],
  'wrong-mode': [400, 'The upload uses the other mode'],
  'upload-refused': [403, 'The upload is refused'],
  'upload-not-found': [404, 'No such upload'],
  'method-not-allowed': [405, 'The method is not allowed here'],
  'upload-not-open': [409, 'The upload takes no more parts'],
  'content-type-not-allowed': [415, 'The content type is not allowed'],
  'file-extension-not-allowed': [415, 'The file name ending is not allowed'],
  'content-mismatch': [415, 'The content is not of the announced type'],
  'unsupported-body': [415, 'The body is of a kind that is not understood here'],
  'quota-exceeded': [429, 'Too much is in progress'],
  'try-again': [503, 'A passing fault'],
} as const satisfies Record<string, readonly [number, string]>;

export type ProblemName = keyof typeof PROBLEMS;

/** Ends a request with a problem document (RFC 9457). */
export class Problem extends Error {
  override readonly name = 'Problem';
  readonly problem: ProblemName;
  readonly headers: Readonly<Record<string, string>>;

  readonly status: number;

  /**
   * @param detail a sentence that says what to change
   * @param status in place of the problem's own: Resumable.js repeats a 403 or a 429 a hundred times without a pause
   */
  constructor(
    problem: ProblemName,
    detail: string,
    headers: Readonly<Record<string, string>> = {},
    status: number = PROBLEMS[problem][0],
  ) {
    super(detail);
    this.problem = problem;
    this.headers = headers;
    this.status = status;
  }

  get title(): string {
    return PROBLEMS[this.problem][1];
  }

  /** Stable; not an address to fetch. */
  get type(): string {
    return `urn:resumable-uploads:problem:${this.problem}`;
  }
}

/** Something that should pass: to be sent again in a moment. */
export const tryAgain = (detail: string): Problem => new Problem('try-again', detail, { 'retry-after': '1' });
