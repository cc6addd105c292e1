import { existsSync } from 'node:fs';
import { readFile, realpath } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createRequire, stripTypeScriptTypes } from 'node:module';
import { extname, join, sep } from 'node:path';
import { decode } from './routes.ts';

export interface Pages {
  /** Serves a page or a script. False where there is none at this path. */
  handle(request: IncomingMessage, response: ServerResponse): Promise<boolean>;
}

const contentTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.ts': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.webmanifest': 'application/manifest+json',
};

const pages: Readonly<Record<string, string>> = {
  '/': 'page/index.html',
  '/console': 'console/index.html',
};

/**
 * The browser's side, for development: the pages and scripts of `client/`, with TypeScript served as JavaScript.
 *
 * @param clientDir absolute path of `client/`
 */
export function createPages(clientDir: string): Pages {
  return {
    async handle(request, response) {
      if (request.method !== 'GET' && request.method !== 'HEAD') return false;
      const file = await findFile(clientDir, decode((request.url ?? '/').split('?')[0] ?? '/'));
      if (!file) return false;
      const content = await readFile(file);
      const body = file.endsWith('.ts') ? stripTypeScriptTypes(content.toString()) : content;
      response.setHeader('content-type', contentTypes[extname(file)] ?? 'application/octet-stream');
      response.setHeader('cache-control', 'no-cache');
      response.setHeader('x-content-type-options', 'nosniff');
      response.setHeader('content-length', Buffer.byteLength(body));
      response.end(request.method === 'HEAD' ? undefined : body);
      return true;
    },
  };
}

/** The file behind a decoded path; undefined also for a path that leads out of the folder, by `..` or by a link. */
async function findFile(clientDir: string, path: string): Promise<string | undefined> {
  if (path === '/client/vendor/resumable.js') {
    return createRequire(import.meta.url).resolve('resumablejs/resumable.js');
  }
  const name = pages[path] ?? (path.startsWith('/client/') ? path.slice('/client/'.length) : undefined);
  if (!name || name.includes('\0') || name.split(/[/\\]/).some((part) => part.startsWith('.')))
    return undefined;
  if (!contentTypes[extname(name)]) return undefined;
  // A page may name the .js that a build would make of a .ts file.
  const twin = join(clientDir, name.replace(/\.js$/, '.ts'));
  const wanted = name.endsWith('.js') && existsSync(twin) ? twin : join(clientDir, name);
  if (!existsSync(wanted)) return undefined;
  const [root, real] = await Promise.all([realpath(clientDir), realpath(wanted)]);
  return real.startsWith(root + sep) ? real : undefined;
}
