import { ArgumentError, Fencepost, LockTimeoutError, type PgTransaction, StateError } from 'fencepost';
import type pg from 'pg';
import { afterAll, expect, test } from 'vitest';
import { keyHash } from '../../src/core/key.ts';
import { advisoryLocks, queued, sessionsOfFencepost } from '../support/advisory.ts';
import { connect, failure, heldKeys } from '../support/clients.ts';
import { createDatabase } from '../support/database.ts';

const database = await createDatabase({ template: false });
const fencepost = new Fencepost({ connection: database.url });
afterAll(async () => {
  await fencepost.close();
  await database[Symbol.asyncDispose]();
});

/** The client, and what was sent through it, one entry a message. */
function watched(client: pg.Client): PgTransaction & { readonly sent: string[] } {
  const sent: string[] = [];
  return {
    sent,
    query(query) {
      sent.push(query.text);
      return client.query(query);
    },
  };
}

test('a lock that is granted costs one message, one that is not two, and a try one', async () => {
  await using clients = await connect(database, 2);
  const [holder, client] = clients;
  await holder.query('begin; select pg_advisory_xact_lock(1)');
  await client.query('begin');
  const cost = async (call: (tx: PgTransaction) => Promise<unknown>): Promise<number> => {
    const tx = watched(client);
    await call(tx).catch(() => {});
    return tx.sent.length;
  };
  const locks = (tx: PgTransaction) => fencepost.transaction(tx);
  expect(await cost((tx) => locks(tx).acquire(2n))).toBe(1);
  expect(await cost((tx) => locks(tx).acquire(2n, { wait: '5s', mode: 'shared' }))).toBe(1);
  expect(await cost((tx) => locks(tx).acquireAll([3n, 4n, 5n]))).toBe(1);
  expect(await cost((tx) => locks(tx).tryAcquire(6n))).toBe(1);
  expect(await cost((tx) => locks(tx).tryAcquire(1n))).toBe(1);
  expect(await cost((tx) => locks(tx).tryAcquire(1n, { wait: 1 }))).toBe(2);
  expect(await cost((tx) => locks(tx).acquire(7n, { signal: new AbortController().signal }))).toBe(3);
  const waits = cost((tx) => locks(tx).acquire(1n));
  await queued(database);
  await holder.query('commit');
  expect(await waits).toBe(1);
});

test('a signal that has aborted before sends nothing', async () => {
  await using clients = await connect(database, 1);
  const tx = watched(clients[0]);
  const signal = AbortSignal.abort(new Error('too late'));
  const locks = fencepost.transaction(tx);
  await expect(locks.acquire('a', { signal })).rejects.toThrow('too late');
  await expect(locks.tryAcquire('a', { signal })).rejects.toThrow('too late');
  await expect(locks.acquireAll(['a', 'b'], { signal })).rejects.toThrow('too late');
  expect(tx.sent).toEqual([]);
});

test('it opens no connection unless a wait is aborted, and then one', async () => {
  await using own = new Fencepost({ connection: database.url });
  await using clients = await connect(database, 2);
  const [holder, client] = clients;
  await holder.query('begin');
  await client.query('begin');
  await own.transaction(holder).acquire('a');
  const locks = own.transaction(client);
  await expect(locks.acquire('a', { wait: 1 })).rejects.toThrow(LockTimeoutError);
  await locks.acquire('b', { signal: new AbortController().signal });
  expect(await sessionsOfFencepost(database)).toHaveLength(0);
  for (let round = 0; round < 3; round += 1) {
    await expect(locks.acquire('a', { signal: AbortSignal.timeout(10) })).rejects.toThrow();
  }
  expect(await sessionsOfFencepost(database)).toHaveLength(1);
});

test('waiters are granted in the order of their calls, and time out in between without disturbing it', async () => {
  await using clients = await connect(database, 4);
  const [holder, ...waiters] = clients;
  await holder?.query('begin; select pg_advisory_xact_lock(1)');
  const order: number[] = [];
  const granted: Promise<void>[] = [];
  for (const [place, waiter] of waiters.entries()) {
    await waiter.query('begin');
    granted.push(
      fencepost
        .transaction(waiter)
        .acquire(1n, place === 1 ? { wait: 300 } : {})
        .then(
          async () => {
            order.push(place);
            await waiter.query('commit');
          },
          (error: unknown) => expect(error).toBeInstanceOf(LockTimeoutError),
        ),
    );
    await queued(database, place + 1);
  }
  await granted[1];
  expect(await queued(database, 2)).toHaveLength(2);
  await holder?.query('commit');
  await Promise.all(granted);
  expect(order).toEqual([0, 2]);
});

test('a key is one number for transactions, sessions and the namespace', async () => {
  await using spaced = new Fencepost({ connection: database.url, namespace: 'billing' });
  await using clients = await connect(database, 2);
  const [client, other] = clients;
  await client.query('begin');
  await other.query('begin');
  const key = ['invoice', 7];
  await fencepost.transaction(client).acquire(key);
  expect((await advisoryLocks(database)).map(({ key }) => BigInt.asIntN(64, BigInt(key)))).toEqual([
    keyHash('key', key),
  ]);
  expect(await fencepost.transaction(other).tryAcquire(['invoice', '7'])).toBe(false);
  expect(await spaced.transaction(other).tryAcquire(key)).toBe(true);
  await client.query('rollback');
  await using session = await fencepost.advisory.acquire(key);
  await client.query('begin');
  expect(await fencepost.transaction(client).tryAcquire(key)).toBe(false);
  const waits = fencepost.transaction(client).acquire(key);
  await queued(database);
  await session.release();
  await waits;
  expect(await fencepost.advisory.tryAcquire(key)).toBeNull();
  expect(await spaced.advisory.tryAcquire(key)).toBeNull();
  await client.query('rollback');
});

test('several locks are taken in the order of their numbers', async () => {
  await using clients = await connect(database, 2);
  const [holder, client] = clients;
  await holder.query('begin; select pg_advisory_xact_lock(9)');
  await client.query('begin');
  const granted = fencepost.transaction(client).acquireAll([10n, 9n, 1n, -2n]);
  const [waiter] = await queued(database);
  const held = (await advisoryLocks(database)).filter((lock) => lock.granted && lock.pid === waiter?.pid);
  expect(held.map(({ key }) => key).sort()).toEqual(['-2', '1']);
  await holder.query('commit');
  await granted;
});

test('the extremes of a 64-bit key exclude, and order, like any other', async () => {
  await using clients = await connect(database, 2);
  const [client, other] = clients;
  const extremes = [2n ** 63n - 1n, -(2n ** 63n), 0n, -1n];
  await client.query('begin');
  await other.query('begin');
  await fencepost.transaction(client).acquireAll(extremes);
  expect(await heldKeys(client)).toHaveLength(4);
  for (const key of extremes) {
    expect(await fencepost.transaction(other).tryAcquire(key)).toBe(false);
    expect(await fencepost.transaction(other).tryAcquire(key, { wait: 1 })).toBe(false);
  }
});

test('a lock that the transaction has is granted again, and in the stronger mode when nobody else has it', async () => {
  await using clients = await connect(database, 2);
  const [client, other] = clients;
  await client.query('begin');
  await other.query('begin');
  const locks = fencepost.transaction(client);
  await locks.acquire('a', { mode: 'shared' });
  await locks.acquire('a');
  expect(await locks.tryAcquire('a')).toBe(true);
  expect(await fencepost.transaction(other).tryAcquire('a', { mode: 'shared' })).toBe(false);
});

test('an error names a few of many keys', async () => {
  await using clients = await connect(database, 2);
  const [client, other] = clients;
  await client.query('begin');
  await other.query('begin');
  await fencepost.transaction(client).acquire('g');
  const refused = failure(fencepost.transaction(other).acquireAll([...'abcdefg'], { wait: 0 }));
  expect(await refused).toMatchObject({ key: 'a, b, c, d, e and 2 more', code: 'LOCK_TIMEOUT' });
});

test('wrong arguments are refused by name', async () => {
  await using clients = await connect(database, 1);
  const locks = fencepost.transaction(clients[0]);
  const refused = async (call: Promise<unknown>, text: string): Promise<void> => {
    await expect(call).rejects.toThrow(ArgumentError);
    await expect(call).rejects.toThrow(text);
  };
  await refused(locks.acquire(7 as never), 'key: expected a string');
  await refused(locks.acquireAll([]), 'keys: expected an array of at least one key');
  await refused(locks.acquireAll('abc' as never), 'keys: expected an array');
  await refused(locks.acquireAll(['a', 7 as never]), 'keys[1]: expected a string');
  await refused(locks.acquire('a', { wiat: 1 } as never), "did you mean 'wait'");
  await refused(locks.acquire('a', { wait: -1 }), 'options.wait');
  await refused(
    locks.acquire('a', { mode: 'share' as never }),
    "options.mode: expected 'exclusive' or 'shared'",
  );
  await refused(locks.acquire('a', { signal: {} as never }), 'options.signal');
  for (const wrong of [undefined, null, 'postgres://localhost', () => {}]) {
    expect(() => fencepost.transaction(wrong as never)).toThrow(ArgumentError);
  }
  await refused(fencepost.transaction({} as never).acquire('a'), 'transaction: expected a transaction');
});

test('a closed Fencepost refuses', async () => {
  const closed = new Fencepost({ connection: database.url });
  await closed.close();
  await using clients = await connect(database, 1);
  expect(() => closed.transaction(clients[0])).toThrow(StateError);
});
