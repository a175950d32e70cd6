// @module-tag F35
import { Fencepost } from 'fencepost';
import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { grantedTwice, heldBy, heldOnServer, inversions, recordGrants } from '../support/grants.ts';
import { pgbouncerFound, startPgbouncer } from '../support/pgbouncer.ts';
import { startProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';

describe.runIf(pgbouncerFound)('through PgBouncer in transaction mode', () => {
  test.each(['read committed', 'repeatable read', 'serializable'])(
    'leases are acquired, kept, guarded and released, where %s is the default',
    async (isolation) => {
      await using database = await createDatabase();
      await database.query(
        `alter database ${database.name} set default_transaction_isolation = '${isolation}'`,
      );
      await recordGrants(database);
      await using pooler = await startPgbouncer(database.url);
      await using fencepost = new Fencepost({ connection: pooler.url });
      await using other = new Fencepost({ connection: pooler.url });
      const living = await fencepost.leases.acquire('living', { ttl: '3s' });
      const fixed = await fencepost.leases.acquire('fixed', { ttl: '20s', renew: false });
      const beat = async (): Promise<number> => {
        const [row] = await database.query<{ beats: number }>(
          `select extract(epoch from max(beat_at - opened_at))::float8 as beats from fencepost.holders where ttl = interval '3 s'`,
        );
        return row?.beats ?? 0;
      };
      await until('several heartbeats', async () => (await beat()) > 3.5);
      living.assertHeld();
      await fixed.renew();
      expect(await other.leases.tryAcquire('living', { ttl: '3s' })).toBeNull();

      const client = new pg.Client({ connectionString: pooler.url });
      await client.connect();
      await expect(fixed.guard(client)).rejects.toMatchObject({ code: 'ARGUMENT' });
      await client.query('begin');
      await living.guard(client);
      await fixed.guard(client);
      await client.query('commit');
      await living.release();
      await client.query('begin');
      await expect(living.guard(client)).rejects.toMatchObject({ code: 'STALE_TOKEN' });
      expect((await client.query('commit')).command).toBe('ROLLBACK');
      await client.end();

      // Many callers of both, on few server connections.
      const calls = Array.from({ length: 300 }, (_, call) =>
        (call % 2 === 0 ? fencepost : other).leases.tryAcquire(`many ${call % 40}`, { ttl: '20s' }),
      );
      const leases = await Promise.all(calls);
      expect(heldBy(leases)).toHaveLength(40);
      await Promise.all([...leases, fixed].map((lease) => lease?.release()));
      expect(await heldOnServer(database)).toEqual([]);
      expect(await inversions(database)).toEqual([]);
    },
  );

  test('an acquire whose connection is cut after the commit finds its token again', async () => {
    await using database = await createDatabase();
    await recordGrants(database);
    await using pooler = await startPgbouncer(database.url);
    await using proxy = await startProxy(pooler.url);
    await using fencepost = new Fencepost({ connection: proxy.url });
    for (let round = 0; round < 10; round += 1) {
      let cut = false;
      proxy.tap = ({ direction, about }) => {
        if (cut || direction !== 'answer' || !about('lease_acquire')) return 'pass';
        cut = true;
        return 'cut';
      };
      await using lease = await fencepost.leases.acquire('a', { ttl: '10s', wait: '10s' });
      expect(cut).toBe(true);
      expect(await heldOnServer(database)).toEqual(heldBy([lease]));
    }
    expect(await grantedTwice(database)).toEqual([]);
  });

  test('no session setting of ours reaches another client of the pooler', async () => {
    await using database = await createDatabase();
    await database.query(
      `alter database ${database.name} set default_transaction_isolation = 'serializable'`,
    );
    await database.query(`alter database ${database.name} set synchronous_commit = 'off'`);
    await using pooler = await startPgbouncer(database.url, 1);
    await using fencepost = new Fencepost({ connection: pooler.url });
    await using _lease = await fencepost.leases.acquire('a', { ttl: '10s' });
    const client = new pg.Client({ connectionString: pooler.url });
    await client.connect();
    const { rows } = await client.query(`
      select name, setting from pg_settings
      where source = 'session' and name not in ('application_name', 'client_encoding')`);
    await client.end();
    expect(rows).toEqual([]);
  });
});
