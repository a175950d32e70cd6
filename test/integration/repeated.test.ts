import { afterAll, expect, test } from 'vitest';
import { systemClock } from '../../src/core/clock.ts';
import { Connection } from '../../src/session/connection.ts';
import type { Statement } from '../../src/sql/statement.ts';
import { createDatabase } from '../support/database.ts';

const database = await createDatabase();
const connection = await Connection.open(database.url, systemClock, () => {});
afterAll(async () => {
  await connection.close();
  await database[Symbol.asyncDispose]();
});

const run = (name: string, text: string, values: Statement['values'] = []) =>
  connection.query({ name, text, values });

test('the second answer to a statement is read as the first, whatever is in it', async () => {
  const values = ['ü "{}\\', null, 7, true, '1', '-'];
  const text = `select $1::text as text, $2::text as nothing, $3::integer as number, $4::boolean as yes, '' as empty,
    repeat(n::text, 3) as many from generate_series($5::int, 3) n where $6 <> 'none'`;
  const first = await run('texts', text, values);
  expect(first).toHaveLength(3);
  expect(first[0]).toEqual({
    ...{ text: 'ü "{}\\', nothing: null, number: '7', yes: 't', empty: '', many: '111' },
  });
  expect(await run('texts', text, values)).toEqual(first);
  expect(await run('texts', text, ['', 'x', -1, false, '3', '-'])).toEqual([
    { text: '', nothing: 'x', number: '-1', yes: 'f', empty: '', many: '333' },
  ]);
  expect(await run('texts', text, [...values.slice(0, 5), 'none'])).toEqual([]);
});

test('so are those of a list, which the driver writes, and of a statement without columns', async () => {
  for (const list of [['a', 'b,"'], [], [null]])
    expect(await run('list', 'select cardinality($1::text[]) as size', [list])).toEqual([
      { size: String(list.length) },
    ]);
  for (let time = 0; time < 3; time += 1)
    expect(await run('none', 'select from pg_class limit 2')).toEqual([{}, {}]);
});

test('an error of the second time is that of the statement, and the connection goes on', async () => {
  const text = 'select 8 / $1::integer as quotient';
  expect(await run('quotient', text, [2])).toEqual([{ quotient: '4' }]);
  for (let time = 0; time < 2; time += 1) {
    await expect(run('quotient', text, [0])).rejects.toMatchObject({ sqlState: '22012', inDoubt: false });
    await expect(run('quotient', text, ['two'])).rejects.toMatchObject({ sqlState: '22P02' });
    expect(await run('quotient', text, [4])).toEqual([{ quotient: '2' }]);
  }
  expect(connection.lost).toBe(false);
});

test('columns that have changed since are refused by the server, not mistaken for those before', async () => {
  await database.query('create table shape (one text, two text)');
  await database.query(`insert into shape values ('1', '2')`);
  expect(await run('shape', 'select * from shape')).toEqual([{ one: '1', two: '2' }]);
  await database.query('alter table shape drop column one');
  await database.query('alter table shape add column three text');
  await expect(run('shape', 'select * from shape')).rejects.toMatchObject({ sqlState: '0A000' });
  expect(await run('other shape', 'select * from shape')).toEqual([{ two: '2', three: null }]);
});
