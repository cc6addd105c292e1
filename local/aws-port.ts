import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

/**
 * Listens on loopback, on the port of the folder's last start where no other is asked for: S3's address does not
 * change while an upload is under way, and URLs signed before a restart name it.
 *
 * @param port 0 leaves the choice to the folder, and then to the system
 * @returns the port
 */
export async function listenOnSamePort(server: Server, port: number, dir: string): Promise<number> {
  const file = join(dir, 'aws-port');
  const last = existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0;
  if (port !== 0 || !(await listenAgain(server, last))) await listen(server, port);
  const chosen = (server.address() as AddressInfo).port;
  writeFileSync(file, `${chosen}\n`);
  return chosen;
}

const PATIENCE_MS = 5_000;

/** A connection going out may hold the port for a moment between two starts; another server keeps it. */
async function listenAgain(server: Server, port: number): Promise<boolean> {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      await listen(server, port);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
      if (Date.now() > end) return false;
      await pause(100);
    }
  }
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      server.off('error', reject);
      resolve();
    });
  });
}
