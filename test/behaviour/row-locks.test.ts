import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { blockedIn } from '../support/sessions.ts';
import { isolationLevels, openPg } from '../support/transactions.ts';

// Rules of Postgres that the fencing stands on, without anything of Fencepost.

const database = await createDatabase({ template: false });
await database.query(
  'create table lease (name text primary key, token int, note text, expires_at timestamptz)',
);
afterAll(() => database[Symbol.asyncDispose]());
beforeEach(async () => {
  await database.query('truncate lease');
  await database.query(`insert into lease values ('a', 1)`);
});

const keyShare = `select token from lease where name = 'a' for key share`;
const takeover = `select token from lease where name = 'a' for update skip locked`;
const open = (isolation: (typeof isolationLevels)[number] = 'read committed') =>
  openPg(database.pool, isolation);
const rows = async (text: string): Promise<unknown[]> => await database.query(text);

describe.each(isolationLevels)('a row that is locked FOR KEY SHARE in %s', (isolation) => {
  test('is skipped by FOR UPDATE SKIP LOCKED until the transaction ends', async () => {
    const { run, commit } = await open(isolation);
    await run(keyShare);
    expect(await rows(takeover)).toEqual([]);
    expect(await rows(`select from lease where name = 'a' for no key update skip locked`)).toHaveLength(1);
    await commit();
    expect(await rows(takeover)).toHaveLength(1);
  });

  test('can be updated by others in what is no key, and stays locked through that', async () => {
    const { run, commit } = await open(isolation);
    await run(keyShare);
    await database.query(`update lease set token = 2, note = 'released' where name = 'a'`);
    expect(await rows(takeover)).toEqual([]);
    await commit();
    expect(await rows(takeover)).toEqual([{ token: 2 }]);
  });

  test('can be locked so by several transactions, and is free after the last', async () => {
    const one = await open(isolation);
    const two = await open(isolation);
    await one.run(keyShare);
    await two.run(keyShare);
    await one.commit();
    expect(await rows(takeover)).toEqual([]);
    await two.commit();
    expect(await rows(takeover)).toHaveLength(1);
  });

  test('is free again after a rollback to a savepoint that is older than the lock', async () => {
    const { run, rollback } = await open(isolation);
    await run('savepoint before');
    await run(keyShare);
    await run('rollback to before');
    expect(await rows(takeover)).toHaveLength(1);
    await rollback();
  });
});

describe.each(['repeatable read', 'serializable'] as const)('with a snapshot of %s', (isolation) => {
  test('FOR KEY SHARE fails with 40001 on a row that was locked FOR UPDATE and updated since', async () => {
    const { run, rollback } = await open(isolation);
    await run('select from lease');
    const other = await open();
    await other.run(`select from lease where name = 'a' for update`);
    await other.run(`update lease set token = 2 where name = 'a'`);
    await other.commit();
    await expect(run(keyShare)).rejects.toMatchObject({ code: '40001', routine: 'ExecLockRows' });
    await rollback();
  });

  test('FOR KEY SHARE does not notice a plain update of what is no key', async () => {
    const { trx, run, rollback } = await open(isolation);
    await run('select from lease');
    await database.query(`update lease set token = 2 where name = 'a'`);
    const { rows: seen } = await (trx as typeof database.pool).query(keyShare);
    expect(seen).toEqual([{ token: 1 }]);
    expect(await rows(takeover)).toEqual([]);
    await rollback();
  });

  test('SKIP LOCKED fails with 40001 on a row that was changed since', async () => {
    const { run, rollback } = await open(isolation);
    await run('select from lease');
    await database.query(`update lease set token = 2 where name = 'a'`);
    await expect(run(takeover)).rejects.toMatchObject({ code: '40001' });
    await rollback();
  });
});

test('in READ COMMITTED, FOR KEY SHARE that waited for a takeover looks at the row again', async () => {
  const other = await open();
  await other.run(`select from lease where name = 'a' for update`);
  await other.run(`update lease set token = 2 where name = 'a'`);
  const guarding = database.query(`select token from lease where name = 'a' and token = 1 for key share`);
  await blockedIn(database, 'for key share');
  await other.commit();
  expect(await guarding).toEqual([]);
});

test('in READ COMMITTED, FOR KEY SHARE takes a row as its statement saw it when only what is no key was updated since', async () => {
  // So whatever a guard checks must only ever change under FOR UPDATE.
  const gate = await open();
  await gate.run('select pg_advisory_xact_lock(1)');
  const guarding = database.query(`
    with gate as materialized (select pg_advisory_xact_lock_shared(1)::text as waited)
    select token from gate, lease where waited = '' and name = 'a' and token = 1 for key share of lease`);
  await blockedIn(database, 'gate');
  await database.query(`update lease set token = 2 where name = 'a'`);
  await gate.commit();
  expect(await guarding).toEqual([{ token: 1 }]);
});

test('an update that computes a moment before it waits for the row writes a moment that has passed', async () => {
  const other = await open();
  await other.run(`select from lease where name = 'a' for update`);
  const updating = database.query(
    `update lease set expires_at = clock_timestamp() where name = 'a'
     returning extract(epoch from clock_timestamp() - expires_at)::float8 as late`,
  );
  await blockedIn(database, 'update lease');
  await database.query('select pg_sleep(0.2)');
  await other.commit();
  const [row] = (await updating) as { late: number }[];
  expect(row?.late).toBeGreaterThan(0.19);
});

test('INSERT ON CONFLICT DO NOTHING waits for a transaction that is inserting the same key', async () => {
  const other = await open();
  await other.run(`insert into lease values ('b', 1)`);
  const inserting = database.query(
    `insert into lease values ('b', 2) on conflict do nothing returning token`,
  );
  await blockedIn(database, 'on conflict');
  await other.commit();
  expect(await inserting).toEqual([]);
});

test('a token that is drawn before the row is locked goes back; one that is drawn under the lock does not', async () => {
  await database.query('create sequence token');
  const race = async (update: string): Promise<number> => {
    const clients = Array.from({ length: 8 }, async () => {
      let inverted = 0;
      for (let round = 0; round < 60; round += 1) {
        const [row] = await database.query<{ inverted: boolean }>(update);
        if (row?.inverted === true) inverted += 1;
      }
      return inverted;
    });
    return (await Promise.all(clients)).reduce((sum, count) => sum + count);
  };
  const upsert = `insert into lease (name, token) values ('a', nextval('token'))
    on conflict (name) do update set note = lease.token, token = `;
  const returning = ' returning token < note::int as inverted';
  expect(await race(`${upsert} excluded.token ${returning}`)).toBeGreaterThan(0);
  expect(await race(`${upsert} nextval('token') ${returning}`)).toBe(0);
});
