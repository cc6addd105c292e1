/**
 * `/_local`: what tests and the command line ask of the stack itself. Not signed: the endpoint listens on
 * loopback, and requests that a web page could have sent under another name are refused.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { AwsError, type Clock, type FaultRule } from '../types.ts';
import type { Access, WithoutGrant } from './access.ts';
import type { CallLog } from './calls.ts';
import type { Faults } from './faults.ts';
import { readBody } from './read-body.ts';

export interface LocalRequest {
  /** What stood for `{name}` in the route. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** Parsed JSON; undefined without a body. */
  readonly body: unknown;
}

/** Its result is the JSON answer; undefined answers 204. A thrown AwsError gives its status, a RangeError 400. */
export type LocalRoute = (request: LocalRequest) => unknown;

/** By method and path, for example `GET /_local/executions/{name}`. */
export type LocalRoutes = Readonly<Record<string, LocalRoute>>;

const maxBodyBytes = 1024 * 1024;

const loopbackNames = new Set(['localhost', '127.0.0.1', '[::1]']);
const isLoopback = (host: string | undefined): boolean =>
  host !== undefined && loopbackNames.has(host.replace(/:\d+$/, '').toLowerCase());

/** DNS rebinding brings a foreign Host, a page of another site a foreign Origin. */
const isForeign = ({ headers }: IncomingMessage): boolean =>
  !isLoopback(headers.host) ||
  (headers.origin !== undefined && !isLoopback(headers.origin.replace(/^https?:\/\//, '')));

const record = (value: unknown, what: string): Record<string, unknown> => {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new RangeError(`${what} is an object`);
  return value as Record<string, unknown>;
};
const list = (value: unknown, what: string): unknown[] => {
  if (!Array.isArray(value)) throw new RangeError(`${what} is a list`);
  return value;
};

/** The front door's own routes. */
export const ownRoutes = (parts: {
  readonly clock: Clock;
  readonly faults: Faults;
  readonly calls: CallLog;
  readonly access: Access;
}): LocalRoutes => ({
  'GET /_local/faults': () => ({ rules: parts.faults.list() }),
  'POST /_local/faults': ({ body }) => {
    parts.faults.set(list(body, 'the body').map((rule) => record(rule, 'a rule')) as unknown as FaultRule[]);
    return { rules: parts.faults.list() };
  },
  'GET /_local/calls': ({ query }) => ({ calls: parts.calls.after(Number(query.get('after') ?? 0)) }),
  'DELETE /_local/calls': () => parts.calls.clear(),
  'GET /_local/clock': () => ({ now: new Date(parts.clock.now()).toISOString() }),
  'POST /_local/clock': ({ body }) => {
    const seconds = record(body, 'the body')['advanceSeconds'];
    if (typeof seconds !== 'number' || !(seconds >= 0)) throw new RangeError('advanceSeconds is 0 or more');
    parts.clock.advance(seconds * 1000);
    return { now: new Date(parts.clock.now()).toISOString() };
  },
  'GET /_local/grants': () => ({ grants: parts.access.grants() }),
  'GET /_local/refusals': () => ({ refusals: parts.access.refusals() }),
  'POST /_local/iam': ({ body }) => {
    const without = list(record(body, 'the body')['without'], 'without').map((grant) =>
      record(grant, 'a grant'),
    );
    parts.access.setWithout(without as unknown as WithoutGrant[]);
    return { without };
  },
});

const compile = (routes: LocalRoutes) =>
  Object.entries(routes).map(([name, route]) => {
    const [method = '', path = ''] = name.split(' ');
    const pattern = path.replace(/\{(\w+)\}/g, '(?<$1>[^/]+)');
    return { method, pattern: new RegExp(`^${pattern}$`), route };
  });

const send = (res: ServerResponse, status: number, body: unknown): void => {
  if (body === undefined) {
    res.writeHead(204).end();
    return;
  }
  const text = JSON.stringify(body);
  res.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  res.end(text);
};

/** Serves `/_local/…`. */
export const createControl = (routes: LocalRoutes) => {
  const compiled = compile(routes);
  return async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    if (isForeign(req)) {
      req.resume();
      return send(res, 403, { message: 'only for localhost' });
    }
    const url = new URL(req.url ?? '/', 'http://localhost');
    const matching = compiled.filter(({ pattern }) => pattern.test(url.pathname));
    const found = matching.find(({ method }) => method === req.method);
    const text = await readBody(req, maxBodyBytes);
    if (!found)
      return send(res, matching.length > 0 ? 405 : 404, { message: `no ${req.method} ${url.pathname}` });
    if (text === 'too large') return send(res, 413, { message: 'the body is larger than 1 MiB' });
    try {
      const groups = found.pattern.exec(url.pathname)?.groups ?? {};
      const params = Object.fromEntries(
        Object.entries(groups).map(([name, value]) => [name, decodeURIComponent(value)]),
      );
      const body: unknown = text.length === 0 ? undefined : JSON.parse(text.toString());
      send(res, 200, await found.route({ params, query: url.searchParams, body }));
    } catch (error) {
      const { message } = error as Error;
      const status =
        error instanceof AwsError
          ? error.status
          : error instanceof RangeError || error instanceof SyntaxError
            ? 400
            : 500;
      send(res, status, { message });
    }
  };
};
