/** What a page remembers of an upload, to offer it again after a reload. The server knows the rest. */
export interface Unfinished {
  readonly identifier: string;
  readonly name: string;
  readonly size: number;
  readonly lastModified: number;
  readonly mode: 'proxy' | 'presigned';
  /** Absent until the server has named it. */
  readonly uploadId?: string;
}

const KEY = 'resumable-uploads:unfinished';

/**
 * Kept in the browser's storage. Another tab may change it at any time: nothing is cached, unless the storage is blocked
 * or full. Then it is kept for as long as the page is open.
 */
export class UnfinishedUploads {
  readonly #storage: () => Pick<Storage, 'getItem' | 'setItem'>;
  #unsaved: readonly Unfinished[] | undefined;

  /** @param storage may throw, as `localStorage` does where it is blocked */
  constructor(storage: () => Pick<Storage, 'getItem' | 'setItem'>) {
    this.#storage = storage;
  }

  list(): readonly Unfinished[] {
    if (this.#unsaved) return this.#unsaved;
    try {
      const stored: unknown = JSON.parse(this.#storage().getItem(KEY) ?? '[]');
      return Array.isArray(stored) ? stored.filter(isUnfinished) : [];
    } catch {
      return []; // Not ours, of another version, or blocked: nothing to offer.
    }
  }

  remember(upload: Unfinished): void {
    this.#save([...this.#without(upload.identifier), upload]);
  }

  forget(identifier: string): void {
    this.#save(this.#without(identifier));
  }

  /** The remembered upload of this file, as far as a file can be told without reading it. */
  find(file: Pick<File, 'name' | 'size' | 'lastModified'>): Unfinished | undefined {
    return this.list().find(
      ({ name, size, lastModified }) =>
        name === file.name && size === file.size && lastModified === file.lastModified,
    );
  }

  #without(identifier: string): Unfinished[] {
    return this.list().filter((upload) => upload.identifier !== identifier);
  }

  #save(uploads: readonly Unfinished[]): void {
    try {
      this.#storage().setItem(KEY, JSON.stringify(uploads));
      this.#unsaved = undefined;
    } catch {
      this.#unsaved = uploads;
    }
  }
}

function isUnfinished(value: unknown): value is Unfinished {
  if (typeof value !== 'object' || value === null) return false;
  const { identifier, name, size, lastModified, mode } = value as Partial<Record<keyof Unfinished, unknown>>;
  return (
    typeof identifier === 'string' &&
    typeof name === 'string' &&
    typeof size === 'number' &&
    typeof lastModified === 'number' &&
    (mode === 'proxy' || mode === 'presigned')
  );
}
