import { Fencepost, LockLostError } from 'fencepost';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { startOwnServer } from '../support/postmaster.ts';
import { type Link, startProxy } from '../support/proxy.ts';
import { startStandby } from '../support/standby.ts';
import { until } from '../support/until.ts';

interface Tables {
  job: { id: number; done: boolean };
}

test('after a failover that lost commits, a process drops what it was granted in them and gives back again what it had', {
  tags: ['F30'],
  timeout: 120_000,
}, async () => {
  await using primary = await startOwnServer({ fsync: false, postgresFlags: ['-c', 'wal_level=replica'] });
  await primary.query('create table public.job (id int primary key, done boolean not null default false)');
  await primary.query('insert into public.job values (1)');
  await using standby = await startStandby(primary);
  let failedOver = false;
  await using proxy = await startProxy(primary.url, () => (failedOver ? standby.url : primary.url));
  const ttl = '15s';
  const pool = new pg.Pool({ connectionString: proxy.url, max: 4 });
  pool.on('error', () => {});
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
  await using fencepost = new Fencepost({ connection: proxy.url });
  const jobs = fencepost.claims.define({
    db,
    table: 'job',
    key: 'id',
    where: (eb) => eb('done', '=', false),
    orderBy: ['id'],
    ttl,
    done: { done: true },
  });
  await jobs.ensure();
  const kept = await fencepost.leases.acquire('kept', { ttl });
  const fixed = await fencepost.leases.acquire('fixed', { ttl: '60s', renew: false });
  const released = await fencepost.leases.acquire('released', { ttl });
  const [claim] = await jobs.claim();
  await until('a standby that has it all', async () => {
    const [row] = await standby.query<{ held: number }>(
      `select count(*)::int as held from public.job j, fencepost.leases l where j.fencepost_holder is not null and l.held`,
    );
    return row?.held === 3;
  });

  await standby.cutOff();
  await released.release();
  await claim?.complete();
  const lost = await fencepost.leases.acquire('lost', { ttl });
  proxy.cut();
  await primary.stop();
  await standby.promote();
  failedOver = true;

  await until('a heartbeat', () =>
    kept.renew().then(
      () => true,
      () => false,
    ),
  );
  await until('the loss', () => lost.state === 'lost');
  expect(lost.signal.reason).toBeInstanceOf(LockLostError);
  expect(lost.signal.reason).toMatchObject({ key: 'lost', reason: 'failover' });
  await using other = new Fencepost({ connection: standby.url });
  await using next = await other.leases.acquire('released', { ttl, wait: '60s' });
  expect(next.token).toBeGreaterThan(released.token);
  await until('the row can be had again', async () => (await jobs.claim()).length === 1);
  expect(kept.state).toBe('held');
  await db.connection().execute(async (connection) => {
    await connection.transaction().execute(async (trx) => {
      await kept.guard(trx);
      await fixed.guard(trx);
    });
  });
  // From then on its heartbeat is as any other. That of the fixed lease, with another ttl, has not come yet.
  await until('settled', async () => {
    const rows = await standby.query(
      `select from fencepost.holder where timeline <> fencepost.timeline() and ttl = '15s'`,
    );
    return rows.length === 0;
  });
  await db.destroy();
});

test('a grant whose answer is still on its way then is asked for again, and not believed in unseen', {
  tags: ['F30'],
}, async () => {
  await using database = await createDatabase();
  await using proxy = await startProxy(database.url);
  await using fencepost = new Fencepost({ connection: proxy.url });
  await using kept = await fencepost.leases.acquire('kept', { ttl: '20s' });
  const late: Link[] = [];
  proxy.tap = ({ direction, about, link }) => {
    if (late.length > 0 || direction !== 'answer' || !about('lease_acquire')) return 'pass';
    late.push(link);
    return 'freeze';
  };
  const acquiring = fencepost.leases.acquire('late', { ttl: '20s' });
  await until('the answer is on its way', () => late.length > 0);
  const held = (): Promise<object[]> =>
    database.query(`select token::text from fencepost.leases where name = 'late' and held`);
  const [granted] = await held();
  // As after a failover: nothing here knows of the grant, so it is given back.
  await database.query('update fencepost.holder set timeline = 0');
  await kept.renew();
  await until('settled', async () => {
    const rows = await database.query('select from fencepost.holder where timeline = 0');
    return rows.length === 0;
  });
  expect(granted).toBeDefined();
  expect(await held()).toEqual([]);
  late[0]?.thaw();
  await using lease = await acquiring;
  expect(await held()).toEqual([{ token: String(lease.token) }]);
  lease.assertHeld();
});
