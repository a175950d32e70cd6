/**
 * A primary that is lost again and again while clients hold and acquire, each time with commits that its standby never
 * received: the standby is promoted, and the clients find it at the same address. Replication is asynchronous, so leases
 * that were granted last are gone on the new primary. Even so tokens rise, and nobody writes under an old one.
 */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { Fencepost, type Lease } from '../../src/index.ts';
import { startOwnServer } from '../support/postmaster.ts';
import { startProxy } from '../support/proxy.ts';
import { Random } from '../support/random.ts';
import { type Findings, script } from '../support/script.ts';
import { type Primary, type Standby, startStandby } from '../support/standby.ts';
import { until } from '../support/until.ts';

export interface Promotions {
  promotions: number;
  names: number;
  clients: number;
}

/** What a race may do to the first server before it begins. */
type Prepare = (query: (sql: string, values?: unknown[]) => Promise<unknown>) => Promise<void>;

/** A lease as somebody got it. `era`: how many promotions there had been. */
interface Grant {
  readonly lease: Lease;
  readonly name: string;
  readonly era: number;
}

export async function raceWithPromotions(
  { promotions, names, clients }: Promotions,
  prepare: Prepare = async () => {},
): Promise<Findings> {
  await using first = await startOwnServer({ fsync: false, postgresFlags: ['-c', 'wal_level=replica'] });
  await first.query(`create table public.history (
    seq bigint generated always as identity primary key, name text, token bigint)`);
  await first.query('alter system set wal_keep_size = 256');
  await first.query('select pg_reload_conf()');
  await prepare(first.query);
  await using standbys = new AsyncDisposableStack();
  await using proxy = await startProxy(first.url, () => primary.url);
  let primary: Primary & { query: Standby['query'] } = first;
  let stopPrimary = async (): Promise<void> => void (await first.stop());

  const random = new Random();
  const violations: string[] = [];
  const newest = new Map<string, bigint>();
  const grants: Grant[] = [];
  const counts = { grants: 0, writes: 0, 'old holders refused': 0, 'grants lost': 0 };
  let era = 0;
  let over = false;

  /** A guarded write; refused, or the connection was lost, or it landed: then nobody may have had a greater token. */
  async function write({ lease, name }: Grant, url = proxy.url): Promise<'landed' | 'stale' | 'failed'> {
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => {});
    try {
      await client.connect();
      await client.query('begin');
      await lease.guard(client);
      await client.query('insert into public.history (name, token) values ($1, $2)', [
        name,
        String(lease.token),
      ]);
      await client.query('commit');
      counts.writes += 1;
      return 'landed';
    } catch (error) {
      return error instanceof Error && 'code' in error && error.code === 'STALE_TOKEN' ? 'stale' : 'failed';
    } finally {
      await client.end().catch(() => {});
    }
  }

  const working = Array.from({ length: clients }, async () => {
    // The same client all the time. A release that was lost with the old primary leaves the lease with its holder, which
    // lives on: unless that notices, nobody else gets it.
    await using fencepost = new Fencepost({ connection: proxy.url });
    while (!over) {
      const name = `name ${random.below(names)}`;
      const before = newest.get(name) ?? 0n;
      const lease = await fencepost.leases
        .tryAcquire(name, { ttl: '1s', renew: random.below(2) === 0 })
        .catch(() => null);
      if (lease === null) {
        await delay(2);
        continue;
      }
      counts.grants += 1;
      if (lease.token <= before)
        violations.push(`${name}: token ${lease.token} after ${before} (seed ${random.seed})`);
      if (lease.token > (newest.get(name) ?? 0n)) newest.set(name, lease.token);
      const grant = { lease, name, era };
      grants.push(grant);
      await write(grant);
      // Some are held for a while, perhaps until the primary is lost, and beyond.
      if (random.below(8) === 0)
        void delay(300, undefined, { ref: false })
          .then(() => lease.release())
          .catch(() => {});
      else await lease.release().catch(() => {});
    }
  });

  try {
    for (; era < promotions; ) {
      const standby: Standby = standbys.use(await startStandby(primary));
      const enough = counts.grants + 20;
      await until('grants that the standby has', () => counts.grants > enough, 30_000);
      await standby.cutOff();
      // More than the 32 values that a sequence is ahead of itself in the WAL.
      const lost = counts.grants + 100;
      await until('grants that it never gets', () => counts.grants > lost, 30_000);
      await check(primary.query, violations);
      const [behind] = await lag(primary, standby);
      counts['grants lost'] += behind;
      proxy.cut();
      await stopPrimary();
      await standby.promote();
      const old = grants.splice(0);
      primary = standby;
      stopPrimary = async () => standby[Symbol.asyncDispose]();
      era += 1;
      const again = new Set(newest.keys());
      await until(
        'grants on the new primary',
        () => {
          for (const { name, era: when } of grants) if (when === era) again.delete(name);
          return again.size === 0;
        },
        30_000,
      );
      // By now every resource has a newer holder.
      for (const grant of old.slice(-60)) {
        const outcome = await write(grant, primary.url);
        if (outcome === 'stale') counts['old holders refused'] += 1;
        else
          violations.push(
            `${grant.name}: a write with token ${grant.lease.token} ${outcome}, promotion ${era} (seed ${random.seed})`,
          );
      }
    }
    await check(primary.query, violations);
  } finally {
    over = true;
    await Promise.all(working);
  }
  return { figures: { promotions: era, ...counts }, violations };
}

/** How many grants the standby lacks. */
async function lag(primary: { query: Standby['query'] }, standby: Standby): Promise<[number]> {
  const sum =
    'select sum(token & ((1::bigint << 44) - 1))::bigint as sum, max(seq)::int as seq from (select token, 0 as seq from fencepost.lease union all select 0, seq from public.history) t';
  const [[there], [here]] = await Promise.all([primary.query(sum), standby.query(sum)]);
  return [Number(there?.seq) - Number(here?.seq)];
}

/** What was written under the guard, in its order. */
async function check(query: Standby['query'], violations: string[]): Promise<void> {
  const rows = await query(`select * from (
    select seq, name, token, max(token) over (partition by name order by seq rows between unbounded preceding and 1 preceding) as before
    from public.history) h where token < before`);
  violations.push(...rows.map((row) => `an old holder has written: ${JSON.stringify(row)}`));
}

await script(import.meta, { promotions: 50, names: 6, clients: 4 }, (_, numbers) =>
  raceWithPromotions(numbers),
);
