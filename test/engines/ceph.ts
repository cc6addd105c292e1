import { execFile } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort, spawnTied, type TiedProcess, waitUntil } from './tied-process.ts';

const run = promisify(execFile);

/** Where each program that the gateway needs comes from, in Debian. */
const packages: Record<string, string> = {
  'ceph-mon': 'ceph-mon',
  'ceph-osd': 'ceph-osd',
  radosgw: 'radosgw',
  'radosgw-admin': 'radosgw',
  ceph: 'ceph-common',
  'ceph-authtool': 'ceph-common',
  monmaptool: 'ceph-common',
};

export interface Ceph {
  readonly endpoint: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Kills the processes and removes their files. */
  stop(): Promise<void>;
}

/**
 * Starts a Ceph RADOS Gateway, an S3 of production quality: one monitor, one storage daemon in memory, one
 * gateway, all on loopback. Takes some 10 to 20 s.
 *
 * @throws Error naming the Debian packages that are missing
 */
export async function startCeph(): Promise<Ceph> {
  await requirePrograms();
  const scratch = mkdtempSync(join(tmpdir(), 'ceph-'));
  const processes: TiedProcess[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(processes.map((process) => process.stop()));
    await rm(scratch, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const [monitorPort, gatewayPort] = await Promise.all([freePort(), freePort()]);
    const configuration = join(scratch, 'ceph.conf');
    const keyring = join(scratch, 'keyring');
    const fsid = randomUUID();
    await writeFile(configuration, cephConfiguration({ scratch, fsid, monitorPort, gatewayPort }));
    for (const folder of ['data/mon', 'data/osd', 'data/rgw', 'run']) {
      mkdirSync(join(scratch, folder), { recursive: true });
    }

    const tool = (program: string, ...args: string[]): Promise<unknown> =>
      run(program, ['-c', configuration, ...args], { timeout: 60_000 });
    const daemon = (program: string, ...args: string[]): void => {
      processes.push(spawnTied(program, [program, '-f', '-c', configuration, ...args], { scratch }));
    };
    /** What a daemon that ends says is the reason, not what then waits for it in vain. */
    const whileAllRun = <T>(work: Promise<T>): Promise<T> =>
      Promise.race([work, ...processes.map(({ failed }) => failed)]);
    /** Refused (EPERM) by a monitor that has just begun, or that the tool has not got to know yet: asked again. */
    const command = (...args: string[]): Promise<void> => {
      const done = () =>
        tool('ceph', '--connect-timeout', '5', ...args)
          .then(() => true)
          .catch(() => false);
      return whileAllRun(waitUntil(`ceph ${args.join(' ')}`, done, 60_000));
    };

    await run('ceph-authtool', [
      '--create-keyring',
      keyring,
      '--gen-key',
      '-n',
      'mon.',
      '--cap',
      'mon',
      'allow *',
    ]);
    const allow = ['mon', 'osd', 'mgr', 'mds'].flatMap((service) => ['--cap', service, 'allow *']);
    await run('ceph-authtool', [keyring, '--gen-key', '-n', 'client.admin', ...allow]);
    const monitorMap = join(scratch, 'monmap');
    await run('monmaptool', [
      '--create',
      '--addv',
      'a',
      `[v1:127.0.0.1:${monitorPort}]`,
      '--fsid',
      fsid,
      monitorMap,
    ]);
    await tool('ceph-mon', '--mkfs', '-i', 'a', '--monmap', monitorMap, '--keyring', keyring);
    daemon('ceph-mon', '-i', 'a');

    const storage = randomUUID();
    await command('osd', 'new', storage);
    await tool('ceph-osd', '-i', '0', '--mkfs', '--osd-uuid', storage);
    daemon('ceph-osd', '-i', '0');
    await command('osd', 'crush', 'add', 'osd.0', '1', 'root=default', 'host=localhost');

    daemon('radosgw', '-n', 'client.admin');
    const endpoint = `http://127.0.0.1:${gatewayPort}`;
    const answers = async (): Promise<boolean> => {
      try {
        return (await fetch(endpoint)).status === 200;
      } catch {
        return false;
      }
    };
    await whileAllRun(waitUntil('the gateway answering', answers, 90_000));

    const accessKeyId = randomBytes(10).toString('hex').toUpperCase();
    const secretAccessKey = randomBytes(20).toString('hex');
    await tool(
      'radosgw-admin',
      'user',
      'create',
      '--uid=test',
      '--display-name=test',
      `--access-key=${accessKeyId}`,
      `--secret-key=${secretAccessKey}`,
    );
    return { endpoint, accessKeyId, secretAccessKey, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function requirePrograms(): Promise<void> {
  const missing = new Set<string>();
  for (const [program, source] of Object.entries(packages)) {
    try {
      await run('sh', ['-c', 'command -v "$1"', 'sh', program]);
    } catch {
      missing.add(source);
    }
  }
  if (missing.size > 0) {
    throw new Error(
      `Ceph is not installed: apt-get install --no-install-recommends ${[...missing].join(' ')}`,
    );
  }
}

/**
 * The storage daemon does not say where it stands when it starts: it says so before it has heard the cluster's id, and
 * one start in ten then ends with "wrong fsid". It is told instead (`osd crush add`).
 */
const cephConfiguration = (options: {
  readonly scratch: string;
  readonly fsid: string;
  readonly monitorPort: number;
  readonly gatewayPort: number;
}): string => `[global]
fsid = ${options.fsid}
mon host = v1:127.0.0.1:${options.monitorPort}
ms bind msgr2 = false
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd crush chooseleaf type = 0
osd crush update on start = false
osd class update on start = false
mon allow pool size one = true
mon max pg per osd = 2000
osd objectstore = memstore
memstore device bytes = 8589934592
mon data = ${options.scratch}/data/mon
osd data = ${options.scratch}/data/osd
osd journal = ${options.scratch}/data/osd-journal
rgw data = ${options.scratch}/data/rgw
run dir = ${options.scratch}/run
pid file = ${options.scratch}/run/$name.pid
admin socket = ${options.scratch}/run/$name.asok
log to file = false
log to stderr = true
mon cluster log file = ${options.scratch}/cluster.log
crash dir = ${options.scratch}/run
keyring = ${options.scratch}/keyring
rgw frontends = beast endpoint=127.0.0.1:${options.gatewayPort}
`;
