/** As much of a browser as Resumable.js needs, with all requests, fetch's and XMLHttpRequest's, going to one function. */

export interface FakeRequest {
  readonly method: string;
  readonly url: URL;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface FakeAnswer {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

/** Throws for a connection that fails. */
export type Serve = (request: FakeRequest) => Promise<FakeAnswer>;

const ORIGIN = 'https://page.example';

export function installBrowser(serve: Serve): void {
  const anywhere = globalThis as Record<string, unknown>;
  anywhere.window = globalThis;
  anywhere.FileList = class FileList {};
  anywhere.XMLHttpRequest = fakeXhr(serve);
  anywhere.fetch = async (input: string, init: RequestInit = {}): Promise<Response> => {
    const answer = await serve({
      method: init.method ?? 'GET',
      url: new URL(input, ORIGIN),
      headers: Object.fromEntries(new Headers(init.headers)),
      body: typeof init.body === 'string' ? init.body : '',
    });
    return new Response(answer.status === 204 ? null : (answer.body ?? ''), {
      status: answer.status,
      headers: answer.headers ?? {},
    });
  };
}

const fakeXhr = (serve: Serve) =>
  class FakeXhr extends EventTarget {
    readonly upload = new EventTarget();
    readyState = 0;
    status = 0;
    responseText = '';
    #request = { method: '', url: '' };
    readonly #sent: Record<string, string> = {};
    #received: Record<string, string> = {};
    #aborted = false;

    open(method: string, url: string): void {
      this.#request = { method, url };
      this.readyState = 1;
    }

    setRequestHeader(name: string, value: string): void {
      this.#sent[name.toLowerCase()] = value;
    }

    getResponseHeader(name: string): string | null {
      return this.#received[name.toLowerCase()] ?? null;
    }

    getAllResponseHeaders(): string {
      return Object.entries(this.#received)
        .map(([name, value]) => `${name}: ${value}\r\n`)
        .join('');
    }

    send(body: Blob | null): void {
      void this.#exchange(body);
    }

    abort(): void {
      this.#aborted = true;
      this.readyState = 0;
      this.status = 0;
    }

    async #exchange(body: Blob | null): Promise<void> {
      const { method, url } = this.#request;
      let event = 'load';
      try {
        // A file that cannot be read fails like a connection.
        const text = body ? await body.text() : '';
        const answer = await serve({ method, url: new URL(url, ORIGIN), headers: this.#sent, body: text });
        if (this.#aborted) return;
        this.status = answer.status;
        this.responseText = answer.body ?? '';
        this.#received = Object.fromEntries(
          Object.entries(answer.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]),
        );
      } catch {
        if (this.#aborted) return;
        event = 'error';
      }
      this.readyState = 4;
      this.dispatchEvent(new Event(event));
    }
  };
