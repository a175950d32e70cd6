import { Fencepost, fencedColumnSql, SchemaError } from 'fencepost';
import { afterAll, expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';

const database = await createDatabase();
afterAll(() => database[Symbol.asyncDispose]());

test('each holder of a session lock draws a greater token than the one before, in whatever process', async () => {
  await using one = new Fencepost({ connection: database.url });
  await using other = new Fencepost({ connection: database.url });
  const tokens: bigint[] = [];
  const rounds = 200;
  await Promise.all(
    [one, other, one, other].map(async (fencepost) => {
      for (let round = 0; round < rounds; round += 1) {
        await using lock = await fencepost.advisory.acquire('fenced', { fence: true });
        tokens.push(lock.token);
      }
    }),
  );
  expect(tokens).toHaveLength(4 * rounds);
  expect(tokens.every((token, place) => place === 0 || token > (tokens[place - 1] ?? token))).toBe(true);
});

test('a token is drawn only when it is asked for', async () => {
  await using fencepost = new Fencepost({ connection: database.url });
  await using lock = await fencepost.advisory.acquire('plain');
  expect(lock.token).toBeUndefined();
});

test('without the schema a fenced acquire says what to do, and leaves nothing held', async () => {
  await using empty = await createDatabase({ template: false });
  await using fencepost = new Fencepost({ connection: empty.url });
  await expect(fencepost.advisory.acquire('fenced', { fence: true })).rejects.toThrow(SchemaError);
  expect(
    await empty.query(`select from pg_locks where locktype = 'advisory'
      and database = (select oid from pg_database where datname = current_database())`),
  ).toHaveLength(0);
  await using lock = await fencepost.advisory.acquire('fenced', { wait: 0 });
  expect(lock.state).toBe('held');
});

test('a fenced column refuses a smaller token than the row has, and a missing one', async () => {
  await database.query(
    'create schema "My App"; create table "My App".account (id int primary key, balance int)',
  );
  const ddl = fencedColumnSql({ table: 'My App.account', column: "holder's token" });
  await database.query(ddl);
  await database.query(ddl);
  await database.query('insert into "My App".account values (1, 100)');
  const write = (balance: number, token: bigint | null) =>
    database.query(`update "My App".account set balance = $1, "holder's token" = $2 where id = 1`, [
      balance,
      token,
    ]);

  await write(1, 20n);
  await write(2, 20n);
  await write(3, 21n);
  await expect(write(4, 20n)).rejects.toMatchObject({
    code: 'FP001',
    table: 'account',
    column: "holder's token",
  });
  await expect(write(5, null)).rejects.toMatchObject({ code: 'FP001' });
  expect(await database.query('select balance from "My App".account')).toEqual([{ balance: 3 }]);
});

test('a session that lost its lock cannot write over the next one through a fenced column', {
  tags: ['F07'],
}, async () => {
  await database.query('create table ledger (id int primary key, writer text)');
  await database.query(fencedColumnSql({ table: 'ledger' }));
  await database.query("insert into ledger values (1, 'nobody')");
  await using one = new Fencepost({ connection: database.url });
  await using other = new Fencepost({ connection: database.url });
  const old = await one.advisory.acquire('ledger', { fence: true });
  const [lock] = await one.inspect.locks({ keys: ['ledger'] });
  await database.query('select pg_terminate_backend($1)', [lock?.pid]);
  await using next = await other.advisory.acquire('ledger', { fence: true });
  const write = (writer: string, token: bigint) =>
    database.query('update ledger set writer = $1, fencing_token = $2', [writer, token]);
  await write('next', next.token);
  await expect(write('old', old.token)).rejects.toMatchObject({ code: 'FP001' });
  expect(await database.query('select writer from ledger')).toEqual([{ writer: 'next' }]);
});
