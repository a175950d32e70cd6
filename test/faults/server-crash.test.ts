import { Fencepost, type Lease } from 'fencepost';
import { expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { rounds, tell, within } from '../support/figures.ts';
import { plant } from '../support/plant.ts';
import { type OwnServer, startOwnServer } from '../support/postmaster.ts';
import { Random } from '../support/random.ts';
import { until } from '../support/until.ts';

/** Asynchronous commits reach the WAL as late as the server allows: what a crash takes away shows. */
const lazyWal = ['-c', 'wal_writer_delay=10s', '-c', 'wal_writer_flush_after=1GB', '-c', 'autovacuum=off'];

/** Acquires and releases until the server is crashed in the middle of it, again and again; what had been acknowledged and is gone. */
async function crashInTheMiddle(server: OwnServer, rounds: number): Promise<string[]> {
  await using fencepost = new Fencepost({ connection: server.url });
  const random = new Random();
  const newest = new Map<string, bigint>();
  const complaints: string[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const held = new Map<string, Lease>();
    let crashed = false;
    const workers = Array.from({ length: 8 }, async (_, worker) => {
      while (!crashed) {
        const key = `${worker} ${random.below(3)}`;
        const lease = await fencepost.leases.tryAcquire(key, { ttl: '20s' }).catch(() => null);
        if (lease === null) continue;
        if (lease.token <= (newest.get(key) ?? 0n))
          complaints.push(`${key}: ${lease.token} after ${newest.get(key)}`);
        newest.set(key, lease.token);
        held.set(key, lease);
        if (crashed || random.below(2) === 0) continue;
        held.delete(key);
        await lease.release().catch(() => {});
      }
    });
    await until('some grants', () => held.size > random.below(12));
    await server.crash();
    crashed = true;
    await Promise.all(workers);
    const rows = await until('the server', () =>
      server
        .query<{ name: string; token: string; held: boolean }>('select * from fencepost.leases')
        .catch(() => null),
    );
    const kept = new Set(rows.filter((row) => row.held).map(({ name, token }) => `${name} ${token}`));
    for (const [key, lease] of held) {
      const what = `${key} ${lease.token}`;
      if (!kept.has(what))
        complaints.push(`${what} was acknowledged and is gone (seed ${random.seed}, round ${round})`);
      if (lease.state === 'lost') complaints.push(`${what} was lost although the server came back in time`);
    }
    await Promise.all([...held.values()].map((lease) => lease.release()));
  }
  return complaints;
}

test('no lease that was acknowledged is lost in a crash, and tokens rise, whatever synchronous_commit is by default', {
  ...within(60_000),
  tags: ['F16', 'F17', 'F18'],
}, async () => {
  await using server = await startOwnServer({ postgresFlags: lazyWal });
  await server.query('alter database postgres set synchronous_commit = off');
  expect(await crashInTheMiddle(server, rounds(3))).toEqual([]);
  tell({ crashes: rounds(3) });
  // The same without a synchronous commit, to see that it would show.
  await plant(server.query, 'durable', ["('off', 'local', 'remote_write')", "('none')"]);
  expect(await crashInTheMiddle(server, 2)).not.toEqual([]);
});

test.each(['off', 'local', 'remote_write', 'on', 'remote_apply'])(
  'each change of a lease and of a holder commits no weaker than on, where the default is %s',
  { tags: ['F18'] },
  async (setting) => {
    await using database = await createDatabase();
    await database.query(`alter database ${database.name} set synchronous_commit = ${setting}`);
    // A deferred trigger runs at the commit, with the settings that the commit has.
    await database.query(`
      create table public.committed (what text, setting text);
      create function public.record_commit() returns trigger language plpgsql as $$
      begin
        insert into public.committed values (tg_op || ' ' || tg_table_name, current_setting('synchronous_commit'));
        return null;
      end $$;
      create constraint trigger record_commit after insert or update or delete on fencepost.lease
        deferrable initially deferred for each row execute function public.record_commit();
      create constraint trigger record_commit after insert or update or delete on fencepost.holder
        deferrable initially deferred for each row execute function public.record_commit()`);
    {
      await using fencepost = new Fencepost({ connection: database.url });
      await using living = await fencepost.leases.acquire('a', { ttl: '1s' });
      await using fixed = await fencepost.leases.acquire('b', { ttl: '1s', renew: false });
      await fixed.renew();
      await living.renew();
    }
    const rows = await database.query<{ what: string; setting: string }>(
      'select distinct * from public.committed',
    );
    const strong = setting === 'remote_apply' ? 'remote_apply' : 'on';
    const changes = ['DELETE holder', 'INSERT holder', 'INSERT lease', 'UPDATE holder', 'UPDATE lease'];
    expect(rows.map((row) => `${row.what}: ${row.setting}`).sort()).toEqual(
      changes.map((what) => `${what}: ${strong}`),
    );
  },
);

test('leases live through a restart of the server that is shorter than their ttl', {
  tags: ['F15'],
}, async () => {
  await using server = await startOwnServer({ fsync: false });
  await using fencepost = new Fencepost({ connection: server.url });
  const lease = await fencepost.leases.acquire('a', { ttl: '15s' });
  const fixed = await fencepost.leases.acquire('b', { ttl: '15s', renew: false });
  await server.restart('fast');
  await lease.renew().catch(() => {});
  await until('a heartbeat', async () => {
    const [row] = await server.query<{ left: number }>(
      `select extract(epoch from expires_at - clock_timestamp())::float8 as left from fencepost.holders`,
    );
    return (row?.left ?? 0) > 14;
  });
  expect([lease.state, fixed.state]).toEqual(['held', 'held']);
  await using next = await fencepost.leases.acquire('c', { ttl: '15s', wait: '10s' });
  expect(next.token > fixed.token).toBe(true);
  await Promise.all([lease.release(), fixed.release()]);
  expect(await server.query('select from fencepost.leases where held')).toHaveLength(1);
});
