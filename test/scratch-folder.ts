import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

let scratch: string | undefined;

/**
 * One folder for whatever the tests of a run write (clouds, stacks, browser profiles: some gigabytes), removed at its
 * end: also what was left by a process that a test killed.
 */
export default function setUp(): void {
  scratch = mkdtempSync(join(tmpdir(), 'resumable-uploads-'));
  process.env.TMPDIR = scratch;
}

export const tearDown = (): void => {
  if (scratch !== undefined) rmSync(scratch, { recursive: true, force: true, maxRetries: 5 });
};
