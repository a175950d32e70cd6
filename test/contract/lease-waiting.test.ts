import { Fencepost, LockLostError, StaleTokenError } from 'fencepost';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { heldOnServer } from '../support/grants.ts';
import { startProxy } from '../support/proxy.ts';
import { openPg } from '../support/transactions.ts';
import { until } from '../support/until.ts';

const database = await createDatabase();
afterAll(() => database[Symbol.asyncDispose]());

beforeEach(async () => {
  expect(await heldOnServer(database)).toEqual([]);
});

const open = (connection = database.url) => new Fencepost({ connection });
const ttl = '30s';
const key = 'a';

const wanted = async (): Promise<boolean> =>
  (await database.query('select from fencepost.lease where wanted')).length > 0;

async function listening(): Promise<number> {
  const rows = await database.query(
    `select from pg_stat_activity
     where datname = current_database() and application_name = 'fencepost' and query ilike 'listen%'`,
  );
  return rows.length;
}

test('a waiter is woken by the release, and asks nothing in between', async () => {
  await using one = open();
  await using proxy = await startProxy(database.url);
  await using other = open(proxy.url);
  const lease = await one.leases.acquire(key, { ttl });
  let asked = 0;
  let answered = 0;
  proxy.tap = ({ direction, about }) => {
    if (direction === 'request' && about('lease_acquire')) asked += 1;
    if (direction === 'answer' && about('lease_acquire')) answered += 1;
    return 'pass';
  };
  const waiting = other.leases.acquire(key, { ttl });
  // Once, and once more after it has begun to listen.
  await until('waits', async () => answered >= 2 && (await listening()) === 1);
  expect(asked).toBe(2);
  await lease.release();
  await using next = await waiting;
  expect(next.token > lease.token).toBe(true);
  expect(asked).toBe(3);
});

test('only a wanted lease is told of, and a process listens only while it waits', async () => {
  await using one = open();
  await using other = open();
  const heard: unknown[] = [];
  const client = await database.pool.connect();
  const [channel] = await database.query<{ channel: string }>('select fencepost.channel()');
  client.on('notification', ({ payload }) => heard.push(payload));
  await client.query(`listen "${channel?.channel}"`);
  await (await one.leases.acquire(key, { ttl })).release();
  expect(await listening()).toBe(0);
  const lease = await one.leases.acquire(key, { ttl });
  const waiting = Promise.all([other.leases.acquire(key, { ttl }), other.leases.acquire('b', { ttl })]);
  await until('waits', wanted);
  await until('listens', async () => (await listening()) === 1);
  await lease.release();
  const both = await waiting;
  for (const each of both) await each.release();
  await client.query('select 1');
  const [row] = await database.query<{ topic: string }>(`select fencepost.key('', '${key}') as topic`);
  expect(heard).toEqual([row?.topic]);
  await client.query('unlisten *');
  client.release();
});

test('a waiter that lost its connection, and so the message, gets the lease all the same', async () => {
  await using one = open();
  await using proxy = await startProxy(database.url);
  await using other = open(proxy.url);
  const lease = await one.leases.acquire(key, { ttl });
  const waiting = other.leases.acquire(key, { ttl });
  await until('waits', wanted);
  for (const link of proxy.links) link.cut();
  await lease.release();
  await using next = await waiting;
  expect(next.state).toBe('held');
});

test('the calls of a process are served in their order', async () => {
  await using one = open();
  await using other = open();
  const lease = await other.leases.acquire(key, { ttl });
  const order: number[] = [];
  const waiting = Array.from({ length: 50 }, (_, n) =>
    one.leases.using(key, { ttl }, async () => void order.push(n)),
  );
  await until('waits', wanted);
  await lease.release();
  await Promise.all(waiting);
  expect(order).toEqual(Array.from({ length: 50 }, (_, n) => n));
});

test('who waits in the process of the holder gets the lease before its release is on the disk', async () => {
  await using proxy = await startProxy(database.url);
  await using one = open(proxy.url);
  const first = await one.leases.acquire(key, { ttl });
  const second = one.leases.acquire(key, { ttl });
  const third = one.leases.acquire(key, { ttl });
  await until('waits', wanted);
  await first.release();
  const lease = await second;
  let frozen = 0;
  proxy.tap = ({ direction, about }) => {
    if (direction !== 'request' || !about('flush')) return 'pass';
    frozen += 1;
    return 'freeze';
  };
  let released = false;
  const releasing = lease.release().then(() => {
    released = true;
  });
  await using next = await third;
  expect(next.token > lease.token).toBe(true);
  expect({ frozen, released }).toEqual({ frozen: 1, released: false });
  proxy.tap = () => 'pass';
  for (const link of proxy.links) link.thaw();
  await releasing;
});

test('a close ends all that wait', async () => {
  await using one = open();
  const other = open();
  await using _lease = await one.leases.acquire(key, { ttl });
  const waiting = Promise.allSettled(Array.from({ length: 10 }, () => other.leases.acquire(key, { ttl })));
  await until('waits', wanted);
  await other.close();
  for (const outcome of await waiting) {
    expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'STATE' } });
  }
});

test.each([{ renew: true }, { renew: false }])(
  'a revoked lease is lost with this reason, refused by the guard, and free for the next (renew: $renew)',
  async ({ renew }) => {
    await using one = open();
    await using other = open();
    const lease = await one.leases.acquire(key, { ttl: '2s', renew });
    const told = new Promise((resolve) => lease.signal.addEventListener('abort', resolve));
    expect(await other.leases.revoke(key, { token: lease.token + 1n })).toEqual([]);
    expect(await other.leases.revoke(key)).toEqual([lease.token]);
    await using next = await other.leases.acquire(key, { ttl });
    await told;
    expect(lease.signal.reason).toBeInstanceOf(LockLostError);
    expect(lease.signal.reason).toMatchObject({ reason: 'revoked' });
    const client = await openPg(database.pool, 'read committed');
    await expect(lease.guard(client.trx)).rejects.toThrow(StaleTokenError);
    await client.rollback();
    await lease.release();
    next.assertHeld();
    expect(await heldOnServer(database)).toEqual([`a ${next.token}`]);
  },
);

test('with a grace the holder is told first, may still commit, and frees it when it is ready', async () => {
  await using one = open();
  await using other = open();
  const lease = await one.leases.acquire(key, { ttl: '30s' });
  // Something in its process waits, so it listens.
  await using _held = await other.leases.acquire('b', { ttl });
  const giveUp = new AbortController();
  const waiting = one.leases.acquire('b', { ttl, signal: giveUp.signal }).catch((error: unknown) => error);
  await until('waits', wanted);
  const told = new Promise((resolve) => lease.signal.addEventListener('abort', resolve));
  expect(await other.leases.revoke(key, { grace: '1h' })).toEqual([lease.token]);
  await told;
  const client = await openPg(database.pool, 'read committed');
  await lease.guard(client.trx);
  await client.commit();
  expect(await other.leases.tryAcquire(key, { ttl })).toBeNull();
  await lease.release();
  await (await other.leases.acquire(key, { ttl, wait: 0 })).release();
  giveUp.abort();
  await waiting;
});

test('the grace ends by itself, and nothing prolongs it', async () => {
  await using one = open();
  await using other = open();
  const lease = await one.leases.acquire(key, { ttl: '30s', renew: false });
  await other.leases.revoke(key, { grace: '200ms' });
  await lease.renew().catch(() => {});
  await using next = await other.leases.acquire(key, { ttl });
  const client = await openPg(database.pool, 'read committed');
  await expect(lease.guard(client.trx)).rejects.toThrow(StaleTokenError);
  await client.rollback();
  next.assertHeld();
});

test('metadata is there for operators as long as the lease is not taken by the next', async () => {
  await using fencepost = open();
  await using lease = await fencepost.leases.acquire(key, { ttl, metadata: { job: 7, by: 'ä' } });
  expect(await database.query('select name, metadata from fencepost.leases where held')).toEqual([
    { name: lease.name, metadata: { job: 7, by: 'ä' } },
  ]);
  await expect(fencepost.leases.tryAcquire('b', { metadata: { text: 'x'.repeat(5_000) } })).rejects.toThrow(
    'options.metadata',
  );
});
