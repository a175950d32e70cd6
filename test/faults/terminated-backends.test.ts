// @module-tag F09
import { Fencepost, type Lease } from 'fencepost';
import { expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { grantedTwice, heldOnServer, recordGrants } from '../support/grants.ts';
import { until } from '../support/until.ts';

test('whichever of its sessions the server ends, under load, no lease is lost and no call fails', async () => {
  await using database = await createDatabase();
  await recordGrants(database);
  await using fencepost = new Fencepost({ connection: database.url });
  const kept: Lease[] = [
    await fencepost.leases.acquire('living', { ttl: '3s' }),
    await fencepost.leases.acquire('fixed', { ttl: '60s', renew: false }),
  ];
  const losses: string[] = [];
  for (const lease of kept) lease.signal.addEventListener('abort', () => losses.push(lease.key));
  let stopped = false;
  let pairs = 0;
  const workers = Array.from({ length: 16 }, async (_, worker) => {
    while (!stopped) {
      const lease = await fencepost.leases.acquire(`worker ${worker}`, { ttl: '3s', renew: worker % 4 > 0 });
      await lease.release();
      pairs += 1;
    }
  });
  const working = Promise.all(workers);
  working.catch(() => {});
  const sessions = (): Promise<{ pid: number }[]> =>
    database.query(
      `select pid from pg_stat_activity where datname = current_database() and application_name = 'fencepost'`,
    );
  for (let round = 0; round < 4; round += 1) {
    for (const { pid } of await sessions()) {
      const before = pairs;
      await database.query('select pg_terminate_backend($1)', [pid]);
      await Promise.race([until('work goes on', () => pairs > before + 50), working]);
    }
  }
  stopped = true;
  await working;
  expect(losses).toEqual([]);
  expect(kept.map((lease) => lease.state)).not.toContain('lost');
  expect(await heldOnServer(database)).toHaveLength(2);
  await Promise.all(kept.map((lease) => lease.release()));
  expect(await heldOnServer(database)).toEqual([]);
  expect(await grantedTwice(database)).toEqual([]);
});

test('a heartbeat whose session was ended finds another in time', async () => {
  await using database = await createDatabase();
  await using fencepost = new Fencepost({ connection: database.url });
  await using lease = await fencepost.leases.acquire('a', { ttl: '1s' });
  for (let round = 0; round < 3; round += 1) {
    const [before] = await database.query<{ beat: Date }>('select beat_at as beat from fencepost.holders');
    await database.query(`
      select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and application_name = 'fencepost'`);
    await until('the next heartbeat', async () => {
      const [now] = await database.query<{ beat: Date }>('select beat_at as beat from fencepost.holders');
      return now !== undefined && before !== undefined && now.beat > before.beat;
    });
    expect(lease.state).not.toBe('lost');
  }
});
