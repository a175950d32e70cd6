import pg from 'pg';
import { afterAll, expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { openPg } from '../support/transactions.ts';

const database = await createDatabase({ template: false });
afterAll(() => database[Symbol.asyncDispose]());

test('a local setting made inside a function lasts until the commit, one of its SET clause does not', async () => {
  await database.query(`
    create function local_setting() returns void language plpgsql set search_path = pg_catalog as $$
    begin perform set_config('synchronous_commit', 'off', true); end $$;
    create function set_clause() returns void language plpgsql set synchronous_commit = off as $$ begin end $$`);
  for (const [name, after] of [
    ['local_setting', 'off'],
    ['set_clause', 'on'],
  ]) {
    const client = await database.pool.connect();
    await client.query('begin');
    await client.query(`select ${name}()`);
    expect((await client.query('show synchronous_commit')).rows).toEqual([{ synchronous_commit: after }]);
    await client.query('commit');
    expect((await client.query('show synchronous_commit')).rows).toEqual([{ synchronous_commit: 'on' }]);
    client.release();
  }
});

test('outside of a transaction the clocks of transaction and statement agree in the simple protocol only', async () => {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  const ask = async (extended: boolean): Promise<boolean> => {
    const text = `select transaction_timestamp() = statement_timestamp() as agree${extended ? ', $1::int' : ''}`;
    const { rows } = await client.query<{ agree: boolean }>(extended ? { text, values: [1] } : text);
    return rows[0]?.agree === true;
  };
  const answers = async (extended: boolean): Promise<Set<boolean>> => {
    const all = new Set<boolean>();
    for (let round = 0; round < 50; round += 1) all.add(await ask(extended));
    return all;
  };
  expect(await answers(false)).toEqual(new Set([true]));
  expect(await answers(true)).toContain(false);
  await client.query('begin');
  expect(await answers(false)).toEqual(new Set([false]));
  await client.query('rollback');
  await client.end();
});

test('a statement that locks no row and writes nothing has no transaction id; a row lock alone makes one', async () => {
  await database.query('create table t (id int primary key); insert into t values (1)');
  const { trx, run, rollback } = await openPg(database.pool, 'read committed');
  const assigned = async (): Promise<boolean> => {
    const { rows } = await (trx as pg.PoolClient).query(
      'select pg_current_xact_id_if_assigned() is not null as assigned',
    );
    return rows[0].assigned;
  };
  await run(`select set_config('synchronous_commit', 'on', true)`);
  await run('select from t where id = 2 for update skip locked');
  expect(await assigned()).toBe(false);
  await run('select from t where id = 1 for key share');
  expect(await assigned()).toBe(true);
  await rollback();
});
