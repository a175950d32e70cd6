// @module-tag F04
import { ArgumentError, Fencepost, type Lease, StaleTokenError } from 'fencepost';
import { Kysely, PostgresDialect } from 'kysely';
import { afterAll, describe, expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { plant } from '../support/plant.ts';
import { isolationLevels, type OpenTransaction, openPg, transactionKinds } from '../support/transactions.ts';

const ttl = '30s';
const database = await createDatabase();
await database.query('create table public.written (token bigint)');
const fencepost = new Fencepost({ connection: database.url });
const other = new Fencepost({ connection: database.url });
afterAll(async () => {
  await Promise.all([fencepost.close(), other.close()]);
  await database[Symbol.asyncDispose]();
});

async function expireHolder(lease: Lease, { query } = database): Promise<void> {
  await query(
    `update fencepost.holder set expires_at = clock_timestamp() - interval '1 second'
     where id = (select holder_id from fencepost.lease where name = $1)`,
    [lease.name],
  );
}

const write = 'insert into public.written (token) values (%)';

async function writtenBy(lease: Lease): Promise<number> {
  return (await database.query('select from public.written where token = $1', [String(lease.token)])).length;
}

/** Writes in a guarded transaction whose author ignores errors, and gives how the server ended it. */
async function commitDespiteErrors({ run, trx, commit }: OpenTransaction, lease: Lease): Promise<string> {
  await lease.guard(trx).catch(() => {});
  await run(write.replace('%', String(lease.token))).catch(() => {});
  return await commit();
}

describe.each(transactionKinds)('in $kind', ({ kind, open }) => {
  describe.each(isolationLevels)('%s', (isolation) => {
    const key = (name: string): string => `${name}, ${kind}, ${isolation}`;
    test('a guard passes while the lease is held, and the write commits', async () => {
      await using lease = await fencepost.leases.acquire(key('held'), { ttl });
      const { trx, run, commit } = await open(database.pool, isolation);
      await lease.guard(trx);
      await run(write.replace('%', String(lease.token)));
      expect(await commit()).toBe('COMMIT');
      expect(await writtenBy(lease)).toBe(1);
    });

    test('a guard passes when the holder is dead and nobody took the lease', async () => {
      await using lease = await fencepost.leases.acquire(key('dead'), { ttl });
      await expireHolder(lease);
      const transaction = await open(database.pool, isolation);
      await lease.guard(transaction.trx);
      expect(await commitDespiteErrors(transaction, lease)).toBe('COMMIT');
      expect(await writtenBy(lease)).toBe(1);
    });

    test('a guard refuses a lease that was taken, and the transaction cannot commit', async () => {
      const lease = await fencepost.leases.acquire(key('taken'), { ttl });
      await expireHolder(lease);
      await using next = await other.leases.acquire(key('taken'), { ttl });
      const transaction = await open(database.pool, isolation);
      await expect(lease.guard(transaction.trx)).rejects.toThrow(StaleTokenError);
      expect(await commitDespiteErrors(transaction, lease)).toBe('ROLLBACK');
      expect(await writtenBy(lease)).toBe(0);
      expect(next.token > lease.token).toBe(true);
    });

    test('a guard refuses a lease that was released', async () => {
      const lease = await fencepost.leases.acquire(key('released'), { ttl });
      await lease.release();
      const transaction = await open(database.pool, isolation);
      await expect(lease.guard(transaction.trx)).rejects.toMatchObject({
        code: 'STALE_TOKEN',
        key: key('released'),
        token: lease.token,
      });
      expect(await commitDespiteErrors(transaction, lease)).toBe('ROLLBACK');
    });

    test('a guard refuses a lease that was taken after the transaction had begun to read', async () => {
      const lease = await fencepost.leases.acquire(key('late'), { ttl });
      const { trx, run, rollback } = await open(database.pool, isolation);
      await run('select from public.written');
      await lease.release();
      await using _next = await other.leases.acquire(key('late'), { ttl });
      await expect(lease.guard(trx)).rejects.toThrow(StaleTokenError);
      await rollback();
    });

    test('nobody takes the lease of a dead holder while a transaction that guards it is open', async () => {
      const lease = await fencepost.leases.acquire(key('open'), { ttl });
      const { trx, commit } = await open(database.pool, isolation);
      await lease.guard(trx);
      await expireHolder(lease);
      expect(await other.leases.tryAcquire(key('open'), { ttl })).toBeNull();
      expect(await other.leases.tryAcquire(key('open'), { ttl, wait: '20ms', renew: false })).toBeNull();
      expect(await commit()).toBe('COMMIT');
      await using next = await other.leases.acquire(key('open'), { ttl, wait: '5s' });
      expect(next.token > lease.token).toBe(true);
    });

    test('an open guard is in the way of no heartbeat, no other guard and no release of its own holder', async () => {
      const lease = await fencepost.leases.acquire(key('meanwhile'), { ttl });
      const one = await open(database.pool, isolation);
      await lease.guard(one.trx);
      await lease.renew();
      const two = await open(database.pool, isolation);
      await lease.guard(two.trx);
      await lease.renew();
      expect(await two.commit()).toBe('COMMIT');
      await lease.release();
      expect(await other.leases.tryAcquire(key('meanwhile'), { ttl })).toBeNull();
      await one.rollback();
      await using next = await other.leases.acquire(key('meanwhile'), { ttl, wait: '5s' });
      expect(next.token > lease.token).toBe(true);
    });

    test('an open guard is in the way of no renewal of a fixed term', async () => {
      await using lease = await fencepost.leases.acquire(key('fixed'), { ttl, renew: false });
      const { trx, commit } = await open(database.pool, isolation);
      await lease.guard(trx);
      await lease.renew();
      expect(await commit()).toBe('COMMIT');
    });
  });
});

test('a release since the snapshot is not seen in REPEATABLE READ, but nobody gets the lease before the end', async () => {
  const lease = await fencepost.leases.acquire('a', { ttl });
  const { trx, run, commit } = await openPg(database.pool, 'repeatable read');
  await run('select from fencepost.lease');
  await lease.release();
  await lease.guard(trx);
  expect(await fencepost.leases.tryAcquire('a', { ttl })).toBeNull();
  expect(await commit()).toBe('COMMIT');
  await using _next = await fencepost.leases.acquire('a', { ttl, wait: '5s' });
});

test('a guard outside of a transaction is refused, whatever it was given', async () => {
  await using lease = await fencepost.leases.acquire('a', { ttl });
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool: database.pool }) });
  const client = await database.pool.connect();
  const refused = { code: 'ARGUMENT', argument: 'transaction' };
  try {
    await expect(lease.guard(client)).rejects.toMatchObject(refused);
    await client.query('begin');
    await lease.guard(client);
    await client.query('commit');
    await expect(lease.guard(client)).rejects.toMatchObject(refused);
    await expect(lease.guard(database.pool)).rejects.toMatchObject(refused);
    const escaped = await db.transaction().execute(async (trx) => ({ trx }));
    await expect(lease.guard(escaped.trx)).rejects.toThrow();
    for (const wrong of [db, undefined, null, 'begin', {}, { query: 1 }]) {
      await expect(lease.guard(wrong as never)).rejects.toThrow(ArgumentError);
    }
    await db
      .connection()
      .execute((connection) => expect(lease.guard(connection as never)).rejects.toMatchObject(refused));
  } finally {
    client.release();
  }
});

test('any key can be guarded, whatever its characters and the settings of the session', {
  tags: ['F40'],
}, async () => {
  const names = [`it's`, 'back\\slash', `"quoted"`, `'; drop table t; --`, 'Grüße, 世界 🔒', '$1', '%', ''];
  for (const conforming of ['on', 'off']) {
    const { trx, run, rollback } = await openPg(database.pool, 'read committed');
    await run(`set local standard_conforming_strings = ${conforming}; set local search_path = ''`);
    await run(`set local client_encoding = 'UTF8'`);
    for (const name of names) {
      await using lease = await fencepost.leases.acquire({ tenant: name, name: [name, 'x'] }, { ttl });
      await lease.guard(trx);
    }
    await rollback();
  }
});

/** Whether somebody gets the lease of a dead holder although a transaction that guards it is open. */
async function takenWhileGuarded(name: string, from: string, to: string): Promise<boolean> {
  await using own = await createDatabase();
  await plant(own.query, name, [from, to]);
  await using one = new Fencepost({ connection: own.url });
  const lease = await one.leases.acquire('a', { ttl });
  const { trx, rollback } = await openPg(own.pool, 'read committed');
  await lease.guard(trx);
  await expireHolder(lease, own);
  const taken = await one.leases.tryAcquire('a', { ttl });
  await rollback();
  return taken !== null;
}

test('a guard without a row lock, or a takeover with too weak a one, would let two in', async () => {
  expect(await takenWhileGuarded('guard', 'for key share', '')).toBe(true);
  expect(await takenWhileGuarded('lease_acquire', 'for update of l', 'for no key update of l')).toBe(true);
  expect(await takenWhileGuarded('guard', 'for key share', 'for key share')).toBe(false);
});

test('a guard stands only as long as the savepoint that it was set after', async () => {
  const lease = await fencepost.leases.acquire('a', { ttl });
  const { trx, run, rollback } = await openPg(database.pool, 'read committed');
  await run('savepoint before');
  await lease.guard(trx);
  await expireHolder(lease);
  expect(await other.leases.tryAcquire('a', { ttl })).toBeNull();
  await run('rollback to savepoint before');
  await using _next = await other.leases.acquire('a', { ttl, wait: '5s' });
  await rollback();
});
