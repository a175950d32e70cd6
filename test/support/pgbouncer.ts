import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { until } from './until.ts';

/** A PgBouncer between a test and its database. */
export interface Pooler extends AsyncDisposable {
  readonly url: string;
}

/** Where Debian puts it is not on the path of ordinary users. */
const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };

export const pgbouncerFound = ((): boolean => {
  try {
    execFileSync('pgbouncer', ['--version'], { stdio: 'ignore', env });
    return true;
  } catch {
    console.info('No pgbouncer on the path: the tests through it do not run.');
    return false;
  }
})();

/** Starts one with very few server connections, so that in transaction mode clients do get each other's. */
export async function startPgbouncer(
  target: string,
  poolSize = 3,
  mode: 'transaction' | 'session' = 'transaction',
): Promise<Pooler> {
  const { hostname, port, username, password, pathname } = new URL(target);
  const folder = mkdtempSync(join(tmpdir(), 'fencepost-pooler-'));
  chmodSync(folder, 0o755);
  const listen = await freePort();
  const server = `host=${hostname} port=${port || 5432} user=${decodeURIComponent(username)}`;
  const settings = {
    listen_addr: '127.0.0.1',
    listen_port: listen,
    unix_socket_dir: '',
    auth_type: 'any',
    pool_mode: mode,
    default_pool_size: poolSize,
    // A client that connects looks at its session before it works; this makes the next one be another.
    server_round_robin: 1,
    ignore_startup_parameters: 'extra_float_digits',
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`);
  const file = join(folder, 'pgbouncer.ini');
  const databases = `* = ${server} password=${decodeURIComponent(password)}`;
  writeFileSync(file, `[databases]\n${databases}\n[pgbouncer]\n${lines.join('\n')}\n`);
  // It refuses to run as root.
  const identity = process.getuid?.() === 0 ? ['-u', 'nobody'] : [];
  const bouncer: ChildProcess = spawn('pgbouncer', [...identity, file], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env,
  });
  let log = '';
  bouncer.stderr?.on('data', (chunk: Buffer) => {
    log = (log + chunk.toString()).slice(-4_000);
  });
  const url = `postgresql://pooled@127.0.0.1:${listen}${pathname}`;
  await until(`PgBouncer\n${log}`, () => answers(url));
  return {
    url,
    async [Symbol.asyncDispose]() {
      const ended = once(bouncer, 'exit');
      bouncer.kill('SIGKILL');
      await ended;
      rmSync(folder, { recursive: true });
    },
  };
}

async function answers(connectionString: string): Promise<boolean> {
  const client = new pg.Client({ connectionString });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query('select 1');
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => {});
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}
