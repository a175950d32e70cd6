import { setTimeout as delay } from 'node:timers/promises';
import { ArgumentError, Fencepost, type Lease, type LeaseOptions, StaleTokenError } from 'fencepost';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { heldOnServer } from '../support/grants.ts';
import { openPg } from '../support/transactions.ts';
import { until } from '../support/until.ts';

const database = await createDatabase();
afterAll(() => database[Symbol.asyncDispose]());

beforeEach(async () => {
  expect(await heldOnServer(database)).toEqual([]);
});

const open = () => new Fencepost({ connection: database.url });
const ttl = '10s';
const key = 'a';

async function release(leases: readonly (Lease | null)[]): Promise<void> {
  await Promise.all(leases.map((lease) => lease?.release()));
}

test('N slots are held by N at most, each with its slot and a token of its own', async () => {
  await using one = open();
  await using other = open();
  const asked = Array.from({ length: 20 }, (_, n) =>
    (n % 2 === 0 ? one : other).leases.tryAcquire(key, { ttl, slots: 5 }),
  );
  const leases = (await Promise.all(asked)).filter((lease) => lease !== null);
  expect(leases.map(({ slot }) => slot).sort()).toEqual([0, 1, 2, 3, 4]);
  const left = leases.find(({ slot }) => slot === 3);
  await left?.release();
  await using next = await one.leases.acquire(key, { ttl, slots: 5 });
  expect(next.slot).toBe(3);
  expect(next.token > (left?.token ?? 0n)).toBe(true);
  const client = await openPg(database.pool, 'read committed');
  await next.guard(client.trx);
  await expect(left?.guard(client.trx)).rejects.toThrow(StaleTokenError);
  await client.rollback();
  await release(leases);
});

test('who waits for a slot gets the next that is released', async () => {
  await using one = open();
  await using other = open();
  const leases = await Promise.all([0, 1, 2].map(() => one.leases.acquire(key, { ttl, slots: 3 })));
  const waiting = [0, 1, 2].map(() => other.leases.acquire(key, { ttl, slots: 3 }));
  await until('marked', async () => {
    const [row] = await database.query('select count(*)::int as wanted from fencepost.lease where wanted');
    return row?.wanted === 3;
  });
  await release(leases);
  await release(await Promise.all(waiting));
});

test('a greater number lets more in at once, a smaller one as the holders leave', async () => {
  await using fencepost = open();
  const ask = (slots: number) => fencepost.leases.tryAcquire(key, { ttl, slots });
  const leases = [await ask(2), await ask(2)];
  expect(await ask(2)).toBeNull();
  leases.push(await ask(4), await ask(4));
  expect(leases.map((lease) => lease?.slot)).toEqual([0, 1, 2, 3]);
  // Four hold it: with a limit of three two have to leave, whichever they are.
  await leases[0]?.release();
  expect(await ask(3)).toBeNull();
  await leases[3]?.release();
  const third = await ask(3);
  expect(third?.slot).toBe(0);
  expect(await ask(3)).toBeNull();
  expect(await ask(1)).toBeNull();
  await release([...leases, third]);
  const alone = await ask(1);
  expect(alone?.slot).toBe(0);
  expect(await fencepost.leases.tryAcquire(key, { ttl })).toBeNull();
  await alone?.release();
});

test('a limit for a tenant and one over all tenants hold together', async () => {
  await using fencepost = open();
  const ask = (tenant: string) =>
    fencepost.leases.tryAcquire({ tenant, name: key }, { ttl, slots: { tenant: 2, total: 5 } });
  const asked = ['a', 'b', 'c', 'd'].flatMap((tenant) => [tenant, tenant, tenant]);
  const leases = (await Promise.all(asked.map(ask))).filter((lease) => lease !== null);
  expect(leases).toHaveLength(5);
  const perTenant = Object.values(Object.groupBy(leases, ({ tenant }) => tenant)).map(
    (all) => all?.length ?? 0,
  );
  expect(Math.max(...perTenant)).toBe(2);
  const waiting = fencepost.leases.acquire(
    { tenant: 'd', name: key },
    { ttl, slots: { tenant: 2, total: 5 } },
  );
  expect(await Promise.race([waiting, delay(50, 'waiting')])).toBe('waiting');
  await leases.find(({ tenant }) => tenant === 'a')?.release();
  const next = await waiting;
  const client = await openPg(database.pool, 'read committed');
  await next.guard(client.trx);
  await client.commit();
  await release([...leases, next]);
});

test('readers hold it together, a writer alone, and a guard of the dead keeps others out', async () => {
  await using one = open();
  await using other = open();
  const read = { ttl, mode: 'shared' } as const;
  const readers = [await one.leases.acquire(key, read), await other.leases.acquire(key, read)];
  expect(await one.leases.tryAcquire(key, { ttl })).toBeNull();
  expect(await one.leases.tryAcquire(key, { ttl, mode: 'exclusive' })).toBeNull();
  await release(readers);
  const writer = await one.leases.acquire(key, { ttl: '300ms', renew: false });
  expect(writer.slot).toBe(0);
  expect(await other.leases.tryAcquire(key, read)).toBeNull();
  const client = await openPg(database.pool, 'read committed');
  await writer.guard(client.trx);
  await until('expired', async () => writer.state === 'lost' && (await heldOnServer(database)).length === 0);
  expect(await other.leases.tryAcquire(key, read)).toBeNull();
  await client.commit();
  const reader = await other.leases.acquire(key, read);
  const guarded = await openPg(database.pool, 'read committed');
  await reader.guard(guarded.trx);
  await reader.release();
  expect(await one.leases.tryAcquire(key, { ttl })).toBeNull();
  await guarded.commit();
  await (await one.leases.acquire(key, { ttl })).release();
});

test('a writer that waits is not overtaken by readers that come later', async () => {
  await using one = open();
  await using other = open();
  const read = { ttl, mode: 'shared' } as const;
  const first = await one.leases.acquire(key, read);
  const order: string[] = [];
  const writing = other.leases.using(key, { ttl }, async () => void order.push('writer'));
  await until('queued', async () => (await database.query('select from fencepost.ticket')).length === 1);
  expect(await one.leases.tryAcquire(key, read)).toBeNull();
  const reading = one.leases.using(key, read, async () => void order.push('reader'));
  await until('queued', async () => (await database.query('select from fencepost.ticket')).length === 2);
  await first.release();
  await Promise.all([writing, reading]);
  expect(order).toEqual(['writer', 'reader']);
});

test('fair calls are served in their order across processes, and one that has given up is skipped', async () => {
  await using holder = open();
  const held = await holder.leases.acquire(key, { ttl });
  const processes = Array.from({ length: 4 }, open);
  const order: number[] = [];
  const giveUp = new AbortController();
  const waiting: Promise<unknown>[] = [];
  for (let n = 0; n < 12; n += 1) {
    const signal = n === 5 ? giveUp.signal : undefined;
    const fencepost = processes[n % processes.length] as Fencepost;
    waiting.push(fencepost.leases.using(key, { ttl, fair: true, signal }, async () => void order.push(n)));
    // Of each process only the first asks; the others stand behind it.
    if (n < processes.length) {
      await until(
        'queued',
        async () => (await database.query('select from fencepost.ticket')).length === n + 1,
      );
    }
  }
  const settled = Promise.allSettled(waiting);
  giveUp.abort(new Error('enough'));
  await held.release();
  const outcomes = await settled;
  expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(1);
  expect(order.slice(0, 4)).toEqual([0, 1, 2, 3]);
  expect(new Set(order).size).toBe(11);
  expect(await database.query('select from fencepost.ticket')).toEqual([]);
  for (const fencepost of processes) await fencepost.close();
});

test('of a process that waits for slots in several ways, whoever can have the next one is told', async () => {
  await using holder = open();
  await using fencepost = open();
  const taken = await Promise.all([0, 1].map(() => holder.leases.acquire(key, { ttl, slots: 2 })));
  const order: string[] = [];
  const wait = (name: string, options: LeaseOptions) =>
    fencepost.leases.acquire(key, { ttl, ...options }).then((lease) => {
      order.push(name);
      return lease;
    });
  const plain = wait('plain', { slots: 2 });
  const fair = wait('fair', { slots: 2, fair: true });
  await until('queued', async () => (await database.query('select from fencepost.ticket')).length === 1);
  const started = performance.now();
  await taken[0]?.release();
  await release([await fair]);
  await release([await plain]);
  const one = wait('one', { slots: 1 });
  const two = wait('two', { slots: 2 });
  await release([await two]);
  await taken[1]?.release();
  await release([await one]);
  expect(order).toEqual(['fair', 'plain', 'two', 'one']);
  // Not only because it looks again from time to time.
  expect(performance.now() - started).toBeLessThan(2_000);
});

test('limits that make no sense are refused', async () => {
  await using fencepost = open();
  for (const [slots, tenant] of [
    [0, 't'],
    [1.5, 't'],
    [{ tenant: 3, total: 2 }, 't'],
    [{ tenant: 3, total: 5 }, undefined],
  ] as const) {
    await expect(fencepost.leases.acquire({ tenant, name: key }, { slots })).rejects.toThrow(ArgumentError);
  }
  await expect(fencepost.leases.acquire(key, { slots: 2, mode: 'shared' })).rejects.toThrow(ArgumentError);
});
