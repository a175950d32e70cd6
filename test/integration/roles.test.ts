// @module-tag F40
import { randomUUID } from 'node:crypto';
import { ArgumentError, Fencepost } from 'fencepost';
import { migrate } from 'fencepost/migrate';
import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { about, beatHolder, openHolder } from '../../src/sql/holder.ts';
import { acquireLeases, guardLease, plainAsk, releaseLeases } from '../../src/sql/lease.ts';
import type { Row, Statement } from '../../src/sql/statement.ts';
import { describeSchema } from '../snapshots/schema.ts';
import { createDatabase } from '../support/database.ts';
import { plant } from '../support/plant.ts';
import { createRole, type TestRole } from '../support/role.ts';
import { until } from '../support/until.ts';

const denied = { code: '42501' };
const quoted = pg.escapeIdentifier;

describe('an application role', () => {
  test('can acquire, beat, guard, renew and release, ask for keys, and read both views', async () => {
    await using database = await createDatabase({ template: false });
    const app = await createRole(database, '_app');
    await migrate({ connection: database.url, grant: app.name });
    await using session = await sessionOf(app);
    await using fencepost = new Fencepost({ connection: app.url });

    const lease = await fencepost.leases.acquire('import', { ttl: '900ms' });
    await until('a heartbeat', async () => {
      const { rows } = await session.query(
        'select from fencepost.holders where alive and beat_at > opened_at',
      );
      return rows.length === 1;
    });
    await session.query('begin');
    await lease.guard(session);
    await session.query('commit');
    const { rows } = await session.query('select name, token, held from fencepost.leases');
    expect(rows).toEqual([{ name: 'import', token: String(lease.token), held: true }]);
    await lease.release();
    expect((await session.query('select held from fencepost.leases')).rows).toEqual([{ held: false }]);

    await using fixed = await fencepost.leases.acquire('export', { renew: false });
    await fixed.renew();
    const keys = await session.query(`select fencepost.key('a', 'bc'), fencepost.key_in('space', 'a', 'bc')`);
    expect(keys.rows).toEqual([{ key: expect.any(String), key_in: expect.any(String) }]);
  });

  test.each([
    ['as a rule', false],
    ['also where the owner grants everything on what it creates', true],
  ])('is refused on every table, sequence and inner function, %s', async (_, generous) => {
    await using database = await createDatabase({ template: false });
    const app = await createRole(database, '_app');
    for (const kind of generous ? ['tables', 'sequences', 'functions'] : []) {
      await database.query(`alter default privileges grant all on ${kind} to public`);
      await database.query(
        `alter default privileges grant all on ${kind} to ${quoted(app.name)} with grant option`,
      );
    }
    await migrate({ connection: database.url, grant: app.name });
    await using session = await sessionOf(app);
    const relations = await database.query<{ name: string; kind: string }>(
      `select oid::regclass::text as name, relkind as kind from pg_class
       where relnamespace = 'fencepost'::regnamespace and relkind in ('r', 'S') order by 1`,
    );
    expect(relations).toHaveLength(13);
    const statements = relations.flatMap(({ name, kind }) =>
      kind === 'r'
        ? [
            `select from ${name}`,
            `insert into ${name} default values`,
            `delete from ${name}`,
            `truncate ${name}`,
            `alter table ${name} add column more integer`,
            `create trigger hostile after insert on ${name} execute function suppress_redundant_updates_trigger()`,
          ]
        : [
            `select from ${name}`,
            `select nextval('${name}')`,
            `select setval('${name}', 1)`,
            `alter sequence ${name} cache 2`,
          ],
    );
    statements.push(
      'update fencepost.lease set token = 0',
      'update fencepost.holder set ttl = ttl',
      'update fencepost.state set version = 0',
      'update fencepost.migration set name = name',
      'select fencepost.next_token()',
      'select fencepost.durable()',
      'select fencepost.adopt(0)',
      'select fencepost.grant_access(current_user::regrole)',
      'create table fencepost.more ()',
      'create or replace function fencepost.guard() returns void language sql as $$ $$',
      'drop view fencepost.leases',
      'update fencepost.holders set application = application',
      'delete from fencepost.holders',
    );
    for (const statement of statements) {
      await expect(session.query(statement), statement).rejects.toMatchObject(denied);
    }
  });

  test('has access whatever it is called', async () => {
    await using database = await createDatabase({ template: false });
    const robert = await createRole(database, ` Robert'); drop`);
    const other = await createRole(database, ` "Ä\\b"`);
    await migrate({ connection: database.url, grant: robert.name });
    await migrate({ connection: database.url, grant: other.name });
    for (const { url } of [robert, other]) {
      await using fencepost = new Fencepost({ connection: url });
      await using lease = await fencepost.leases.acquire('import');
      expect(lease.state).toBe('held');
    }
  });

  test('has to exist, and be one role: otherwise nothing is changed', async () => {
    await using database = await createDatabase({ template: false });
    for (const grant of [`${database.name}_nobody`, 'public', '-', `x'); drop schema public; --`]) {
      await expect(migrate({ connection: database.url, grant })).rejects.toMatchObject({ sqlState: '42704' });
    }
    for (const grant of ['', 'x'.repeat(64), 'a\0b']) {
      await expect(migrate({ connection: database.url, grant })).rejects.toThrow(ArgumentError);
    }
    expect(await database.query(`select from pg_namespace where nspname = 'fencepost'`)).toEqual([]);
  });

  test('that has access gets what is new with the next migrate, without being named', async () => {
    await using database = await createDatabase({ template: false });
    const app = await createRole(database, '_app');
    const second = await createRole(database, '_second');
    const stranger = await createRole(database, '_stranger');
    await migrate({ connection: database.url, grant: app.name });
    await migrate({ connection: database.url, grant: second.name });
    const shown = { [app.name]: 'app', [second.name]: 'second', [stranger.name]: 'stranger' };
    const granted = await describeSchema(database, 'fencepost', shown);
    await database.query(`
      revoke execute on function fencepost.key, fencepost.guard from ${quoted(app.name)}, ${quoted(second.name)};
      revoke select on fencepost.leases from ${quoted(app.name)}`);
    expect(await describeSchema(database, 'fencepost', shown)).not.toBe(granted);
    expect(await migrate({ connection: database.url })).toEqual([]);
    expect(await describeSchema(database, 'fencepost', shown)).toBe(granted);
    expect(granted).not.toContain('stranger');
  });
});

test('a role without access can call nothing and read nothing, even when it may use the schema', async () => {
  await using database = await createDatabase({ template: false });
  const stranger = await createRole(database, '_stranger');
  await migrate({ connection: database.url });
  await using session = await sessionOf(stranger);
  const functions = await database.query<{ call: string; allowed: boolean }>(
    `select format('select %s(%s)', oid::regproc, (
         select string_agg(
           format('%snull::%s', case when provariadic <> 0 and n = pronargs then 'variadic ' end, format_type(t, null)),
           ', ' order by n)
         from unnest(proargtypes::oid[]) with ordinality a(t, n))) as call,
       has_function_privilege($1, oid, 'execute') as allowed
     from pg_proc where pronamespace = 'fencepost'::regnamespace order by 1`,
    [stranger.name],
  );
  expect(functions.length).toBeGreaterThan(10);
  expect(functions.filter(({ allowed }) => allowed)).toEqual([]);
  const statements = [
    ...functions.map(({ call }) => call),
    'select from fencepost.leases',
    'select from fencepost.holders',
  ];
  for (const grant of ['select 1', `grant usage on schema fencepost to ${quoted(stranger.name)}`]) {
    await database.query(grant);
    for (const statement of statements) {
      await expect(session.query(statement), statement).rejects.toMatchObject(denied);
    }
  }
});

describe("the caller's temporary tables", () => {
  test('are out of the search path of all functions that run as their owner', async () => {
    await using database = await createDatabase();
    const functions = await database.query<{ name: string; path: string | null }>(
      `select oid::regprocedure as name, (
         select substr(setting, 13) from unnest(proconfig) setting where setting like 'search\\_path=%') as path
       from pg_proc where pronamespace = 'fencepost'::regnamespace and prosecdef`,
    );
    expect(functions.length).toBeGreaterThan(5);
    for (const { name, path } of functions) expect(path, name).toBe('fencepost, pg_temp');
  });

  test('change nothing, whatever they are called and hold', async () => {
    await using database = await createDatabase({ template: false });
    const app = await createRole(database, '_app');
    await migrate({ connection: database.url, grant: app.name });
    await using session = await sessionOf(app);
    const types = { getTypeParser: () => (value: string) => value };
    const run = async ({ text, values }: Statement): Promise<Row | undefined> =>
      (await session.query<Row>({ text, values: [...values], types })).rows[0];
    const forged = { resource: { tenant: '', name: 'safe' }, slot: 0, token: 999n };
    const ghost = randomUUID();
    await session.query(`
      create temporary table state as select true as singleton, 42 as version, 42 as oldest_client, 77::bigint as token_floor,
        1::bigint as system_identifier, 0::bigint as timeline_offset, 999::bigint as era;
      create temporary table holder as select '${ghost}'::uuid as id, interval '1 h' as ttl,
        now() + interval '1 h' as expires_at, 0 as epoch, now() as beat_at, now() as opened_at, '' as application;
      create temporary table lease as select ''::text as tenant, 'safe'::text as name, 0 as slot, 999::bigint as token,
        '${ghost}'::uuid as holder_id, '${ghost}'::uuid as nonce, null::timestamptz as expires_at, now() as acquired_at,
        null::timestamptz as released_at,
        false as wanted, false as shared, false as crowded, false as revoked, null::jsonb as metadata;
      create temporary sequence token cache 20 start 500`);
    const planted = await contents(session);

    expect(await run(about('fencepost'))).toEqual({
      version: '1',
      oldest_client: '1',
      token_cache: '1',
      adopted: 't',
    });
    await expect(run(guardLease('fencepost', [forged]))).rejects.toMatchObject({ code: 'FP001' });
    expect(await run(beatHolder('fencepost', ghost))).toEqual({ alive: 'f', revoked: 'f', moved: 'f' });
    const acquire = (id: string) =>
      run(acquireLeases('fencepost', { id, epoch: 0 }, undefined, [plainAsk(forged.resource, randomUUID())]));
    await expect(acquire(ghost)).rejects.toMatchObject({ code: 'FP002' });

    const holder = String((await run(openHolder('fencepost', 5_000, 'test')))?.answer);
    const token = String((await acquire(holder))?.tokens).slice(1, -1);
    const [row] = await database.query('select token, holder_id from fencepost.lease');
    expect(row).toEqual({ token, holder_id: holder });
    const release = releaseLeases('fencepost', holder, [{ ...forged, token: BigInt(token) }], false);
    expect(await run(release)).toEqual({ released: '{1}', unflushed: 'f' });
    expect(await contents(session)).toEqual(planted);

    // What is tested here can fail: a path without pg_temp lets the same forgery pass.
    await plant(database.query, 'guard', ['set search_path from current', 'set search_path to fencepost']);
    await run(guardLease('fencepost', [forged]));
  });
});

async function contents(session: pg.Client): Promise<unknown[]> {
  const found: unknown[] = [];
  for (const name of ['state', 'holder', 'lease', 'token']) {
    found.push((await session.query(`select * from pg_temp.${name}`)).rows);
  }
  return found;
}

async function sessionOf({ url }: TestRole): Promise<pg.Client & AsyncDisposable> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.end() });
}
