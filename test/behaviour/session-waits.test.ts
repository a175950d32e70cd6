import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, describe, expect, test } from 'vitest';
import { advisoryLocks, queued } from '../support/advisory.ts';
import { connect, failure, heldKeys } from '../support/clients.ts';
import { createDatabase } from '../support/database.ts';
import { startProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';

const database = await createDatabase({ template: false });
afterAll(() => database[Symbol.asyncDispose]());

const pidOf = async (client: pg.Client): Promise<number> =>
  (await client.query('select pg_backend_pid() as pid')).rows[0].pid;

describe('Postgres, when the end of a wait for a session lock meets its grant', () => {
  const races: [string, (waiter: pg.Client, holder: pg.Client, pid: number) => Promise<unknown>][] = [
    ['55P03', (waiter) => waiter.query(`select set_config('lock_timeout', '3', true), pg_advisory_lock(1)`)],
    [
      '57014',
      async (waiter, holder, pid) => {
        const waiting = waiter.query('select pg_advisory_lock(1)');
        waiting.catch(() => {});
        await delay(3);
        // One message: the unlock and the cancel come right after each other.
        await holder.query(`select pg_advisory_unlock(1); select pg_cancel_backend(${pid})`);
        return await waiting;
      },
    ],
  ];

  test.each(races)(
    'fails with %s, and sometimes holds the lock nevertheless',
    { timeout: 120_000 },
    async (code, wait) => {
      await using clients = await connect(database, 2);
      const [holder, waiter] = clients;
      const pid = await pidOf(waiter);
      await until(
        'an error that left the lock held',
        async () => {
          await holder.query('select pg_advisory_lock(1)');
          const waiting = wait(waiter, holder, pid).then(
            () => undefined,
            (error: pg.DatabaseError) => error,
          );
          if (code === '55P03') {
            await delay(2 + Math.random() * 2);
            await holder.query('select pg_advisory_unlock(1)');
          }
          const error = await waiting;
          if (error !== undefined) expect(error.code).toBe(code);
          const held = await heldKeys(waiter);
          await waiter.query('select pg_advisory_unlock_all()');
          return error !== undefined && held.length > 0;
        },
        100_000,
      );
    },
  );
});

test('a client that is gone stays in the queue, unless the server looks after it', async () => {
  await using proxy = await startProxy(database.url);
  await using clients = await connect(database, 1);
  const [holder] = clients;
  await holder.query('select pg_advisory_lock(1)');
  const [watched, forgotten] = await Promise.all(
    ['100ms', '0'].map(async (interval) => {
      const client = new pg.Client({ connectionString: proxy.url });
      client.on('error', () => {});
      await client.connect();
      await client.query(`set client_connection_check_interval = '${interval}'`);
      const pid = await pidOf(client);
      client.query('select pg_advisory_lock(1)').catch(() => {});
      return pid;
    }),
  );
  await queued(database, 2);
  proxy.cut();
  const waiting = async (): Promise<number[]> =>
    (await advisoryLocks(database)).filter(({ granted }) => !granted).map(({ pid }) => pid);
  await until('the watched one is gone', async () => !(await waiting()).includes(watched ?? 0));
  expect(await waiting()).toEqual([forgotten]);
  // It gets the lock, and only then finds that nobody is there.
  await holder.query('select pg_advisory_unlock(1)');
  await until('the forgotten one is gone', async () => (await advisoryLocks(database)).length === 0);
});

test('a timeout on the side of the client leaves the wait on the server, and the lock goes to nobody', async () => {
  await using clients = await connect(database, 1);
  const [holder] = clients;
  await holder.query('select pg_advisory_lock(1)');
  const impatient = new pg.Client({ connectionString: database.url, query_timeout: 50 });
  await impatient.connect();
  const error = await failure(impatient.query('select pg_advisory_lock(1)'));
  expect(error.message).toBe('Query read timeout');
  const [waiter] = await queued(database);
  await holder.query('select pg_advisory_unlock(1)');
  await until('granted', async () =>
    (await advisoryLocks(database)).some(({ pid, granted }) => granted && pid === waiter?.pid),
  );
  await impatient.end();
});

test('a cancel names a session, not a statement: one that comes late hits the next', async () => {
  await using clients = await connect(database, 3);
  const [holder, waiter, canceller] = clients;
  const pid = await pidOf(waiter);
  await holder.query('select pg_advisory_lock(1), pg_advisory_lock(2)');
  const wanted = waiter.query('select pg_advisory_lock(1)');
  await queued(database);
  await holder.query('select pg_advisory_unlock(1)');
  await wanted;
  const next = failure(waiter.query('select pg_advisory_lock(2)'));
  await queued(database);
  // Meant for the wait that is over.
  await canceller.query('select pg_cancel_backend($1)', [pid]);
  expect(await next).toMatchObject({ code: '57014' });
  expect(await heldKeys(waiter)).toEqual([1]);
});

test('a cancel of a session that does nothing is forgotten', async () => {
  await using clients = await connect(database, 2);
  const [idle, canceller] = clients;
  await canceller.query('select pg_cancel_backend($1)', [await pidOf(idle)]);
  expect((await idle.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
});

describe('a local setting made by the statement that waits', () => {
  const wait = (setting: string, value: number): string =>
    `select set_config('${setting}', '${value}', true), pg_advisory_lock(1)`;

  test('bounds the wait when it is lock_timeout, and is gone afterwards', async () => {
    await using clients = await connect(database, 2);
    const [holder, waiter] = clients;
    await holder.query('select pg_advisory_lock(1)');
    expect(await failure(waiter.query(wait('lock_timeout', 20)))).toMatchObject({ code: '55P03' });
    expect((await waiter.query('show lock_timeout')).rows).toEqual([{ lock_timeout: '0' }]);
    await holder.query('select pg_advisory_unlock(1)');
    await waiter.query(wait('lock_timeout', 20));
    expect((await waiter.query('show lock_timeout')).rows).toEqual([{ lock_timeout: '0' }]);
  });

  test('does nothing when it is statement_timeout, whose clock runs already', async () => {
    await using clients = await connect(database, 3);
    const [holder, waiter, other] = clients;
    await holder.query('select pg_advisory_lock(1)');
    const waiting = waiter.query(wait('statement_timeout', 20));
    await queued(database);
    // A longer one that works is over first.
    expect(await failure(other.query(wait('lock_timeout', 100)))).toMatchObject({ code: '55P03' });
    expect(await queued(database)).toHaveLength(1);
    await holder.query('select pg_advisory_unlock(1)');
    await waiting;
  });

  test('stays until the end of a transaction that it is made in', async () => {
    await using clients = await connect(database, 1);
    const [client] = clients;
    await client.query('begin');
    await client.query(wait('lock_timeout', 20));
    expect((await client.query('show lock_timeout')).rows).toEqual([{ lock_timeout: '20ms' }]);
    await client.query('commit');
    expect((await client.query('show lock_timeout')).rows).toEqual([{ lock_timeout: '0' }]);
  });
});
