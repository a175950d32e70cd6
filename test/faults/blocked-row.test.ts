// @module-tag F26
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Fencepost, type Lease } from 'fencepost';
import type pg from 'pg';
import { afterAll, expect, test } from 'vitest';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { plant } from '../support/plant.ts';
import { blockedIn } from '../support/sessions.ts';
import { openPg } from '../support/transactions.ts';
import { until } from '../support/until.ts';

const ttl = 2_000;
const database = await createDatabase();
afterAll(() => database[Symbol.asyncDispose]());

/** How much of the ttl was left on the server at that moment of its clock, however late one looks. */
async function leftOf(lease: Lease, moment: Promise<string>): Promise<number> {
  const [row] = await database.query<{ left: number }>(
    `select (extract(epoch from coalesce(l.expires_at, h.expires_at) - $3::timestamptz) * 1000)::float8 as left
     from fencepost.lease l left join fencepost.holder h on h.id = l.holder_id where l.name = $1 and l.token = $2`,
    [lease.name, String(lease.token), await moment],
  );
  return (row?.left ?? 0) / ttl;
}

/** Ends what locks something, and gives the last moment at which it did, on the clock of the server. */
async function unlock(client: pg.PoolClient): Promise<string> {
  const { rows } = await client.query('select clock_timestamp()::text as moment');
  await client.query('commit');
  client.release();
  return rows[0].moment;
}

/** Keeps what the statement locks for one and a half ttl, the time that is the subject here. */
async function block(statement: string): Promise<{ ended: Promise<string> }> {
  const client = await database.pool.connect();
  await client.query('begin');
  await client.query(statement);
  return { ended: delay(1.5 * ttl).then(() => unlock(client)) };
}

test.concurrent.each([{ renew: true }, { renew: false }])(
  'a lease whose row was locked for 1.5 ttl comes back with nine tenths of it (renew: $renew)',
  async ({ renew }) => {
    await using fencepost = new Fencepost({ connection: database.url });
    const key = `locked ${renew}`;
    await (await fencepost.leases.acquire(key, { ttl, renew })).release();
    const { ended } = await block(`select from fencepost.lease where name = '${key}' for update`);
    await using lease = await fencepost.leases.acquire(key, { ttl, renew, wait: '10s' });
    expect(await leftOf(lease, ended)).toBeGreaterThan(0.9);
    expect(lease.state).toBe('held');
  },
);

test.concurrent.each([{ renew: true }, { renew: false }])(
  'a lease whose row was being inserted for 1.5 ttl comes back with nine tenths of it (renew: $renew)',
  async ({ renew }) => {
    await using fencepost = new Fencepost({ connection: database.url });
    const key = `inserted ${renew}`;
    const { ended } = await block(`insert into fencepost.lease (tenant, name) values ('', '${key}')`);
    await using lease = await fencepost.leases.acquire(key, { ttl, renew, wait: '10s' });
    expect(await leftOf(lease, ended)).toBeGreaterThan(0.9);
    expect(lease.state).toBe('held');
  },
);

test.concurrent.each([{ renew: true }, { renew: false }])(
  'a lease whose holder was locked for 1.5 ttl comes back under another with nine tenths of it (renew: $renew)',
  async ({ renew }) => {
    await using fencepost = new Fencepost({ connection: database.url });
    const before = await fencepost.leases.acquire(`before ${renew}`, { ttl });
    const { ended } = await block(
      `select from fencepost.holder where id = (select holder_id from fencepost.lease where name = 'before ${renew}') for update`,
    );
    await using lease = await fencepost.leases.acquire(`holder ${renew}`, { ttl, renew, wait: '10s' });
    expect(await leftOf(lease, ended)).toBeGreaterThan(0.9);
    expect([before.state, lease.state]).toEqual(['lost', 'held']);
  },
);

test.concurrent('a lease is not lost while acquires and renewals of the same process wait for rows that others have locked', async () => {
  await using fencepost = new Fencepost({ connection: database.url });
  await using lease = await fencepost.leases.acquire('heartbeat', { ttl });
  await using fixed = await fencepost.leases.acquire('renewed', { ttl: '30s', renew: false });
  const { ended } = await block(`
    insert into fencepost.lease (tenant, name) values ('', 'stuck 1'), ('', 'stuck 2');
    select from fencepost.lease where name = 'renewed' for update`);
  // Two connections for batches: both are stuck, and what comes then has to wait for them.
  const stuck = [
    fencepost.leases.tryAcquire('stuck 1', { ttl }),
    delay(20).then(() => fencepost.leases.tryAcquire('stuck 2', { ttl })),
    delay(40).then(() => fixed.renew()),
  ];
  await blockedIn(database, 'fencepost', 2);
  await ended;
  expect(lease.state).toBe('held');
  await Promise.all(stuck);
  lease.assertHeld();
});

/** One of our functions, called while its row is locked: whether its ttl counts from when it had the row. */
async function countsFromTheRow(at: TestDatabase, name: string, row: string, call: string): Promise<boolean> {
  const client = await at.pool.connect();
  await client.query('begin');
  await client.query(row);
  const called = at.query(call);
  called.catch(() => {});
  await blockedIn(at, name);
  const unlocked = await unlock(client);
  await called;
  const [answer] = await at.query<{ whole: boolean }>(
    `select coalesce(l.expires_at, h.expires_at) >= $1::timestamptz + interval '${ttl} milliseconds' as whole
     from fencepost.holder h left join fencepost.lease l on l.name = 'a' and l.holder_id = h.id`,
    [unlocked],
  );
  return answer?.whole === true;
}

async function open(at: TestDatabase): Promise<string> {
  const [row] = await at.query<{ id: string }>(
    `select fencepost.holder_open('${ttl} milliseconds', '') as id`,
  );
  return row?.id ?? '';
}

const waits: Record<string, (at: TestDatabase) => Promise<boolean>> = {
  async holder_beat(at) {
    const holder = await open(at);
    await at.query(`update fencepost.holder set expires_at = expires_at + interval '1 minute'`);
    const row = `select from fencepost.holder where id = '${holder}' for update`;
    return countsFromTheRow(at, 'holder_beat', row, `select fencepost.holder_beat('${holder}')`);
  },
  async lease_acquire(at) {
    const holder = await open(at);
    await at.query(`update fencepost.holder set expires_at = expires_at + interval '1 minute'`);
    const row = `insert into fencepost.lease (tenant, name) values ('', 'a')`;
    const call = `select * from fencepost.lease_acquire(
      '${holder}', 0, '${ttl} milliseconds', '{""}', '{a}', '{${randomUUID()}}')`;
    return countsFromTheRow(at, 'lease_acquire', row, call);
  },
  async lease_renew(at) {
    const holder = await open(at);
    await at.query(`select * from fencepost.lease_acquire(
      '${holder}', 0, '${ttl} milliseconds', '{""}', '{a}', '{${randomUUID()}}')`);
    const row = `select from fencepost.lease where name = 'a' for update`;
    const call = `select fencepost.lease_renew('${holder}', '${ttl} milliseconds', '{""}', '{a}', '{0}',
      array[(select token from fencepost.lease where name = 'a')])`;
    return countsFromTheRow(at, 'lease_renew', row, call);
  },
};

test.concurrent.each([
  { name: 'holder_beat', from: 'v_now + v_holder.ttl', to: 'now() + v_holder.ttl' },
  { name: 'lease_acquire', from: 'expires_at = v_now + p_term', to: 'expires_at = now() + p_term' },
  { name: 'lease_renew', from: 'set expires_at = v_now + p_term', to: 'set expires_at = now() + p_term' },
])('$name counts from when it has the row, and the test would find it if not', async ({ name, from, to }) => {
  await using sound = await createDatabase();
  expect(await waits[name]?.(sound)).toBe(true);
  await using planted = await createDatabase();
  await plant(planted.query, name, [from, to]);
  expect(await waits[name]?.(planted)).toBe(false);
});

/** Whether somebody is granted a lease whose holder's heartbeat came in time and has not been committed yet. */
async function takenFrom(at: TestDatabase): Promise<boolean> {
  const take = (holder: string) =>
    at.query<{ tokens: string[] | null }>(
      `select tokens from fencepost.lease_acquire('${holder}', 0, null, '{""}', '{a}', '{${randomUUID()}}')`,
    );
  const other = await open(at);
  await at.query(`update fencepost.holder set expires_at = expires_at + interval '1 minute'`);
  for (;;) {
    const holder = await open(at);
    if ((await take(holder))[0]?.tokens?.length !== 1) throw new Error('it is not free');
    const client = await at.pool.connect();
    await client.query('begin');
    const { rows } = await client.query('select alive from fencepost.holder_beat($1)', [holder]);
    if (!rows[0].alive) {
      // This machine took longer than the ttl to get here.
      await client.query('rollback');
      client.release();
      await at.query(`update fencepost.lease set holder_id = null`);
      continue;
    }
    await until('what others see of its expiry is over', async () => {
      const seen = 'select from fencepost.holder where id = $1 and expires_at < clock_timestamp()';
      return (await at.query(seen, [holder])).length > 0;
    });
    const [answer] = await take(other);
    await client.query('commit');
    client.release();
    const living = await at.query('select from fencepost.holder where id = $1', [holder]);
    expect(living).toHaveLength(1);
    return answer?.tokens?.length === 1;
  }
}

test.concurrent('nobody takes the lease of a holder whose heartbeat is not committed yet', async () => {
  await using own = await createDatabase();
  expect(await takenFrom(own)).toBe(false);
});

test.concurrent('a takeover that reads the expiry without the lock of the holder would be found', async () => {
  await using own = await createDatabase();
  await plant(
    own.query,
    'lease_acquire',
    ['and expires_at <= v_now order by id', 'and false'],
    ['where id = any (v_blockers));', 'where id = any (v_blockers) and expires_at > v_now);'],
  );
  expect(await takenFrom(own)).toBe(true);
});

test.concurrent('a heartbeat that waited for its row past the expiry finds the holder dead', async () => {
  await using own = await createDatabase();
  const holder = await open(own);
  const { run, commit } = await openPg(own.pool, 'read committed');
  await run(`select from fencepost.holder where id = '${holder}' for update`);
  const beat = own.query(`select alive from fencepost.holder_beat('${holder}')`);
  await blockedIn(own, 'holder_beat');
  await until('it has expired', async () => {
    const over = 'select from fencepost.holder where expires_at < clock_timestamp()';
    return (await own.query(over)).length > 0;
  });
  await commit();
  expect(await beat).toEqual([{ alive: false }]);
});
