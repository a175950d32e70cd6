/**
 * What looking costs on a server with 10,000 leases and 1,000 waiters: how long each command takes from its start to its
 * end, and what share of a core the server spends on `watch` and on a dashboard with a page open, at a look a second.
 *
 *   npm run bench:commands -- [--leases 10000] [--waiters 1000] [--locks 100] [--runs 5] [--seconds 30]
 */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { cpus } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import pg from 'pg';
import { Watching } from '../src/cli/watching.ts';
import { systemClock } from '../src/core/clock.ts';
import { Dashboard } from '../src/dashboard/dashboard.ts';
import { migrate } from '../src/migrate.ts';
import { Database } from '../src/session/database.ts';
import { startEmbedded } from '../test/servers/embedded.ts';
import { plantCrowd } from '../test/support/crowd.ts';

const { values } = parseArgs({
  options: {
    leases: { type: 'string', default: '10000' },
    waiters: { type: 'string', default: '1000' },
    locks: { type: 'string', default: '100' },
    runs: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '30' },
  },
});
const [leases, waiters, locks] = [Number(values.leases), Number(values.waiters), Number(values.locks)];
const [runs, seconds] = [Number(values.runs), Number(values.seconds)];

await using postgres = await startEmbedded({ fsync: true, maxConnections: locks + 60 });
await migrate({ connection: postgres.url });
const pool = new pg.Pool({ connectionString: postgres.url, max: locks + 10 });
await plantCrowd(pool, { leases, waiters, tenants: 40, holders: 25 });
await pool.query(`create table job (id integer primary key, fencepost_token bigint, fencepost_holder uuid,
  fencepost_attempts integer, fencepost_due timestamptz, fencepost_error text)`);
await pool.query(`insert into job (id, fencepost_holder, fencepost_due)
  select n, (array(select id from fencepost.holder))[1 + n % 25], '-infinity' from generate_series(1, 10000) n`);
await pool.query('create index on job (fencepost_holder, fencepost_due) where fencepost_holder is not null');
await pool.query('vacuum analyze');
// One session holds, and so many wait for it.
const holder = await pool.connect();
await holder.query('select pg_advisory_lock(42)');
const waiting = Array.from({ length: locks }, () =>
  pool.query('select pg_advisory_lock(42), pg_advisory_unlock(42)'),
);
for (let there = -1; there < locks; await delay(100)) {
  const { rows } = await holder.query('select count(*)::integer as there from pg_locks where not granted');
  there = rows[0].there;
}

const entry = fileURLToPath(new URL('../dist/cli.js', import.meta.url));
const run = promisify(execFile);

/** Milliseconds from the start of the process to its end; the median. */
async function time(given: readonly string[]): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < runs; round += 1) {
    const began = performance.now();
    const env = { ...process.env, DATABASE_URL: postgres.url };
    // The doctors end with 3 when they find something.
    await run(process.execPath, [entry, ...given], { env, maxBuffer: 2 ** 28 }).catch((error) => {
      if (error.code !== 3) throw error;
    });
    times.push(performance.now() - began);
  }
  return times.sort((one, other) => one - other)[Math.floor(runs / 2)] ?? Number.NaN;
}

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
console.log(
  `${leases} leases, ${waiters} in line, ${locks} wait for one lock; ${postgres.description}; ${cpus().length} x ${cpus()[0]?.model.trim()}\n`,
);
console.log('command                                  ms, median of', runs);
for (const given of commands) console.log(given.join(' ').padEnd(40), (await time(given)).toFixed(0));

/** Clock ticks of user and system time that the server processes of `application` have used. */
async function ticks(application: string): Promise<number> {
  const { rows } = await pool.query<{ pid: number }>(
    'select pid from pg_stat_activity where application_name = $1',
    [application],
  );
  return rows.reduce((sum, { pid }) => {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return sum + Number(fields[11]) + Number(fields[12]);
  }, 0);
}

/** The share of a core, in percent, that the server spends on `application` from now on. */
async function share(application: string): Promise<string> {
  // The first looks parse and plan.
  await delay(3_000);
  const before = await ticks(application);
  const began = performance.now();
  await delay(seconds * 1_000);
  const used = ((await ticks(application)) - before) / 100;
  return `${((used * 100_000) / (performance.now() - began)).toFixed(2)} % of a core`;
}

const as = (application_name: string) => ({ connectionString: postgres.url, application_name });
console.log(`\nthe server spends, over ${seconds} s, at a look a second`);
{
  const database = new Database(as('watch'), 'fencepost', systemClock);
  const watching = new Watching(database, systemClock);
  const ended = new AbortController();
  const looking = (async () => {
    for (; !ended.signal.aborted; await delay(1_000)) await watching.look();
  })();
  console.log('watch     ', await share('watch'));
  ended.abort();
  await looking;
  await database.close();
}
{
  const options = { schema: 'fencepost', host: '127.0.0.1', port: 0, refresh: 1_000, share: 0.01 };
  await using dashboard = await Dashboard.start(
    { connection: as('dashboard'), ...options, allowRevoke: false, version: '' },
    systemClock,
  );
  const pages = Array.from({ length: 5 }, () => get(new URL('/api/stream', dashboard.url)));
  let bytes = 0;
  for (const page of pages) {
    const [response] = (await once(page, 'response')) as [IncomingMessage];
    response.on('data', (chunk: Buffer) => (bytes += chunk.length)).on('error', () => {});
    page.on('error', () => {});
  }
  const processor = process.cpuUsage();
  console.log('dashboard ', await share('dashboard'), `with ${pages.length} pages open;`);
  const { user, system } = process.cpuUsage(processor);
  console.log(
    `           itself ${((user + system) / 10_000 / (seconds + 3)).toFixed(2)} % of a core,`,
    `${Math.round(bytes / pages.length / (seconds + 3) / 1_024)} kB a second to each page`,
  );
}
await holder.query('select pg_advisory_unlock(42)');
await Promise.all(waiting);
holder.release();
await pool.end();
