import { execFile } from 'node:child_process';
import { statSync } from 'node:fs';
import { appendFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type pg from 'pg';
import { findBuild } from '../servers/build.ts';
import { connect } from './clients.ts';
import { until } from './until.ts';

const run = promisify(execFile);

/** What a standby can be made of: any server of a test that was started with `wal_level=replica`. */
export interface Primary {
  readonly url: string;
}

/** A streaming standby of its own, a copy of a running primary, which can become one itself. */
export interface Standby extends AsyncDisposable, Primary {
  /** What the primary calls it. */
  readonly name: string;
  query<Row extends pg.QueryResultRow = pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>;
  /** Receives nothing more from its primary: from now on it lags. */
  cutOff(): Promise<void>;
  /** Ends when it takes writes. */
  promote(): Promise<void>;
  stop(): Promise<void>;
  start(): Promise<void>;
}

let made = 0;

/** Copies the data of the primary while it runs, and ends when the copy follows it. */
export async function startStandby(primary: Primary, fsync = false): Promise<Standby> {
  made += 1;
  const name = `standby_${made}`;
  await using clients = await connect(primary, 1);
  const [client] = clients;
  const { rows } = await client.query(
    `select current_setting('data_directory') as data, current_setting('server_version_num')::int / 10000 as version`,
  );
  const { data: source, version } = rows[0];
  const { uid, gid } = statSync(source);
  const data = join(dirname(source), name);
  const root = process.getuid?.() === 0;
  const as = { ...(root ? { uid, gid } : {}), cwd: dirname(source) };
  const pgCtl = join(dirname((await findBuild(version)).postgres), 'pg_ctl');
  const control = async (...args: string[]): Promise<void> =>
    void (await run(pgCtl, ['-D', data, '-s', '-w', ...args], as));

  await client.query(
    `select ${version > 14 ? 'pg_backup_start' : 'pg_start_backup'}('copy', true${version > 14 ? '' : ', false'})`,
  );
  // A running server removes files under the copy's hands.
  await run('cp', ['-a', source, data]).catch(() => {});
  const { rows: stopped } = await client.query(
    version > 14
      ? 'select labelfile from pg_backup_stop(false)'
      : 'select labelfile from pg_stop_backup(false, false)',
  );
  await rm(join(data, 'postmaster.pid'), { force: true });
  await rm(join(data, 'postmaster.opts'), { force: true });
  await writeFile(join(data, 'backup_label'), stopped[0].labelfile);
  await writeFile(join(data, 'standby.signal'), '');
  const { hostname, port: primaryPort, password } = new URL(primary.url);
  const port = await freePort();
  await appendFile(
    join(data, 'postgresql.auto.conf'),
    `
port = ${port}
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
ssl = off
max_connections = 200
wal_level = replica
wal_keep_size = '64MB'
hot_standby = on
fsync = ${fsync ? 'on' : 'off'}
synchronous_standby_names = ''
primary_conninfo = 'host=${hostname} port=${primaryPort} user=postgres password=${password} application_name=${name}'
`,
  );
  if (root) await run('chown', ['-R', `${uid}:${gid}`, data]);
  const url = new URL(primary.url);
  url.port = String(port);
  const query: Standby['query'] = async (text, values) => {
    await using own = await connect({ url: url.href }, 1);
    return (await own[0].query(text, values)).rows;
  };
  let running = false;
  const start = async (): Promise<void> => {
    await control('-l', join(data, 'standby.log'), 'start');
    running = true;
  };
  const stop = async (): Promise<void> => {
    running = false;
    await control('-m', 'immediate', 'stop');
  };
  await start();
  await until('a standby that follows', async () => {
    const { rows: following } = await client.query(
      `select from pg_stat_replication where application_name = $1 and state = 'streaming'`,
      [name],
    );
    return following.length === 1;
  });
  return {
    name,
    url: url.href,
    query,
    start,
    stop,
    async cutOff() {
      await query(`alter system set primary_conninfo = ''`);
      await query('select pg_reload_conf()');
      await until('no receiver', async () => (await query('select from pg_stat_wal_receiver')).length === 0);
    },
    async promote() {
      await query('select pg_promote()');
      await until('a primary', async () => {
        const [row] = await query<{ standby: boolean }>('select pg_is_in_recovery() as standby');
        return row?.standby === false;
      });
    },
    async [Symbol.asyncDispose]() {
      if (running) await stop();
      await rm(data, { recursive: true, force: true });
    },
  };
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => probe.once('listening', resolve));
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}
