import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type UploadsApi, uploadsApi } from '../client/api.ts';
import { iamSigner } from './iam-signer.ts';

/** Adds to a request's headers what proves who sends it. */
export type Authorize = (request: {
  readonly method: string;
  readonly url: URL;
  readonly headers: Record<string, string>;
  readonly body: Uint8Array;
}) => Promise<Record<string, string>>;

export interface Connection {
  readonly api: UploadsApi;
  readonly apiUrl: string;
  /** `fetch` with the API's authorization. */
  readonly fetch: typeof fetch;
  /** For requests to the API only, never to S3. */
  readonly authorize: Authorize;
}

export interface ConnectionArguments {
  readonly api?: string | undefined;
  readonly token?: string | undefined;
  readonly iam?: boolean;
}

/** @throws Error with what to set, where the API or the credentials cannot be found */
export async function connect(args: ConnectionArguments, env: NodeJS.ProcessEnv): Promise<Connection> {
  const apiUrl = args.api ?? env.UPLOADS_API ?? (await localApiUrl(env.LOCAL_DIR ?? '.local'));
  if (!URL.canParse(apiUrl))
    throw new Error(`${apiUrl} is not an address. Give one like https://api.example.com.`);
  const token = args.token ?? env.UPLOADS_TOKEN;
  const authorize: Authorize = args.iam
    ? iamSigner(apiUrl, env)
    : async ({ headers }) => (token ? { ...headers, authorization: `Bearer ${token}` } : headers);

  const authorizedFetch: typeof fetch = async (input, init = {}) => {
    const url = new URL(String(input));
    const body = typeof init.body === 'string' ? new TextEncoder().encode(init.body) : new Uint8Array();
    const headers = Object.fromEntries(new Headers(init.headers));
    return fetch(url, {
      ...init,
      headers: await authorize({ method: init.method ?? 'GET', url, headers, body }),
    });
  };
  return {
    api: uploadsApi({ api: apiUrl, fetch: authorizedFetch }),
    apiUrl,
    fetch: authorizedFetch,
    authorize,
  };
}

async function localApiUrl(dir: string): Promise<string> {
  const path = join(dir, 'stack.json');
  try {
    return (JSON.parse(await readFile(path, 'utf8')) as { apiUrl: string }).apiUrl;
  } catch (cause) {
    throw new Error(`Where is the API? Give --api or $UPLOADS_API, or run npm start first (no ${path}).`, {
      cause,
    });
  }
}
