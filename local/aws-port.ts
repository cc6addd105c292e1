import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

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
  try {
    await listen(server, port || last);
  } catch (error) {
    const isTaken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
    if (port !== 0 || last === 0 || !isTaken) throw error;
    await listen(server, 0);
  }
  const chosen = (server.address() as AddressInfo).port;
  writeFileSync(file, `${chosen}\n`);
  return chosen;
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
