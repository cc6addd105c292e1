import type { FakeAnswer, FakeRequest } from './fake-browser.ts';

const json = (status: number, body: unknown): FakeAnswer => ({
  status,
  body: JSON.stringify(body),
  headers: { 'content-type': 'application/json' },
});

export const problem = (status: number, detail: string): FakeAnswer => ({
  status,
  body: JSON.stringify({ type: 'urn:test', title: 'A problem', status, detail }),
  headers: { 'content-type': 'application/problem+json' },
});

interface State {
  readonly size: number;
  readonly partSize: number;
  /** What storage holds. */
  readonly stored: Map<number, string>;
  /** What the API has recorded. */
  readonly recorded: Set<number>;
  aborted: boolean;
}

type Fault = (request: FakeRequest) => FakeAnswer | 'cut' | undefined;

/** The HTTP face of the service in memory: small enough to be read, strict where clients go wrong. */
export class FakeUploads {
  readonly requests: FakeRequest[] = [];
  readonly uploads = new Map<string, State>();
  /** Bytes of a part, by file name. */
  partSizes: Record<string, number> = {};
  latencyMs = 1;
  #faults: { fault: Fault; times: number }[] = [];
  #signatures = 0;

  readonly serve = async (request: FakeRequest): Promise<FakeAnswer> => {
    this.requests.push(request);
    await new Promise((resolve) => setTimeout(resolve, this.latencyMs));
    for (const rule of this.#faults) {
      const answer = rule.times > 0 ? rule.fault(request) : undefined;
      if (!answer) continue;
      rule.times--;
      if (answer === 'cut') throw new Error('connection reset');
      return answer;
    }
    return request.url.host === 's3.example' ? this.#storage(request) : this.#api(request);
  };

  /** Answers otherwise for the first `times` requests that `fault` answers. */
  failing(times: number, fault: Fault): void {
    this.#faults.push({ fault, times });
  }

  count(method: string, path: RegExp): number {
    return this.requests.filter((request) => request.method === method && path.test(request.url.pathname))
      .length;
  }

  content(uploadId: string): string {
    const { stored } = this.#state(uploadId);
    return [...stored]
      .sort(([a], [b]) => a - b)
      .map(([, text]) => text)
      .join('');
  }

  /** An upload of which some parts are there. */
  begin(uploadId: string, text: string, partSize: number, parts: readonly number[]): void {
    const stored = new Map(parts.map((part) => [part, text.slice((part - 1) * partSize, part * partSize)]));
    this.uploads.set(uploadId, {
      size: text.length,
      partSize,
      stored,
      recorded: new Set(parts),
      aborted: false,
    });
  }

  #state(uploadId: string): State {
    const state = this.uploads.get(uploadId);
    if (!state) throw new Error(`no upload ${uploadId}`);
    return state;
  }

  #storage({ method, url, headers, body }: FakeRequest): FakeAnswer {
    if (headers.authorization) return { status: 400, body: '<Code>InvalidArgument</Code>' };
    const [, uploadId = '', part = ''] = url.pathname.split('/');
    const known = [...url.searchParams.keys()].sort().join();
    if (method !== 'PUT' || known !== 'X-Amz-Expires,X-Amz-Signature')
      return { status: 403, body: '<Code>SignatureDoesNotMatch</Code>' };
    this.#state(uploadId).stored.set(Number(part), body);
    return { status: 200, headers: { ETag: `"etag-${part}"` } };
  }

  #api({ method, url, headers, body }: FakeRequest): FakeAnswer {
    if (headers.authorization !== 'Bearer good') return problem(401, 'Sign in first.');
    const [, first, id, action] = url.pathname.split('/');
    if (first === 'upload')
      return id === 'options' ? this.#options() : this.#chunk(method, url.searchParams, body);
    if (!id) return this.#open(JSON.parse(body));
    const state = this.uploads.get(id);
    if (!state) return problem(404, 'There is no such upload.');
    if (method === 'DELETE') {
      state.aborted = true;
      return { status: 204 };
    }
    if (action === 'part-urls') return json(200, { partUrls: this.#sign(id, JSON.parse(body).partNumbers) });
    if (action === 'parts') {
      for (const { partNumber, etag } of JSON.parse(body).parts) {
        if (etag !== `"etag-${partNumber}"`) return problem(400, 'That is not its ETag.');
        state.recorded.add(partNumber);
      }
    }
    return json(200, this.describe(id));
  }

  #options(): FakeAnswer {
    const proxy = { chunkSize: 10, maxChunkSize: 1_000_000, minChunkSize: 1, maxChunks: 1000 };
    return json(200, {
      maxFileSize: 1e9,
      minFileSize: 1,
      allowedContentTypes: [],
      allowedExtensions: [],
      proxy,
    });
  }

  #open({ fileName, size }: { fileName: string; size: number }): FakeAnswer {
    const partSize = this.partSizes[fileName] ?? 10;
    const isNew = !this.uploads.has(fileName);
    if (isNew)
      this.uploads.set(fileName, { size, partSize, stored: new Map(), recorded: new Set(), aborted: false });
    const { recorded } = this.#state(fileName);
    const first = Array.from({ length: 2 }, (_, index) => recorded.size + index + 1);
    return json(isNew ? 201 : 200, { ...this.describe(fileName), partUrls: this.#sign(fileName, first) });
  }

  #chunk(method: string, query: URLSearchParams, body: string): FakeAnswer {
    const uploadId = query.get('resumableFilename') ?? '';
    const number = Number(query.get('resumableChunkNumber'));
    if (method === 'GET')
      return this.uploads.get(uploadId)?.recorded.has(number)
        ? json(200, this.describe(uploadId))
        : { status: 204 };
    if (!this.uploads.has(uploadId))
      this.begin(uploadId, ' '.repeat(Number(query.get('resumableTotalSize'))), 10, []);
    const { stored, recorded } = this.#state(uploadId);
    stored.set(number, body);
    recorded.add(number);
    return json(200, this.describe(uploadId));
  }

  describe(uploadId: string) {
    const { size, partSize, recorded } = this.#state(uploadId);
    const partCount = Math.ceil(size / partSize);
    return {
      uploadId,
      key: `uploads/${uploadId}`,
      status: recorded.size === partCount ? 'completing' : 'uploading',
      partSize,
      partCount,
      receivedParts: [...recorded].sort((a, b) => a - b).map((part) => [part, part]),
      receivedBytes: 0,
      totalBytes: size,
    };
  }

  #sign(uploadId: string, partNumbers: readonly number[]) {
    return partNumbers.map((partNumber) => ({
      partNumber,
      url: `https://s3.example/${encodeURIComponent(uploadId)}/${partNumber}?X-Amz-Expires=3600&X-Amz-Signature=${++this.#signatures}`,
      size: 10,
      expiresAt: '2026-11-22T12:00:00Z',
    }));
  }
}
