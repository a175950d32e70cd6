import { afterAll, expect, test } from 'vitest';
import { connect, failure, heldKeys } from '../support/clients.ts';
import { createDatabase } from '../support/database.ts';
import { blockedIn } from '../support/sessions.ts';

const database = await createDatabase({ template: false });
afterAll(() => database[Symbol.asyncDispose]());

test('session locks are counted: what was locked twice is held after one unlock', async () => {
  await using clients = await connect(database, 1);
  const [client] = clients;
  await client.query('select pg_advisory_lock(1), pg_advisory_lock(1), pg_advisory_unlock(1)');
  expect(await heldKeys(client)).toEqual([1]);
  await client.query('select pg_advisory_unlock(1)');
  expect(await heldKeys(client)).toEqual([]);
});

test('an unlock elsewhere answers false with a warning, not an error', async () => {
  await using clients = await connect(database, 2);
  const [holder, other] = clients;
  await holder.query('select pg_advisory_lock(1)');
  const warned = new Promise<string | undefined>((resolve) =>
    other.on('notice', ({ severity }) => resolve(severity)),
  );
  expect((await other.query('select pg_advisory_unlock(1) as unlocked')).rows).toEqual([{ unlocked: false }]);
  expect(await warned).toBe('WARNING');
  expect(await heldKeys(holder)).toEqual([1]);
});

test('in a transaction that has failed a session lock cannot be released, and survives the rollback', async () => {
  await using clients = await connect(database, 1);
  const [client] = clients;
  await client.query('begin; select pg_advisory_lock(1), pg_advisory_xact_lock(2)');
  await failure(client.query('select 1 / 0'));
  expect(await failure(client.query('select pg_advisory_unlock(1)'))).toMatchObject({ code: '25P02' });
  await client.query('rollback');
  expect(await heldKeys(client)).toEqual([1]);
});

test('a session lock and a transaction lock on one key exclude each other, but not within a session', async () => {
  await using clients = await connect(database, 2);
  const [one, other] = clients;
  await one.query('begin; select pg_advisory_lock(1), pg_advisory_xact_lock(2)');
  const { rows } = await one.query('select pg_try_advisory_xact_lock(1) as a, pg_try_advisory_lock(2) as b');
  expect(rows).toEqual([{ a: true, b: true }]);
  await other.query('begin');
  const refused = await other.query('select pg_try_advisory_xact_lock(1) as a, pg_try_advisory_lock(2) as b');
  expect(refused.rows).toEqual([{ a: false, b: false }]);
});

test('in REPEATABLE READ the snapshot is older than the lock it waited for; in READ COMMITTED the next statement is not', async () => {
  await database.query('create table counter (value int); insert into counter values (1)');
  for (const [isolation, seen] of [
    ['repeatable read', 1],
    ['read committed', 2],
  ] as const) {
    await using clients = await connect(database, 2);
    const [holder, waiter] = clients;
    await database.query('update counter set value = 1');
    await holder.query('begin; select pg_advisory_xact_lock(1); update counter set value = 2');
    await waiter.query(`begin isolation level ${isolation}`);
    const granted = waiter.query('select pg_advisory_xact_lock(1)');
    await blockedIn(database, 'pg_advisory_xact_lock');
    await holder.query('commit');
    await granted;
    expect((await waiter.query('select value from counter')).rows).toEqual([{ value: seen }]);
  }
});
