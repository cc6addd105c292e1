import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { parse } from 'yaml';

/** docs/openapi.yaml and docs/schemas, as validators: every answer and every event of the tests passes through here. */
const document = parse(readFileSync(new URL('../../docs/openapi.yaml', import.meta.url), 'utf8')) as {
  paths: Record<string, Record<string, { responses: Record<string, Answer> }>>;
};

interface Answer {
  readonly $ref?: string;
  readonly content?: Record<string, unknown>;
}

const ajv = new Ajv2020({ strict: false, allErrors: true });
(addFormats as unknown as (validator: Ajv2020) => void)(ajv);
ajv.addSchema(document, 'openapi');

const resolve = (answer: Answer | undefined): Answer | undefined =>
  answer?.$ref
    ? (answer.$ref
        .slice(2)
        .split('/')
        .reduce((node: unknown, name) => (node as Record<string, unknown>)[name], document) as Answer)
    : answer;

/** An answer that is no success; the gateway's own ones (413, 500, 503 without a problem) included. */
export class ApiError extends Error {
  readonly status: number;
  readonly type: string;
  constructor(status: number, body: string) {
    super(`${status} ${body}`);
    this.status = status;
    this.type = body.startsWith('{"type"') ? String(JSON.parse(body).type) : '';
  }
}

/** The gateway answers these itself, in its own words. */
const GATEWAY =
  /^\{"message":"(Internal Server Error|Service Unavailable|Request Too Long|Request Header Fields Too Large|Unauthorized|Forbidden|Not Found|Too Many Requests|HTTP content length exceeded 10485760 bytes\.)"\}$/;

/**
 * Holds an answer against the document, and gives its body.
 *
 * @throws ApiError for what is no success; another Error where the answer is not as documented
 */
export async function conform(method: string, path: string, response: Response): Promise<unknown> {
  const text = await response.text();
  const { status } = response;
  if (GATEWAY.test(text)) throw new ApiError(status, text);
  const answer = resolve(document.paths[path]?.[method.toLowerCase()]?.responses[status]);
  if (!answer) throw new Error(`${method} ${path} answered ${status}, which is not documented: ${text}`);
  const type = response.headers.get('content-type')?.split(';')[0] ?? '';
  const documented = Object.keys(answer.content ?? {})[0];
  if (documented) {
    if (type !== documented)
      throw new Error(`${method} ${path} answered ${status} as ${type}, not ${documented}.`);
    const pointer = pointerTo(method, path, status, documented);
    const validate = ajv.getSchema(pointer);
    if (!validate) throw new Error(`No schema at ${pointer}`);
    if (!validate(JSON.parse(text)))
      throw new Error(`${method} ${path} ${status}: ${ajv.errorsText(validate.errors)}: ${text}`);
  } else if (text !== '')
    throw new Error(`${method} ${path} ${status} has a body that is not documented: ${text}`);
  if (status >= 400) throw new ApiError(status, text);
  return text === '' ? undefined : JSON.parse(text);
}

function pointerTo(method: string, path: string, status: number, type: string): string {
  const escaped = (name: string): string =>
    encodeURIComponent(name.replaceAll('~', '~0').replaceAll('/', '~1'));
  const answer = document.paths[path]?.[method.toLowerCase()]?.responses[status];
  return answer?.$ref
    ? `openapi${answer.$ref}/content/${escaped(type)}/schema`
    : `openapi#/paths/${escaped(path)}/${method.toLowerCase()}/responses/${status}/content/${escaped(type)}/schema`;
}

const events = new Map(
  (['completed', 'failed', 'expired'] as const).map((kind) => {
    const file = new URL(`../../docs/schemas/upload-${kind}.json`, import.meta.url);
    return [
      `Upload ${kind[0]?.toUpperCase()}${kind.slice(1)}`,
      ajv.compile(JSON.parse(readFileSync(file, 'utf8'))),
    ];
  }),
);

/** @throws Error when an event is not as its published schema says */
export function conformEvent(event: { 'detail-type': string; detail: unknown }): void {
  const validate = events.get(event['detail-type']);
  if (!validate) throw new Error(`No schema for the event "${event['detail-type']}".`);
  if (!validate(event.detail)) throw new Error(`${event['detail-type']}: ${ajv.errorsText(validate.errors)}`);
}
