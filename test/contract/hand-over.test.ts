import { randomUUID } from 'node:crypto';
import { afterAll, expect, test } from 'vitest';
import {
  ArgumentError,
  DatabaseError,
  Fencepost,
  type Lease,
  LockLostError,
  LockTimeoutError,
  StaleTokenError,
  StateError,
} from '../../src/index.ts';
import { createDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';

const database = await createDatabase();
afterAll(() => database[Symbol.asyncDispose]());
const open = () => new Fencepost({ connection: database.url });
const ttl = '30s';
const encoded = (json: string) => Buffer.from(json).toString('base64url');

async function guarded(lease: Lease): Promise<void> {
  const client = await database.pool.connect();
  try {
    await client.query('begin');
    await lease.guard(client);
    await client.query('commit');
  } finally {
    await client.query('rollback');
    client.release();
  }
}

test('another process goes on with it, with a greater token, and the one before is refused', async () => {
  await using one = open();
  await using other = open();
  const lease = await one.leases.acquire({ tenant: 't', name: 'a' }, { ttl, metadata: { job: 7 } });
  const text = await lease.handOver();
  expect(lease.state).toBe('released');
  expect(lease.signal.aborted).toBe(false);
  expect(() => lease.assertHeld()).toThrow(StateError);
  expect(await other.leases.tryAcquire({ tenant: 't', name: 'a' })).toBeNull();
  await one.close();
  expect(await other.leases.tryAcquire({ tenant: 't', name: 'a' })).toBeNull();
  await using next = await other.leases.resume(text, { ttl });
  expect([next.key, next.tenant, next.name, next.state]).toEqual(['t/a', 't', 'a', 'held']);
  expect(next.token).toBeGreaterThan(lease.token);
  await guarded(next);
  await expect(guarded(lease)).rejects.toThrow(StaleTokenError);
  const [info] = await other.inspect.leases();
  expect(info).toMatchObject({ metadata: { job: 7 }, token: next.token });
});

test('once: of twenty who take it up one gets it', async () => {
  await using one = open();
  const others = Array.from({ length: 4 }, open);
  for (let round = 0; round < 25; round += 1) {
    const text = await (await one.leases.acquire('b', { ttl })).handOver();
    const calls = Array.from({ length: 20 }, (_, n) => others[n % 4]?.leases.resume(text, { ttl }));
    const outcomes = await Promise.allSettled(calls);
    const got = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    const refused = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
    expect([got.length, refused.length]).toEqual([1, 19]);
    for (const error of refused) expect(error).toBeInstanceOf(StaleTokenError);
    await got[0]?.release();
  }
  await Promise.all(others.map((other) => other.close()));
});

test('it waits for a guarded transaction of the one before, at most as long as asked', async () => {
  await using one = open();
  await using other = open();
  const lease = await one.leases.acquire('c', { ttl });
  const client = await database.pool.connect();
  await client.query('begin');
  await lease.guard(client);
  const text = await lease.handOver();
  await expect(other.leases.resume(text, { ttl, wait: 50 })).rejects.toThrow(LockTimeoutError);
  const aborted = AbortSignal.abort(new Error('enough'));
  await expect(other.leases.resume(text, { ttl, signal: aborted })).rejects.toThrow('enough');
  const resumed = other.leases.resume(text, { ttl });
  await client.query('commit');
  client.release();
  await using next = await resumed;
  expect(next.token).toBeGreaterThan(lease.token);
});

test('a try under way when the wait is over still counts: given back it would end the hand-over', async () => {
  await using one = open();
  await using other = open();
  await (await other.leases.acquire('warm', { ttl })).release();
  const lease = await one.leases.acquire('late', { ttl });
  const text = await lease.handOver();
  // Each try waits for the row of its holder.
  const client = await database.pool.connect();
  await client.query('begin');
  await client.query('select from fencepost.holder for update');
  const resuming = other.leases.resume(text, { ttl, wait: 50 });
  resuming.catch(() => {});
  // An acquire that began later gives its try up before the lock is gone.
  await expect(other.leases.acquire('busy', { ttl, wait: 100 })).rejects.toThrow(DatabaseError);
  await client.query('rollback');
  client.release();
  await using next = await resuming;
  expect(next.token).toBeGreaterThan(lease.token);
});

test('nobody takes it up in time: it is free, and the text worth nothing', async () => {
  await using one = open();
  await using other = open();
  const text = await (await one.leases.acquire('d', { ttl })).handOver({ within: 100 });
  await using next = await other.leases.acquire('d', { ttl });
  await expect(one.leases.resume(text, { ttl })).rejects.toThrow(StaleTokenError);
  next.assertHeld();
});

test('a revoked one is not taken up, within its grace neither', async () => {
  await using one = open();
  await using other = open();
  const text = await (await one.leases.acquire('e', { ttl })).handOver();
  expect(await other.leases.revoke('e', { grace: '10s' })).toHaveLength(1);
  await expect(other.leases.resume(text, { ttl })).rejects.toThrow(StaleTokenError);
  const again = await (await one.leases.acquire('f', { ttl })).handOver();
  await other.leases.revoke('f');
  await expect(other.leases.resume(again, { ttl })).rejects.toThrow(StaleTokenError);
});

test('what was released, revoked or lost is not handed over', async () => {
  await using one = open();
  await using other = open();
  const released = await one.leases.acquire('g', { ttl });
  await released.release();
  await expect(released.handOver()).rejects.toThrow(StateError);
  const revoked = await one.leases.acquire('h', { ttl });
  await other.leases.revoke('h');
  await expect(revoked.handOver()).rejects.toThrow(LockLostError);
  const lost = await one.leases.acquire('i', { ttl });
  await database.query('delete from fencepost.holder');
  await expect(lost.handOver()).rejects.toThrow(LockLostError);
  expect(lost.state).toBe('lost');
});

test('slots and totals, readers and fixed terms go over as they are', async () => {
  await using one = open();
  await using other = open();
  const slots = { tenant: 2, total: 3 };
  const key = { tenant: 't', name: 'j' };
  const lease = await one.leases.acquire(key, { ttl, slots });
  const second = await one.leases.acquire(key, { ttl, slots });
  const next = await other.leases.resume(await second.handOver(), { ttl });
  expect(next.slot).toBe(second.slot);
  expect(await other.leases.tryAcquire(key, { slots })).toBeNull();
  await next.release();
  await lease.release();
  expect(
    await database.query(`select from fencepost.lease where name = 'j' and holder_id is not null`),
  ).toEqual([]);

  const reader = await one.leases.acquire('k', { ttl, mode: 'shared' });
  await using goesOn = await other.leases.resume(await reader.handOver(), { ttl, renew: false });
  await using _too = await one.leases.acquire('k', { ttl, mode: 'shared' });
  expect(await other.leases.tryAcquire('k')).toBeNull();
  await goesOn.renew();
  goesOn.assertHeld();
});

test('who waits gets it after the one who took it up', async () => {
  await using one = open();
  await using other = open();
  const lease = await one.leases.acquire('l', { ttl });
  const waiting = other.leases.acquire('l', { ttl });
  await until('waits', async () => {
    const rows = await database.query(`select from fencepost.lease where name = 'l' and wanted`);
    return rows.length === 1;
  });
  const next = await one.leases.resume(await lease.handOver(), { ttl });
  await next.release();
  await using got = await waiting;
  expect(got.token).toBeGreaterThan(next.token);
});

const texts = [
  '',
  'no',
  7,
  ...['[1]', '["no",["","a",0,"1"]]', `["${randomUUID()}",["","a","x","1"]]`].map(encoded),
];

test.each(texts)('%j is no text of a hand-over', async (text) => {
  await using one = open();
  await expect(one.leases.resume(text as string)).rejects.toThrow(ArgumentError);
  await expect(one.leases.resume(text as string)).rejects.not.toThrow('"no"');
});
