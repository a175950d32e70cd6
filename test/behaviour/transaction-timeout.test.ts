import { afterAll, describe, expect, test } from 'vitest';
import { connect, failure, heldKeys } from '../support/clients.ts';
import { createDatabase } from '../support/database.ts';

const database = await createDatabase({ template: false });
afterAll(() => database[Symbol.asyncDispose]());

describe('Postgres, when a wait for an advisory lock times out in a transaction', () => {
  test('dooms the transaction, and a savepoint around the wait saves it', async () => {
    await using clients = await connect(database, 2);
    const [holder, waiter] = clients;
    await holder.query('begin; select pg_advisory_xact_lock(1)');
    await waiter.query(`begin; set local lock_timeout = '10ms'`);
    expect(await failure(waiter.query('select pg_advisory_xact_lock(1)'))).toMatchObject({ code: '55P03' });
    expect(await failure(waiter.query('select 1'))).toMatchObject({ code: '25P02' });
    await waiter.query(`rollback; begin; set local lock_timeout = '10ms'; savepoint here`);
    expect(await failure(waiter.query('select pg_advisory_xact_lock(1)'))).toMatchObject({ code: '55P03' });
    await waiter.query('rollback to here');
    expect((await waiter.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  test('frees a transaction lock by ROLLBACK TO an earlier savepoint, and a session lock never', async () => {
    await using clients = await connect(database, 1);
    const [client] = clients;
    await client.query('begin; select pg_advisory_xact_lock(1); savepoint here');
    await client.query('select pg_advisory_xact_lock(2), pg_advisory_lock(3)');
    expect(await heldKeys(client)).toEqual([1, 2, 3]);
    await client.query('rollback to here');
    expect(await heldKeys(client)).toEqual([1, 3]);
    await client.query('rollback');
    expect(await heldKeys(client)).toEqual([3]);
  });

  test('keeps a lock over RELEASE of the savepoint it was taken in', async () => {
    await using clients = await connect(database, 1);
    const [client] = clients;
    await client.query('begin; savepoint here; select pg_advisory_xact_lock(1); release here');
    expect(await heldKeys(client)).toEqual([1]);
    await client.query('commit');
    expect(await heldKeys(client)).toEqual([]);
  });

  test('keeps local settings over RELEASE until the end, and takes them back by ROLLBACK TO', async () => {
    await using clients = await connect(database, 1);
    const [client] = clients;
    const timeout = async () => (await client.query('show lock_timeout')).rows[0].lock_timeout;
    await client.query(`begin; savepoint here; set local lock_timeout = '10ms'; release here`);
    expect(await timeout()).toBe('10ms');
    await client.query(`savepoint here; set local lock_timeout = '20ms'; rollback to here`);
    expect(await timeout()).toBe('10ms');
    await client.query('commit');
    expect(await timeout()).toBe('0');
  });

  test('lets a session setting of the same transaction outlive a local one on top of it', async () => {
    await using clients = await connect(database, 1);
    const [client] = clients;
    await client.query(`begin; set lock_timeout = '7s'; savepoint here; set local lock_timeout = '5ms'`);
    await client.query(`set local lock_timeout = '7s'; release here; commit`);
    expect((await client.query('show lock_timeout')).rows).toEqual([{ lock_timeout: '7s' }]);
  });

  test('refuses SAVEPOINT outside of a transaction block, in a message of several statements too', async () => {
    await using clients = await connect(database, 1);
    const [client] = clients;
    const script = 'savepoint here; select pg_advisory_xact_lock(1); release here';
    expect(await failure(client.query(script))).toMatchObject({ code: '25P01' });
    expect(await heldKeys(client)).toEqual([]);
  });

  test('hides an outer savepoint of the same name only until the inner one is released', async () => {
    await using clients = await connect(database, 1);
    const [client] = clients;
    await client.query('begin; savepoint here; select pg_advisory_xact_lock(1)');
    await client.query('savepoint here; select pg_advisory_xact_lock(2); rollback to here; release here');
    expect(await heldKeys(client)).toEqual([1]);
    await client.query('rollback to here');
    expect(await heldKeys(client)).toEqual([]);
  });
});

test('Postgres ignores a cancel that comes between two statements of a transaction', async () => {
  await using clients = await connect(database, 2);
  const [client, other] = clients;
  await client.query('begin');
  const { rows } = await client.query('select pg_backend_pid() as pid');
  await other.query('select pg_cancel_backend($1)', [rows[0].pid]);
  expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
});
