import pg from 'pg';
import { expect, inject, test } from 'vitest';
import { createDatabase, type TestDatabase } from '../support/database.ts';

async function connect(database: TestDatabase, name: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: database.url, application_name: name });
  client.on('error', () => {});
  await client.connect();
  return client;
}

async function exists(name: string): Promise<boolean> {
  const admin = new pg.Client({ connectionString: inject('adminUrl') });
  await admin.connect();
  const { rowCount } = await admin.query('select from pg_database where datname = $1', [name]);
  await admin.end();
  return rowCount === 1;
}

test('a test database is reached by its url, its pool and its query', async () => {
  await using database = await createDatabase();
  const [row] = await database.query<{ name: string; encoding: string }>(
    `select current_database() as name, current_setting('server_encoding') as encoding where 1 = $1`,
    [1],
  );
  expect(row).toEqual({ name: database.name, encoding: 'UTF8' });
  expect(new URL(database.url).pathname).toBe(`/${database.name}`);
});

test('a clone holds what the template holds, an empty database does not', async () => {
  await using clone = await createDatabase();
  await using empty = await createDatabase({ template: false });
  const schemas = `select nspname from pg_namespace where nspname = 'fencepost'`;
  expect(await clone.query(schemas)).toHaveLength(1);
  expect(await empty.query(schemas)).toHaveLength(0);
});

test('twenty databases are cloned at once, and gone when disposed', async () => {
  const databases = await Promise.all(Array.from({ length: 20 }, () => createDatabase()));
  expect(new Set(databases.map(({ name }) => name)).size).toBe(20);
  await Promise.all(databases.map((database) => database[Symbol.asyncDispose]()));
  expect(await Promise.all(databases.map(({ name }) => exists(name)))).not.toContain(true);
});

test('a session left open fails its test by name, with its state, its last query and its locks', async () => {
  const database = await createDatabase();
  const client = await connect(database, 'forgotten');
  await client.query('begin');
  await client.query('select pg_advisory_lock(-7), pg_advisory_lock(1, 2)');
  await client.query('listen something');
  const [row] = (await client.query<{ pid: number }>('select pg_backend_pid() as pid /* the last */')).rows;
  const disposed = database[Symbol.asyncDispose]();
  await expect(disposed).rejects.toThrow(`Left behind in ${database.name}:`);
  await expect(disposed).rejects.toThrow(
    `- session ${row?.pid} (forgotten): idle in transaction; advisory locks -7, (1, 2); ` +
      'last query: select pg_backend_pid() as pid /* the last */',
  );
  expect(await exists(database.name)).toBe(false);
});

test('a client that was not given back to the pool fails its test', async () => {
  const database = await createDatabase();
  const client = await database.pool.connect();
  await client.query('select 1 as kept');
  await expect(database[Symbol.asyncDispose]()).rejects.toThrow(
    /session \d+ .*: idle; last query: select 1 as kept/,
  );
  expect(await exists(database.name)).toBe(false);
});

test('a lock that an idle connection of the pool still holds fails its test', async () => {
  const database = await createDatabase();
  await database.query('select pg_advisory_lock(42)');
  await expect(database[Symbol.asyncDispose]()).rejects.toThrow('advisory locks 42');
});

test('sessions that are just ending are waited for', async () => {
  await using database = await createDatabase();
  const client = await connect(database, 'ending');
  void client.query('select pg_sleep(0.3)').finally(() => client.end());
});
