import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { get } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import pg from 'pg';
import { Watching } from '../../dist/cli/watching.js';
import { systemClock } from '../../dist/core/clock.js';
import { Dashboard } from '../../dist/dashboard/dashboard.js';
import { Database } from '../../dist/session/database.js';
import { startEmbedded } from '../../test/servers/embedded.ts';
import { plantCrowd } from '../../test/support/crowd.ts';
import { migrate } from '../fencepost.ts';
import type { Work } from '../runner/bench.ts';

const entry = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
const run = promisify(execFile);
const locks = 100;
const commands = [
  ['--version'],
  ['status'],
  ['locks'],
  ['leases'],
  ['leases', '--tenant', 't3', '--name', 'sync'],
  ['leases', '--json', '--limit', '10000'],
  ['waiters'],
  ['waiters', '--json', '--limit', '10000'],
  ['claims'],
  ['elections', 'import:1', 'nobody'],
  ['watch', '--once'],
  ['doctor'],
  ['sweep', '--older-than', '1d', '--yes'],
  ['revoke', 'import:9991', '--tenant', 't31', '--yes'],
  ['release', 'import:9986', '--tenant', 't26', '--force', '--yes'],
];

/** What looking costs, for people. */
export const looking: Work = {
  name: 'looking',
  title: 'Looking: commands, watch, dashboard',
  about: `A server of its own has 10,000 leases, 1,000 waiters in line, 10,000 rows in flight, and ${locks} sessions that wait for one lock. Each command of the command line from its start to its end; then what share of a core the server spends on watch and on a dashboard with five pages open, at a look a second.`,
  async run({ quick, rounds, log }) {
    await using postgres = await startEmbedded({ fsync: true, maxConnections: locks + 60 });
    await migrate({ connection: postgres.url });
    const pool = new pg.Pool({ connectionString: postgres.url, max: locks + 10 });
    pool.on('error', () => {});
    await plantCrowd(pool, { leases: 10_000, waiters: 1_000, tenants: 40, holders: 25 });
    await pool.query(`create table job (id integer primary key, fencepost_token bigint, fencepost_holder uuid,
      fencepost_attempts integer, fencepost_due timestamptz, fencepost_error text)`);
    await pool.query(`insert into job (id, fencepost_holder, fencepost_due) select n,
      ('00000000-0000-4000-8000-' || lpad((1 + n % 25)::text, 12, '0'))::uuid, '-infinity' from generate_series(1, 10000) n`);
    await pool.query(
      'create index on job (fencepost_holder, fencepost_due) where fencepost_holder is not null',
    );
    await pool.query('vacuum analyze');
    // One session holds, and so many wait for it.
    const holder = await pool.connect();
    await holder.query('select pg_advisory_lock(42)');
    const waiting = Array.from({ length: locks }, () =>
      pool.query('select pg_advisory_lock(42), pg_advisory_unlock(42)'),
    );

    log('commands,');
    const times = commands.map((): number[] => []);
    const env = { ...process.env, DATABASE_URL: postgres.url };
    for (let round = 0; round < (quick ? 1 : rounds); round += 1) {
      for (const [index, given] of commands.entries()) {
        const began = performance.now();
        // The doctors end with 3 when they find something.
        await run(process.execPath, [entry, ...given], { env, maxBuffer: 2 ** 28 }).catch((error) => {
          if (error.code !== 3) throw error;
        });
        times[index]?.push(performance.now() - began);
      }
    }

    const seconds = quick ? 2 : 20;
    const as = (application_name: string) => ({ connectionString: postgres.url, application_name });
    log('watch,');
    const database = new Database(as('watch'), 'fencepost', systemClock);
    const watching = new Watching(database, systemClock);
    const ended = new AbortController();
    const looks = (async () => {
      for (; !ended.signal.aborted; await delay(1_000)) await watching.look();
    })();
    const watch = await share(pool, 'watch', seconds);
    ended.abort();
    await looks;
    await database.close();

    log('dashboard');
    const options = { schema: 'fencepost', host: '127.0.0.1', port: 0, refresh: 1_000, share: 0.01 };
    const dashboard = await Dashboard.start(
      { connection: as('dashboard'), ...options, allowRevoke: false, version: '' },
      systemClock,
    );
    for (let page = 0; page < 5; page += 1) {
      get(new URL('/api/stream', dashboard.url), (response) => response.resume().on('error', () => {})).on(
        'error',
        () => {},
      );
    }
    const page = await share(pool, 'dashboard', seconds);
    await dashboard[Symbol.asyncDispose]();
    await holder.query('select pg_advisory_unlock(42)');
    await Promise.all(waiting);
    holder.release();
    await pool.end();

    const common = { better: 'less', across: 'it is', points: ['run'] } as const;
    return [
      {
        id: 'commands',
        title: 'Commands',
        unit: 'ms',
        ...common,
        sides: commands.map((given, index) => ({ name: given.join(' '), figures: [times[index] ?? []] })),
      },
      {
        id: 'looking',
        title: 'Processor time of the server for looks',
        unit: '% of a core',
        ...common,
        sides: [
          { name: 'watch', figures: [[watch]] },
          { name: 'dashboard, five pages', figures: [[page]] },
        ],
      },
    ];
  },
};

/** The share of a core, in percent, that the server spends on an application from now on. */
async function share(pool: pg.Pool, application: string, seconds: number): Promise<number> {
  // The first looks parse and plan.
  await delay(seconds < 5 ? 1_000 : 3_000);
  const before = await used(pool, application);
  const began = performance.now();
  await delay(seconds * 1_000);
  return (((await used(pool, application)) - before) * 100_000) / (performance.now() - began);
}

/** Seconds of processor time that the sessions of an application have used; not known where there is no /proc. */
async function used(pool: pg.Pool, application: string): Promise<number> {
  const { rows } = await pool.query('select pid from pg_stat_activity where application_name = $1', [
    application,
  ]);
  const ticks = rows.map(({ pid }) => {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return Number(fields[11]) + Number(fields[12]);
  });
  return ticks.reduce((sum, one) => sum + one, 0) / 100;
}
