import { checkedMetadata } from '../http/json-body.ts';
import { Problem } from '../http/problems.ts';
import type { UploadMode } from './identity.ts';

/** What a deployer's function is asked before an attempt at an upload begins. */
export interface AuthorizeUploadRequest {
  readonly version: '1';
  /** As it stands in keys. */
  readonly owner: string;
  readonly mode: UploadMode;
  /** As the client gave it. */
  readonly fileName: string;
  /** Bytes, as announced. */
  readonly size: number;
  readonly contentType: string;
  /** As the client gave it; empty in proxy mode. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The token's, where there is one; every claim as text. */
  readonly claims?: Readonly<Record<string, string>>;
}

/** What it answers. */
export type AuthorizeUploadAnswer =
  | {
      readonly allow: true;
      /**
       * Where the object goes below `uploads/`, for example `tenants/acme`: up to 200 letters, digits and `._-`, in
       * segments between single slashes that begin with a letter or digit.
       */
      readonly keyPrefix?: string;
      /** Takes the place of the client's. At most 20 entries, 2,000 bytes. */
      readonly metadata?: Readonly<Record<string, string>>;
    }
  | {
      readonly allow: false;
      /** Shown to the client. */
      readonly reason: string;
    };

/** Asks the deployer's function; gives its answer as JSON text. Throws where it failed. */
export type AuthorizeHook = (request: AuthorizeUploadRequest) => Promise<string>;

type Allowed = Extract<AuthorizeUploadAnswer, { allow: true }>;

/**
 * Asks whether an upload may begin. No answer, or one that says neither yes nor no, lets nothing begin.
 *
 * @throws Problem `upload-refused` with the function's reason; Error where it did not answer
 */
export async function authorizeUpload(
  hook: AuthorizeHook,
  request: AuthorizeUploadRequest,
): Promise<Allowed> {
  const answer = readAnswer(await hook(request));
  if (answer.allow) return answer;
  // Resumable.js repeats a 403 a hundred times without a pause, and stops at a 400.
  throw new Problem('upload-refused', answer.reason, {}, request.mode === 'proxy' ? 400 : 403);
}

/** @throws Error where the text is no answer that is documented */
export function readAnswer(text: string): AuthorizeUploadAnswer {
  const answer = parse(text);
  if (answer?.allow === false)
    return { allow: false, reason: plainSentence(answer.reason) || 'This upload is not allowed.' };
  if (answer?.allow !== true) throw new Error('The authorizing function answered neither yes nor no.');
  const { keyPrefix, metadata } = answer;
  if (keyPrefix !== undefined && !isKeyPrefix(keyPrefix))
    throw new Error('The authorizing function gave a keyPrefix that cannot stand in a key.');
  if (metadata !== undefined && !isMetadata(metadata))
    throw new Error('The authorizing function gave metadata that is none.');
  return {
    allow: true,
    ...(keyPrefix !== undefined && keyPrefix !== '' && { keyPrefix }),
    ...(metadata !== undefined && { metadata }),
  };
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** No segment can be `.` or `..`, and no prefix begins or ends with a slash. */
const isKeyPrefix = (value: unknown): value is string =>
  typeof value === 'string' &&
  value.length <= 200 &&
  (value === '' || /^[A-Za-z0-9][A-Za-z0-9._-]*(\/[A-Za-z0-9][A-Za-z0-9._-]*)*$/.test(value));

function isMetadata(value: unknown): value is Record<string, string> {
  try {
    checkedMetadata(value);
    return true;
  } catch {
    return false;
  }
}

/** The reason goes to a client, and perhaps onto its page: one line, nothing invisible, not long. */
const plainSentence = (value: unknown): string =>
  typeof value === 'string'
    ? value
        .toWellFormed()
        .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ')
        .trim()
        .slice(0, 300)
        .toWellFormed()
    : '';
