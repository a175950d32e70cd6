import { ArgumentError, Fencepost } from 'fencepost';
import { afterAll, expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';

const database = await createDatabase();
afterAll(() => database[Symbol.asyncDispose]());

async function names(): Promise<string[]> {
  const rows = await database.query<{ name: string }>('select name from fencepost.lease order by name');
  return rows.map(({ name }) => name);
}

/** Makes all that has happened so far so many days older. */
async function age(days: number, only = '%'): Promise<void> {
  await database.query(
    `update fencepost.lease set acquired_at = acquired_at - $1 * interval '1 day',
       released_at = released_at - $1 * interval '1 day' where name like $2`,
    [days, only],
  );
}

test('removes what was released or left behind long ago, and nothing that is held or newer', async () => {
  await using fencepost = new Fencepost({ connection: database.url });
  const dead = new Fencepost({ connection: database.url });
  await (await fencepost.leases.acquire('released long ago')).release();
  await using held = await fencepost.leases.acquire('held for long');
  await using fixed = await fencepost.leases.acquire('held for a fixed term', { renew: false });
  await dead.leases.acquire('left behind');
  await dead.leases.acquire('left behind, not buried', { ttl: '1h' });
  await dead.leases.acquire('left behind, with a term', { ttl: '2h', renew: false });
  await database.query(`delete from fencepost.holder where ttl = interval '30 seconds' and id in (
    select holder_id from fencepost.lease where name = 'left behind')`);
  await database.query(
    `update fencepost.holder set expires_at = now() - interval '31 days' where ttl >= interval '1 hour'`,
  );
  await database.query(
    `update fencepost.lease set expires_at = now() - interval '31 days' where name = 'left behind, with a term'`,
  );
  await age(31);
  await (await fencepost.leases.acquire('released just now')).release();
  // Acquired long ago, released just now.
  const late = await fencepost.leases.acquire('released late');
  await age(31, 'released late');
  await late.release();

  expect(await fencepost.leases.sweep({ olderThan: '32d' })).toBe(0);
  expect(await fencepost.leases.sweep({ olderThan: '30d', batch: 2 })).toBe(4);
  expect(await names()).toEqual([
    'held for a fixed term',
    'held for long',
    'released just now',
    'released late',
  ]);
  expect(await fencepost.leases.sweep({ olderThan: '30d' })).toBe(0);
  expect(held.state).toBe('held');
  expect(fixed.state).toBe('held');
  await dead.close();
});

test('removes places in queues that a dead process left behind, wherever they are, and no others', async () => {
  await using fencepost = new Fencepost({ connection: database.url });
  await using _held = await fencepost.leases.acquire('queue', { fair: true });
  const giveUp = new AbortController();
  const waiting = fencepost.leases.acquire('queue', { fair: true, signal: giveUp.signal });
  const queued = (): Promise<{ name: string }[]> =>
    database.query<{ name: string }>('select name from fencepost.ticket order by name, id');
  await until('it stands in the queue', async () => (await queued()).length === 1);
  await database.query(
    `insert into fencepost.ticket (tenant, name, holder_id, nonce, shared, since)
     select '', n, gen_random_uuid(), gen_random_uuid(), false, now()
     from unnest(array['a', 'queue', 'queue', 'zz', 'zzz']) n`,
  );
  await fencepost.leases.sweep({ olderThan: '30d', batch: 1 });
  expect(await queued()).toEqual([{ name: 'queue' }]);
  giveUp.abort();
  await expect(waiting).rejects.toThrow();
});

test('keeps the floor: a key that was swept goes on above its last token, whatever the sequence says', async () => {
  await using fencepost = new Fencepost({ connection: database.url });
  const first = await fencepost.leases.acquire('again');
  await first.release();
  const great = first.token + 1_000_000n;
  await database.query(`update fencepost.lease set token = $1 where name = 'again'`, [String(great)]);
  await age(31);
  expect(await fencepost.leases.sweep({ olderThan: '30d' })).toBeGreaterThan(0);
  await using again = await fencepost.leases.acquire('again');
  expect(again.token).toBeGreaterThan(great);
});

test('what was held in slots and shared goes too, the row that tells of the others after them', async () => {
  await using fencepost = new Fencepost({ connection: database.url });
  const slots = await Promise.all([1, 2, 3].map(() => fencepost.leases.acquire('slots', { slots: 3 })));
  await using reader = await fencepost.leases.acquire('read', { mode: 'shared' });
  await Promise.all(slots.map((lease) => lease.release()));
  await age(31, 'slots');
  await age(31, 'read');
  expect(await fencepost.leases.sweep({ olderThan: '30d' })).toBe(2);
  expect(await fencepost.leases.sweep({ olderThan: '30d' })).toBe(1);
  expect((await names()).filter((name) => name === 'slots')).toEqual([]);
  expect(reader.state).toBe('held');
  expect(await fencepost.leases.tryAcquire('read')).toBeNull();
});

test('goes through any number of leases in batches, across tenants and slots', async () => {
  await using fencepost = new Fencepost({ connection: database.url });
  await database.query(`
    insert into fencepost.lease (tenant, name, slot, token, acquired_at, released_at)
    select 'tenant ' || t, 'bulk ' || n, s, n, now() - interval '9 d', case when n % 3 > 0 then now() - interval '9 d' else now() end
    from generate_series(1, 7) t, generate_series(1, 300) n, generate_series(0, 1) s`);
  expect(await fencepost.leases.sweep({ olderThan: '8d', batch: 100 })).toBe(7 * 200 * 2);
  await database.query(`delete from fencepost.lease where name like 'bulk%'`);
});

test('passes over what a guard or an acquire has locked, without waiting', async () => {
  await using fencepost = new Fencepost({ connection: database.url });
  const dead = new Fencepost({ connection: database.url });
  const lease = await dead.leases.acquire('guarded');
  await database.query(
    'delete from fencepost.holder where id = (select holder_id from fencepost.lease where name = $1)',
    ['guarded'],
  );
  await age(31, 'guarded');
  const client = await database.pool.connect();
  await client.query('begin');
  await lease.guard(client);
  expect(await fencepost.leases.sweep({ olderThan: '30d' })).toBe(0);
  await client.query('commit');
  client.release();
  expect(await fencepost.leases.sweep({ olderThan: '30d' })).toBe(1);
  const other = await database.pool.connect();
  await other.query('begin');
  await expect(lease.guard(other)).rejects.toMatchObject({ code: 'STALE_TOKEN' });
  await other.query('rollback');
  other.release();
  await dead.close();
});

test('checks its arguments, and ends with the Fencepost', async () => {
  const fencepost = new Fencepost({ connection: database.url });
  for (const options of [
    undefined,
    {},
    { olderThan: '-1s' },
    { olderThan: Infinity },
    { olderThan: '1s', batch: 0 },
  ]) {
    await expect(fencepost.leases.sweep(options as never)).rejects.toThrow(ArgumentError);
  }
  await fencepost.close();
  await expect(fencepost.leases.sweep({ olderThan: '30d' })).rejects.toMatchObject({ code: 'STATE' });
});
