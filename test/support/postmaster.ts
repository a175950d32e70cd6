import { execFile } from 'node:child_process';
import { statSync } from 'node:fs';
import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { migrate } from '../../src/migrate.ts';
import type { ServerOptions } from '../../src/testing/servers/supervise.ts';
import { findBuild } from '../servers/build.ts';
import { startEmbedded } from '../servers/embedded.ts';
import { until } from './until.ts';

const run = promisify(execFile);

/** A server of one test, that the test may crash, stop and turn into a standby. */
export interface OwnServer extends AsyncDisposable {
  readonly url: string;
  /** Statements go on a connection of their own, so that it does not matter what happened to the one before. */
  query<Row extends pg.QueryResultRow = pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>;
  /** Kills one backend: the server throws away its shared memory, ends every session and recovers from its WAL. */
  crash(): Promise<void>;
  /** Stops it, gently or not, and starts it again. */
  restart(mode: 'fast' | 'immediate', environment?: Record<string, string>): Promise<void>;
  /** Lets clients from these addresses in, with the password. */
  admit(addresses: string): Promise<void>;
  /** Ends it at once; only `restart` brings it back. */
  stop(): Promise<void>;
  /** Stops all of its processes where they are: it takes connections, and answers nothing. */
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  /** Starts it again as a standby that nobody feeds. */
  becomeStandby(): Promise<void>;
}

export async function startOwnServer(options: ServerOptions = {}): Promise<OwnServer> {
  const version = Number(process.env.FENCEPOST_TEST_VERSION || 18);
  const server = await startEmbedded({ version, ...options });
  await migrate({ connection: server.url });
  const [row] = await query<{ data: string }>(server.url, `select current_setting('data_directory') as data`);
  const data = row?.data ?? '';
  const { uid, gid } = statSync(data);
  const build = await findBuild(version);
  const pgCtl = join(dirname(build.postgres), 'pg_ctl');
  let restarted = false;

  const identity = process.getuid?.() === 0 ? { uid, gid } : {};
  const control = async (args: readonly string[], environment = {}): Promise<void> => {
    const env = { ...process.env, ...environment };
    await run(pgCtl, ['-D', data, '-s', '-w', ...args], { ...identity, env, cwd: dirname(data) });
  };
  // It writes to a file: nobody reads the pipe of the process that started it first.
  const restart = async (mode: string, environment?: Record<string, string>): Promise<void> => {
    restarted = true;
    await control(['-m', mode, '-l', join(data, 'restarted.log'), 'restart'], environment);
  };
  const signal = async (name: NodeJS.Signals): Promise<void> => {
    const [postmaster = ''] = (await readFile(join(data, 'postmaster.pid'), 'utf8')).split('\n');
    const children = async (): Promise<string[]> =>
      (await readFile(`/proc/${postmaster}/task/${postmaster}/children`, 'utf8')).split(' ').filter(Boolean);
    // The one that makes others first; after it nobody is added.
    process.kill(Number(postmaster), name);
    for (const child of await children()) {
      try {
        process.kill(Number(child), name);
      } catch {
        // A worker of the server that has just ended.
      }
    }
  };
  return {
    url: server.url,
    query: (text, values) => query(server.url, text, values),
    async crash() {
      // It may still be on its way back from the last crash.
      const open = async (): Promise<pg.Client | null> => {
        const client = new pg.Client({ connectionString: server.url });
        client.on('error', () => {});
        return client.connect().then(
          () => client,
          () => null,
        );
      };
      const victim = await until('a connection', open);
      // Ends when the server has noticed.
      const witness = await until('a connection', open);
      const ended = [victim, witness].map((client) => new Promise((resolve) => client.once('end', resolve)));
      const { rows } = await victim.query<{ pid: number }>('select pg_backend_pid() as pid');
      process.kill(rows[0]?.pid ?? 0, 'SIGKILL');
      await Promise.all(ended);
    },
    restart,
    async admit(addresses) {
      await appendFile(join(data, 'pg_hba.conf'), `host all all ${addresses} scram-sha-256\n`);
      await query(server.url, 'select pg_reload_conf()');
    },
    async stop() {
      restarted = false;
      await control(['-m', 'immediate', 'stop']);
    },
    freeze: () => signal('SIGSTOP'),
    thaw: () => signal('SIGCONT'),
    async becomeStandby() {
      await writeFile(join(data, 'standby.signal'), '');
      await restart('fast');
    },
    async [Symbol.asyncDispose]() {
      // The process that was started first looks after the first server only.
      if (restarted) await control(['-m', 'immediate', 'stop']);
      await server.stop();
    },
  };
}

async function query<Row extends pg.QueryResultRow>(
  url: string,
  text: string,
  values?: unknown[],
): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  try {
    return (await client.query<Row>(text, values)).rows;
  } finally {
    await client.end();
  }
}
