/**
 * What it costs to hold leases: so many of one process, on its one heartbeat, for a while. Counts transactions and bytes
 * of WAL on the server, and processor time of this process; with `--churn` leases are acquired and released meanwhile, so
 * many a second, and the share of HOT updates and the size of the table are told.
 *
 *   npm run bench:held -- [--held 100000] [--ttl 30s] [--seconds 60] [--churn 0]
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { type Duration, Fencepost, type Lease } from '../src/index.ts';
import { migrate } from '../src/migrate.ts';
import { startEmbedded } from '../test/servers/embedded.ts';
import { machine } from './sides.ts';

const { values } = parseArgs({
  options: {
    held: { type: 'string', default: '100000' },
    ttl: { type: 'string', default: '30s' },
    seconds: { type: 'string', default: '60' },
    churn: { type: 'string', default: '0' },
  },
});
const [held, seconds, churn] = [Number(values.held), Number(values.seconds), Number(values.churn)];

await using postgres = await startEmbedded({ fsync: true });
await migrate({ connection: postgres.url });
await using fencepost = new Fencepost({ connection: postgres.url });
const client = new pg.Client(postgres.url);
await client.connect();

const options = { ttl: values.ttl as Duration };
const acquire = (name: string): Promise<Lease> => fencepost.leases.acquire({ tenant: 'held', name }, options);
const leases = await Promise.all(Array.from({ length: held }, (_, n) => acquire(`lease ${n}`)));
let lost = 0;
for (const { signal } of leases.slice(0, 1_000)) signal.addEventListener('abort', () => (lost += 1));
await client.query('vacuum (analyze) fencepost.lease');
await client.query('checkpoint');

interface Counters {
  wal: number;
  transactions: number;
  updates: number;
  hot: number;
  size: number;
}

async function counters(): Promise<Counters> {
  const { rows } = await client.query(`
    select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8 as wal, xact_commit::float8 as transactions,
      n_tup_upd::float8 as updates, n_tup_hot_upd::float8 as hot, pg_total_relation_size('fencepost.lease')::float8 as size
    from pg_stat_database, pg_stat_user_tables where datname = current_database() and relname = 'lease'`);
  return rows[0];
}

// The counters of a session are told when it has been idle for a second.
await delay(2_000);
const before = await counters();
const processor = process.cpuUsage();
const started = performance.now();
let round = 0;
let longest = 0;
while (performance.now() - started < seconds * 1_000) {
  if (churn > 0) {
    const batch = await Promise.all(
      Array.from({ length: churn / 10 }, (_, n) => acquire(`churn ${round % 10} ${n}`)),
    );
    await Promise.all(batch.map((lease) => lease.release()));
    round += 1;
  }
  const due = performance.now() + 100;
  await delay(100);
  longest = Math.max(longest, performance.now() - due);
}
const { user, system } = process.cpuUsage(processor);
const took = (performance.now() - started) / 1_000;
await delay(2_000);
const after = await counters();
const state = leases.every((lease) => lease.state === 'held') ? 'all held' : 'NOT all held';
const closing = performance.now();
await fencepost.close();
console.log(
  [
    `${held} leases with ttl ${values.ttl} for ${Math.round(took)} s, ${churn} others a second: ${state}, ${lost} signals`,
    `  transactions a second  ${((after.transactions - before.transactions) / took).toFixed(2)}`,
    `  WAL bytes a second     ${Math.round((after.wal - before.wal) / took)}`,
    `  client                 ${((user + system) / 10_000 / took).toFixed(2)} % of a core, longest delay of a timer ${longest.toFixed(0)} ms`,
    ...(churn === 0
      ? []
      : [
          `  HOT updates            ${(((after.hot - before.hot) / (after.updates - before.updates)) * 100).toFixed(1)} %`,
          `  table                  ${Math.round(before.size / 1024)} kB, then ${Math.round(after.size / 1024)} kB`,
        ]),
    `  closed in              ${Math.round(performance.now() - closing)} ms`,
    `${postgres.description}; ${machine}`,
  ].join('\n'),
);
await client.end();
