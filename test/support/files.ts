import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type SourceFile, sourceFile } from './clients.ts';

/** A file that a browser can be given. */
export interface DiskFile extends SourceFile {
  readonly path: string;
}

/** A folder of files for one suite. */
export class FileFolder {
  readonly #dir = mkdtempSync(join(tmpdir(), 'uploads-files-'));
  #files = 0;

  /** Random bytes, each under a name of its own. */
  add(size: number, name?: string): DiskFile {
    const file = sourceFile(size, name);
    const dir = join(this.#dir, String(this.#files++));
    mkdirSync(dir);
    const path = join(dir, file.name);
    writeFileSync(path, file.bytes);
    return { ...file, path };
  }

  remove(): void {
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
