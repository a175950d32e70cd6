import { Fencepost } from 'fencepost';
import { migrate } from 'fencepost/migrate';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { createRole } from '../support/role.ts';
import { until } from '../support/until.ts';

const between = (from: number, to: number) =>
  expect.toSatisfy((n: unknown) => Number(n) > from && Number(n) <= to);

test('a query of leases that takes longer than a ttl leaves out nobody who renewed meanwhile', async () => {
  await using database = await createDatabase();
  await using fencepost = new Fencepost({ connection: database.url });
  for (const name of ['a', 'b']) await fencepost.leases.acquire(name, { ttl: '1s' });
  const reader = await database.pool.connect();
  await reader.query(
    'begin; declare reading cursor for select name, expires_at::text from fencepost.leases where held',
  );
  const read = async () => (await reader.query('fetch 1 from reading')).rows[0];
  const first = await read();
  await until('what it saw of the holder is over, though that lives', async () => {
    const text = 'select from fencepost.holder where clock_timestamp() between $1 and expires_at';
    return (await database.query(text, [first.expires_at])).length === 1;
  });
  expect([first.name, (await read())?.name].sort()).toEqual(['a', 'b']);
  await reader.query('commit');
  reader.release();
});

test('leases and holders say how long they have; lease_counts counts them by tenant and family', async () => {
  await using database = await createDatabase();
  await using fencepost = new Fencepost({ connection: database.url });
  const acquire = (tenant: string, name: string | string[]) =>
    fencepost.leases.acquire({ tenant, name }, { ttl: '60s' });
  await acquire('t1', 'import:17');
  const import18 = await acquire('t1', 'import 18');
  await acquire('t1', ['import', '19']);
  await acquire('t2', 'nightly-report');
  await fencepost.leases.acquire('42', { ttl: '60s' });
  await import18.release();

  const leases = await database.query(
    'select name, family, wanted, seconds_left from fencepost.leases order by name',
  );
  expect(leases).toEqual([
    { name: '42', family: '', wanted: false, seconds_left: between(1, 60) },
    { name: '["import","19"]', family: 'import', wanted: false, seconds_left: between(1, 60) },
    { name: 'import 18', family: 'import', wanted: false, seconds_left: null },
    { name: 'import:17', family: 'import', wanted: false, seconds_left: between(1, 60) },
    { name: 'nightly-report', family: 'nightly-report', wanted: false, seconds_left: between(1, 60) },
  ]);
  const [holder] = await database.query('select alive, seconds_left, seconds_silent from fencepost.holders');
  expect(holder).toEqual({ alive: true, seconds_left: between(1, 60), seconds_silent: between(0, 60) });
  const count = { wanted: '0', revoked: '0', seconds_left: between(1, 60) };
  expect(await database.query('select * from fencepost.lease_counts order by tenant')).toEqual([
    { ...count, tenant: '', family: '', known: '1', held: '1' },
    { ...count, tenant: 't1', family: 'import', known: '3', held: '2' },
    { ...count, tenant: 't2', family: 'nightly-report', known: '1', held: '1' },
  ]);

  // What the dead leave behind is not held, and what has been revoked says so.
  await fencepost.leases.revoke({ tenant: 't1', name: 'import:17' }, { grace: '1m' });
  await database.query(`update fencepost.holder set expires_at = now() - interval '1 second'`);
  expect(
    await database.query('select tenant, held, revoked, seconds_left from fencepost.lease_counts order by 1'),
  ).toEqual([
    { tenant: '', held: '0', revoked: '0', seconds_left: null },
    { tenant: 't1', held: '1', revoked: '1', seconds_left: between(1, 60) },
    { tenant: 't2', held: '0', revoked: '0', seconds_left: null },
  ]);
  expect(await database.query('select leases_known, leases_held from fencepost.overview()')).toEqual([
    { leases_known: '5', leases_held: '1' },
  ]);
});

test('the family of a name is what it is about', async () => {
  await using database = await createDatabase();
  const families = {
    'import:17': 'import',
    '["invoice","7"]': 'invoice',
    'nightly-report-2026': 'nightly-report',
    'orders/eu': 'orders',
    a_1: 'a',
    '42': '',
    '': '',
    leader: 'leader',
  };
  const rows = await database.query(
    'select name, fencepost.family(name) as family from unnest($1::text[]) name',
    [Object.keys(families)],
  );
  expect(Object.fromEntries(rows.map(({ name, family }) => [name, family]))).toEqual(families);
});

describe('blocked says who is in whose way', () => {
  test('leases: those in line, those who are not, and readers only behind writers', async () => {
    await using database = await createDatabase();
    await using holder = new Fencepost({ connection: database.url });
    await using waiter = new Fencepost({ connection: database.url });
    const giveUp = new AbortController();
    const { signal } = giveUp;
    const held = await holder.leases.acquire({ tenant: 't1', name: 'a' }, { ttl: '60s' });
    const other = await holder.leases.acquire('b', { ttl: '60s' });
    const shared = await holder.leases.acquire('c', { ttl: '60s', mode: 'shared' });
    const waits = [
      waiter.leases.acquire({ tenant: 't1', name: 'a' }, { fair: true, signal, ttl: '60s' }),
      waiter.leases.acquire('b', { signal, ttl: '60s' }),
      waiter.leases.acquire('c', { signal, ttl: '60s', fair: true }),
    ].map((wait) => expect(wait).rejects.toThrow());
    const found = await until('three wait', async () => {
      const rows = await database.query(
        `select kind, tenant, name, mode, application is null as nobody, since is null as ever, by_token
         from fencepost.blocked order by name`,
      );
      return rows.length === 3 && rows;
    });
    const lease = { kind: 'lease', tenant: '', mode: 'exclusive', nobody: false, ever: false };
    expect(found).toEqual([
      { ...lease, tenant: 't1', name: 'a', by_token: String(held.token) },
      { ...lease, name: 'b', mode: null, nobody: true, ever: true, by_token: String(other.token) },
      { ...lease, name: 'c', by_token: String(shared.token) },
    ]);
    const waiting = await database.query(
      `select since <= clock_timestamp() as since from fencepost.waiters where name = 'a'`,
    );
    expect(waiting).toEqual([{ since: true }]);
    giveUp.abort();
    await Promise.all(waits);
  });

  test('locks: a holder, and a writer that readers stand behind', async () => {
    await using database = await createDatabase();
    const clients = await Promise.all(
      ['reader', 'writer', 'late'].map(async (application_name) => {
        const client = new pg.Client({ connectionString: database.url, application_name });
        await client.connect();
        return client;
      }),
    );
    const [reader, writer, late] = clients as [pg.Client, pg.Client, pg.Client];
    const waiting = (count: number) =>
      until('they wait', async () => {
        const rows = await database.query('select from fencepost.locks where not granted');
        return rows.length === count;
      });
    await reader.query(`select pg_advisory_lock_shared(fencepost.key('x'))`);
    const writes = writer.query(`select pg_advisory_lock(fencepost.key('x'))`);
    await waiting(1);
    const reads = late.query(`select pg_advisory_lock_shared(fencepost.key('x'))`);
    await waiting(2);
    const blocked = await database.query(
      `select kind, mode, application, by_application, key = fencepost.key('x') as ours from fencepost.blocked order by 3`,
    );
    expect(blocked).toEqual([
      { kind: 'lock', mode: 'shared', application: 'late', by_application: 'writer', ours: true },
      { kind: 'lock', mode: 'exclusive', application: 'writer', by_application: 'reader', ours: true },
    ]);
    await reader.query('select pg_advisory_unlock_all()');
    await writes;
    await writer.query('select pg_advisory_unlock_all()');
    await reads;
    await Promise.all(clients.map((client) => client.end()));
  });
});

test('claim_counts counts by table, tenant and state what the caller may read', async () => {
  await using database = await createDatabase({ template: false });
  const app = await createRole(database, '_app');
  await migrate({ connection: database.url, grant: app.name });
  await using fencepost = new Fencepost({ connection: database.url });
  for (const [table, storage] of [
    ['job', 'columns'],
    ['task', 'sidecar'],
    ['hidden', 'columns'],
  ] as const) {
    await database.query(`create table public.${table} (id integer primary key, team text not null, done boolean not null default false);
      insert into public.${table} select n, 'team ' || n % 2 from generate_series(1, 8) n`);
    const claims = fencepost.claims.define({
      db: new Kysely<Record<string, { id: number; team: string; done: boolean }>>({
        dialect: new PostgresDialect({ pool: database.pool }),
      }),
      table: `public.${table}`,
      key: 'id',
      tenant: 'team',
      where: (eb) => eb('done', '=', false),
      orderBy: ['id'],
      storage,
      done: { done: true },
      ttl: '60s',
    });
    await claims.ensure();
    const [first, second, third] = await claims.claim({ limit: 5 });
    await first?.release({ after: 1_000_000, error: 'later' });
    await second?.fail('no');
    await third?.complete();
  }
  await database.query(`grant select on job, task to ${pg.escapeIdentifier(app.name)}`);
  const client = new pg.Client(app.url);
  await client.connect();
  const look = async (call: string) => (await client.query(`select * from ${call} order by 1, 2, 3`)).rows;
  const of = (relation: string) => [
    { relation, tenant: 'team 0', state: 'aside', count: '1' },
    { relation, tenant: 'team 0', state: 'claimed', count: '1' },
    { relation, tenant: 'team 1', state: 'claimed', count: '1' },
    { relation, tenant: 'team 1', state: 'waiting', count: '1' },
  ];
  expect(await look('fencepost.claim_counts()')).toEqual([...of('job'), ...of('task')]);
  expect(await look('fencepost.claim_counts(1)')).toHaveLength(2);
  await database.query(`update fencepost.holder set expires_at = now() - interval '1 second'`);
  const states = (await look('fencepost.claim_counts()')).map(({ state }) => state);
  expect(states).toEqual(['aside', 'left', 'left', 'waiting', 'aside', 'left', 'left', 'waiting']);
  await client.end();
  await database.query('drop table job, task, hidden');
  expect(await database.query('select * from fencepost.claim_counts()')).toEqual([]);
});
