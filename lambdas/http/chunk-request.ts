import { Buffer } from 'node:buffer';
import type { ApiEvent } from './handler.ts';
import { Problem } from './problems.ts';

/** What Resumable.js says of a chunk. Its `resumableTotalChunks` is left out: early requests report too few. */
export interface ChunkParameters {
  readonly chunkNumber: number;
  readonly chunkSize: number;
  readonly currentChunkSize: number;
  readonly totalSize: number;
  readonly identifier: string;
  readonly fileName: string;
  /** As the browser named it; may be empty. */
  readonly type: string;
}

/** Longer ones are nobody's: file systems stop at 255 bytes. */
const MAX_NAME_LENGTH = 1024;

type Fields = ReadonlyMap<string, readonly string[]>;

/** The parameters of a test request, all in the query. */
export const parseChunkQuery = (event: ApiEvent): ChunkParameters => toParameters(queryFields(event));

/**
 * A chunk as Resumable.js posts it: a form with the bytes under any one file field, or the bare bytes (`octet`) with
 * all parameters in the query. With a form, parameters may be in the query too; both must then say the same.
 */
export async function parseChunkRequest(
  event: ApiEvent,
): Promise<{ parameters: ChunkParameters; bytes: Uint8Array }> {
  const body = Buffer.from(event.body ?? '', event.isBase64Encoded ? 'base64' : 'utf8');
  const contentType = event.headers['content-type'] ?? 'application/octet-stream';
  const encoding = event.headers['content-encoding'];
  if (encoding && encoding !== 'identity')
    throw new Problem(
      'unsupported-body',
      `Send the chunk as it is, not with Content-Encoding ${quote(encoding)}.`,
    );

  const query = queryFields(event);
  if (/^multipart\/form-data\b/i.test(contentType)) {
    const { fields, file } = await readForm(body, contentType);
    return { parameters: toParameters(merge(query, fields)), bytes: file };
  }
  if (/^application\/octet-stream\b/i.test(contentType))
    return { parameters: toParameters(query), bytes: body };
  throw new Problem(
    'unsupported-body',
    `Send the chunk as multipart/form-data or application/octet-stream, not as ${quote(contentType)}.`,
  );
}

/** The bytes of the one file of a form, and its text fields. Node's own parser, of the Fetch standard. */
async function readForm(body: Buffer, contentType: string): Promise<{ fields: Fields; file: Uint8Array }> {
  let form: FormData;
  try {
    form = await new Response(new Uint8Array(body), { headers: { 'content-type': contentType } }).formData();
  } catch (error) {
    throw new Problem(
      'invalid-request',
      `The form cannot be read; check its boundary and that it is whole. (${(error as Error).message})`,
    );
  }
  const fields = new Map<string, string[]>();
  const files: File[] = [];
  for (const [name, value] of form) {
    if (typeof value === 'string') fields.set(name, [...(fields.get(name) ?? []), value]);
    else files.push(value);
  }
  const [file, another] = files;
  if (!file || another)
    throw new Problem('invalid-request', `The form holds ${files.length} files; send one.`);
  return { fields, file: new Uint8Array(await file.arrayBuffer()) };
}

function queryFields(event: ApiEvent): Fields {
  const fields = new Map<string, string[]>();
  for (const [name, value] of new URLSearchParams(event.rawQueryString))
    fields.set(name, [...(fields.get(name) ?? []), value]);
  return fields;
}

const merge = (query: Fields, form: Fields): Fields =>
  new Map(
    [...new Set([...query.keys(), ...form.keys()])].map((name) => [
      name,
      [...(query.get(name) ?? []), ...(form.get(name) ?? [])],
    ]),
  );

function toParameters(fields: Fields): ChunkParameters {
  const text = (name: string, required: boolean): string => {
    const values = fields.get(name) ?? [];
    const [value = ''] = values;
    if (values.some((other) => other !== value))
      throw new Problem('invalid-request', `${name} is given twice, with different values.`);
    if (required && value === '') throw new Problem('invalid-request', `${name} is missing.`);
    if (value.length > MAX_NAME_LENGTH)
      throw new Problem('invalid-request', `${name} is longer than ${MAX_NAME_LENGTH} characters.`);
    return value;
  };
  const number = (name: string, least: number): number => {
    const value = text(name, true);
    // Digits only: no sign, fraction, exponent or leading zero can mean two things in two places.
    if (!/^(0|[1-9]\d{0,15})$/.test(value) || !Number.isSafeInteger(Number(value)) || Number(value) < least)
      throw new Problem(
        'invalid-request',
        `${name} must be a whole number from ${least}; it is ${quote(value)}.`,
      );
    return Number(value);
  };
  return {
    chunkNumber: number('resumableChunkNumber', 1),
    chunkSize: number('resumableChunkSize', 1),
    currentChunkSize: number('resumableCurrentChunkSize', 0),
    totalSize: number('resumableTotalSize', 0),
    identifier: text('resumableIdentifier', true),
    fileName: text('resumableFilename', true),
    type: text('resumableType', false),
  };
}

const quote = (text: string): string => JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
