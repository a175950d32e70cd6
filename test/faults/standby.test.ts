// @module-tag F34
import { Fencepost } from 'fencepost';
import pg from 'pg';
import { expect, test } from 'vitest';
import { startOwnServer } from '../support/postmaster.ts';
import { until } from '../support/until.ts';

test('a standby grants nothing and says so, and after its promotion tokens go on in the new timeline', async () => {
  await using server = await startOwnServer({ fsync: false, postgresFlags: ['-c', 'wal_level=replica'] });
  const before = new Fencepost({ connection: server.url });
  const lease = await before.leases.acquire('a', { ttl: '20s' });
  await server.becomeStandby();

  await using fencepost = new Fencepost({ connection: server.url });
  const standby = { code: 'STANDBY', retriable: true };
  await expect(fencepost.leases.acquire('a', { ttl: '20s' })).rejects.toMatchObject(standby);
  await expect(fencepost.leases.tryAcquire('b', { ttl: '20s', renew: false })).rejects.toMatchObject(standby);
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  await client.query('begin');
  await expect(lease.guard(client)).rejects.toMatchObject(standby);
  await client.end();

  await server.query('select pg_promote()');
  await until('a primary', async () => {
    const [row] = await server.query<{ standby: boolean }>('select pg_is_in_recovery() as standby');
    return row?.standby === false;
  });
  await lease.release();
  await using next = await fencepost.leases.acquire('a', { ttl: '20s', wait: '10s' });
  expect(lease.token >> 44n).toBe(1n);
  expect(next.token >> 44n).toBe(2n);
  await before.close();
});
