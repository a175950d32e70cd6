import { readdir, readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ArgumentError, DatabaseError, Fencepost, SchemaError } from 'fencepost';
import { migrate, migrationSql, migrationStatus, rollback } from 'fencepost/migrate';
import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { describeSchema } from '../snapshots/schema.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { createRole } from '../support/role.ts';

const names = ['0001_foundation', '0002_claims'];
const snapshot = fileURLToPath(new URL('../snapshots/schema.txt', import.meta.url));
const committed = await readFile(snapshot, 'utf8');
const sqlFolder = new URL('../../sql/', import.meta.url);

describe('the schema', () => {
  test('is the committed one: up, down to nothing, up again', async () => {
    await using database = await createDatabase({ template: false });
    const app = await createRole(database, '_app');
    const options = { connection: database.url, grant: app.name };
    expect(await migrate(options)).toEqual(names);
    const up = await describeSchema(database, 'fencepost', { [app.name]: 'app' });
    await expect(up).toMatchFileSnapshot(snapshot);

    expect(await rollback({ connection: database.url, count: 99 })).toEqual(names.toReversed());
    const down = await describeSchema(database, 'fencepost', { [app.name]: 'app' });
    expect(down.replaceAll(/^\w+\n/gm, '').trim()).toBe('grants usage to app');
    expect(await rollback({ connection: database.url })).toEqual([]);

    expect(await migrate(options)).toEqual(names);
    expect(await describeSchema(database, 'fencepost', { [app.name]: 'app' })).toBe(up);
  });

  test('is not touched by a migrate that finds nothing to do', async () => {
    await using database = await createDatabase({ template: false });
    const app = await createRole(database, '_app');
    await migrate({ connection: database.url, grant: app.name });
    const versions = `select oid, xmin::text from pg_proc where pronamespace = 'fencepost'::regnamespace union all
      select oid, xmin::text from pg_class where relnamespace = 'fencepost'::regnamespace union all
      select oid, xmin::text from pg_namespace order by 1`;
    const before = await database.query(versions);
    expect(await migrate({ connection: database.url, grant: app.name })).toEqual([]);
    expect(await database.query(versions)).toEqual(before);
  });

  test('is what the files of sql/ make', async () => {
    await using database = await createDatabase();
    const before = await objects(database);
    const files = (await readdir(sqlFolder)).sort();
    const made: string[] = [];
    for (const file of files) {
      const source = await readFile(new URL(file, sqlFolder), 'utf8');
      const found = [...source.matchAll(/^create or replace (?:function|view) (\w+)/gm)].map(
        ([, name]) => name,
      );
      expect(found, file).toContain(basename(file, '.sql'));
      made.push(...found.map(String));
      await database.query(`begin; set local search_path = fencepost, pg_temp; ${source}; commit`);
    }
    expect(await objects(database)).toEqual(before);
    expect(made.sort()).toEqual(before.map(({ name }) => name).sort());
  });
});

describe('the name of the schema', () => {
  test.each(['fencepost', 'My Locks', 'schloß-1', 'a.b, $user; --', `${'ß'.repeat(31)}x`])(
    'may be %j',
    async (schema) => {
      await using database = await createDatabase({ template: false });
      const app = await createRole(database, '_app');
      const options = { connection: database.url, schema };
      expect(await migrate({ ...options, grant: app.name })).toEqual(names);
      const known = { [app.name]: 'app' };
      expect(await describeSchema(database, schema, known)).toBe(committed);

      await using fencepost = new Fencepost({ connection: app.url, schema });
      const lease = await fencepost.leases.acquire('import');
      await using client = await begun(app.url);
      await lease.guard(client);
      await lease.release();
      await expect(lease.guard(client)).rejects.toThrow(expect.objectContaining({ code: 'STALE_TOKEN' }));

      expect(await rollback({ ...options, count: 99 })).toEqual(names.toReversed());
      expect((await migrationStatus(options)).waiting).toEqual(names);
    },
  );

  test.each(["o'clock", 'say "x"', 'back\\slash', 'pg_x', '', 'x'.repeat(64), `${'ß'.repeat(32)}`, 'a\0b'])(
    'may not be %j',
    async (schema) => {
      const options = { connection: 'postgresql://127.0.0.1:1/none', schema };
      await expect(migrate(options)).rejects.toThrow(ArgumentError);
      await expect(rollback(options)).rejects.toThrow(ArgumentError);
      await expect(migrationStatus(options)).rejects.toThrow(ArgumentError);
      await expect(migrationSql({ schema })).rejects.toThrow(ArgumentError);
      expect(() => new Fencepost(options)).toThrow(ArgumentError);
    },
  );
});

describe('the print-out', () => {
  test('applied as one text does what migrate does, and migrate knows it', async () => {
    await using database = await createDatabase({ template: false });
    const app = await createRole(database, '_app');
    await database.query(await migrationSql({ grant: app.name }));
    expect(await migrate({ connection: database.url })).toEqual([]);
    expect(await migrationStatus({ connection: database.url })).toEqual({
      version: 1,
      applied: names,
      waiting: [],
    });
    const schema = await describeSchema(database, 'fencepost', { [app.name]: 'app' });
    expect(schema).toBe(committed);
  });

  test('serves a schema and a role of any name, whatever backslashes mean', async () => {
    await using database = await createDatabase({ template: false });
    const app = await createRole(database, ` Robert"'); drop\\`);
    await using client = await connected(database.url);
    await client.query('set standard_conforming_strings = off; set backslash_quote = off');
    await client.query(await migrationSql({ schema: 'My Locks', grant: app.name }));
    await client.query('reset all');
    expect(await migrate({ connection: database.url, schema: 'My Locks' })).toEqual([]);
    await using fencepost = new Fencepost({ connection: app.url, schema: 'My Locks' });
    await using lease = await fencepost.leases.acquire('import');
    expect(lease.state).toBe('held');
  });

  test('leaves nothing behind when it fails', async () => {
    await using database = await createDatabase({ template: false });
    const printed = await migrationSql({ grant: `${database.name}_nobody` });
    await expect(database.query(printed)).rejects.toThrow('does not exist');
    expect(await database.query(`select from pg_namespace where nspname = 'fencepost'`)).toEqual([]);
  });
});

describe('a migration that fails', () => {
  test('half way leaves nothing half done', async () => {
    await using database = await createDatabase({ template: false });
    await database.query(`
      create function public.refuse() returns event_trigger language plpgsql
      as $$ begin raise exception 'no views today' using errcode = 'ZZ001'; end $$;
      create event trigger refuse on ddl_command_end when tag in ('CREATE VIEW') execute function public.refuse()`);
    const failed = migrate({ connection: database.url });
    await expect(failed).rejects.toThrow(DatabaseError);
    await expect(failed).rejects.toMatchObject({
      sqlState: 'ZZ001',
      retriable: false,
      message: 'could not migrate schema "fencepost": no views today',
    });
    expect(await database.query(`select from pg_namespace where nspname = 'fencepost'`)).toEqual([]);
    await database.query('drop event trigger refuse');
    expect(await migrate({ connection: database.url })).toEqual(names);

    await database.query(`
      create event trigger refuse on sql_drop when tag in ('DROP SEQUENCE') execute function public.refuse()`);
    await using fencepost = new Fencepost({ connection: database.url });
    await using lease = await fencepost.leases.acquire('import');
    await expect(rollback({ connection: database.url, count: 99 })).rejects.toMatchObject({
      sqlState: 'ZZ001',
    });
    expect(await database.query('select token from fencepost.leases')).toEqual([
      { token: String(lease.token) },
    ]);
  });

  test('for want of rights says so, with the SQLSTATE of the server', async () => {
    await using database = await createDatabase({ template: false });
    const stranger = await createRole(database, '_stranger');
    const denied = { code: 'DATABASE', sqlState: '42501', retriable: false };
    await expect(migrate({ connection: stranger.url })).rejects.toMatchObject({
      ...denied,
      message: expect.stringMatching(
        /^could not migrate schema "fencepost": permission denied for database /,
      ),
    });
    expect(await database.query(`select from pg_namespace where nspname = 'fencepost'`)).toEqual([]);

    await database.query(`create schema fencepost`);
    await expect(migrate({ connection: stranger.url })).rejects.toMatchObject(denied);
    await migrate({ connection: database.url, grant: stranger.name });
    await expect(rollback({ connection: stranger.url })).rejects.toMatchObject(denied);
    await expect(migrationStatus({ connection: stranger.url })).rejects.toMatchObject(denied);
    await database.query(`grant select on fencepost.migration to ${pg.escapeIdentifier(stranger.name)}`);
    await expect(rollback({ connection: stranger.url })).rejects.toMatchObject(denied);
  });

  test.each([
    ['holds a function', 'create function taken.f() returns integer language sql as $$ select 1 $$'],
    ['holds a table', 'create table taken.orders ()'],
    ['is open to everybody', 'grant create on schema taken to public'],
  ])('because the schema %s changes nothing in it', async (_, setUp) => {
    await using database = await createDatabase({ template: false });
    await database.query(`create schema taken; ${setUp}`);
    const before = await describeSchema(database, 'taken');
    await expect(migrate({ connection: database.url, schema: 'taken' })).rejects.toThrow(
      /schema "taken".*: choose one for Fencepost alone/,
    );
    expect(await describeSchema(database, 'taken')).toBe(before);
  });

  test('because another release was here says so', async () => {
    await using database = await createDatabase();
    const connection = database.url;
    await database.query(`insert into fencepost.migration (name, run_on) values ('9999_later', now())`);
    expect(await migrate({ connection })).toEqual([]);
    expect((await migrationStatus({ connection })).applied).toEqual([...names, '9999_later']);
    await expect(rollback({ connection })).rejects.toThrow(SchemaError);
    await database.query(`update fencepost.migration set name = '0000_other' where name = '0001_foundation'`);
    await expect(migrate({ connection })).rejects.toThrow(
      /^schema "fencepost" does not fit this release of the package: .*0000_other/,
    );
  });
});

test('a role that owns the schema and may not create one can migrate, back and forth', async () => {
  await using database = await createDatabase({ template: false });
  const owner = await createRole(database, '_owner');
  const app = await createRole(database, '_app');
  await database.query(`create schema fencepost authorization ${pg.escapeIdentifier(owner.name)}`);
  const options = { connection: owner.url, grant: app.name };
  expect(await migrate(options)).toEqual(names);
  const shown = { [app.name]: 'app' };
  expect(await describeSchema(database, 'fencepost', shown)).toBe(committed);
  await using fencepost = new Fencepost({ connection: app.url });
  await using lease = await fencepost.leases.acquire('import');
  expect(lease.state).toBe('held');
  await lease.release();
  expect(await rollback({ connection: owner.url, count: 99 })).toEqual(names.toReversed());
  expect(await migrate(options)).toEqual(names);
});

test('a pool and a configuration serve as well as a URL', async () => {
  await using database = await createDatabase({ template: false });
  const { hostname, port, username, password, pathname } = new URL(database.url);
  const configuration = {
    host: hostname,
    port: Number(port),
    user: username,
    password: decodeURIComponent(password),
    database: pathname.slice(1),
  };
  expect(await migrate({ connection: configuration })).toEqual(names);
  expect(await migrate({ connection: database.pool })).toEqual([]);
  expect(await rollback({ connection: database.pool, count: 99 })).toEqual(names.toReversed());
});

/** What sql/ has a file for, as the catalogs have it. What they keep parsed knows where in the text it stood. */
async function objects(database: TestDatabase): Promise<{ name: string }[]> {
  return database.query(
    `select proname::text as name, to_jsonb(p) - '{prosqlbody,proargdefaults}'::text[] || jsonb_build_object(
       'arguments', pg_get_function_arguments(oid), 'body', pg_get_function_sqlbody(oid)) as facts
     from pg_proc p where pronamespace = 'fencepost'::regnamespace
     union all
     select relname, jsonb_build_object('oid', oid, 'view', pg_get_viewdef(oid), 'acl', relacl::text)
     from pg_class where relnamespace = 'fencepost'::regnamespace and relkind = 'v'
     order by name, facts`,
  );
}

type DisposableClient = pg.Client & AsyncDisposable;

async function connected(url: string): Promise<DisposableClient> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.end() });
}

async function begun(url: string): Promise<DisposableClient> {
  const client = await connected(url);
  await client.query('begin');
  return client;
}
