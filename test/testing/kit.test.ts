import { ArgumentError, Fencepost, LockLostError, StateError } from 'fencepost';
import { migrate } from 'fencepost/migrate';
import { createTestDatabase, expire, freezeClock, killHolder, startTestServer } from 'fencepost/testing';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { afterAll, expect, inject, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { createRole } from '../support/role.ts';

const database = await createDatabase();
afterAll(() => database[Symbol.asyncDispose]());

test('a server prepares one database, and each test gets a clone of it', async () => {
  const lines: string[] = [];
  await using server = await startTestServer({
    log: (line) => lines.push(line),
    schema: 'locks',
    async prepare(url) {
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      await client.query('create table account (id integer primary key)');
      await client.end();
    },
  });
  expect(lines).toHaveLength(1);
  await using first = await server.createDatabase();
  // As another process would, of whom it is known that it gets JSON.
  await using second = await createTestDatabase(JSON.parse(JSON.stringify(server.databases)));
  await first.query('insert into account values (1)');
  expect(await second.query('select * from account')).toEqual([]);
  await using fencepost = new Fencepost({ connection: second.url, schema: 'locks' });
  await (await fencepost.leases.acquire('a')).release();
  await using empty = await server.createDatabase({ empty: true });
  expect(await empty.query("select to_regclass('account') as found")).toEqual([{ found: null }]);
});

test('what prepare throws comes out, and the server is stopped', async () => {
  const failure = new Error('of the migrations');
  const prepare = (): Promise<never> => Promise.reject(failure);
  await expect(startTestServer({ prepare, schema: null, log: () => {} })).rejects.toBe(failure);
});

test('a test that leaves a session or a lock behind fails, and is told which', async () => {
  const databases = { url: inject('adminUrl'), prefix: inject('prefix'), template: inject('template') };
  const left = await createTestDatabase(databases, { empty: true });
  const client = await left.pool.connect();
  await client.query('select pg_advisory_lock(7)');
  await expect(left[Symbol.asyncDispose]()).rejects.toThrow(
    /Left behind in \w+:\n- session \d+ .*advisory locks 7;/,
  );
  client.release(true);
});

test('wrong arguments are refused by name', async () => {
  for (const [options, says] of [
    [{ fsnyc: true }, "did you mean 'fsync'?"],
    [{ prepare: 'migrate' }, 'options.prepare: expected a function'],
    [{ postgresFlags: '-c x=1' }, 'options.postgresFlags: expected an array of strings'],
    [{ maxConnections: 0 }, 'options.maxConnections'],
  ] as const) {
    await expect(startTestServer(options as never)).rejects.toThrow(says);
  }
  await expect(createTestDatabase({ url: 'x' } as never)).rejects.toThrow('databases.prefix');
  await expect(killHolder({} as never)).rejects.toThrow('held: expected a lease');
  await using fencepost = new Fencepost({ connection: database.url });
  await using lock = await fencepost.advisory.acquire('a');
  await expect(expire(lock as never)).rejects.toThrow('lease: expected a lease or a term');
  expect(() => freezeClock({} as never)).toThrow(ArgumentError);
});

test('what is not held any more has no holder to kill', async () => {
  await using fencepost = new Fencepost({ connection: database.url });
  const lease = await fencepost.leases.acquire('a');
  await expire(lease);
  await expect(killHolder(lease)).rejects.toThrow(LockLostError);
  const released = await fencepost.leases.acquire('a');
  await released.release();
  await expect(expire(released)).rejects.toThrow(StateError);
});

test('faults need no more rights than the program has', async () => {
  await using own = await createDatabase({ template: false });
  const app = await createRole(own, '_app');
  await migrate({ connection: own.url, grant: app.name });
  await using one = new Fencepost({ connection: app.url });
  await using other = new Fencepost({ connection: app.url });
  const lease = await one.leases.acquire('a');
  const waiting = other.leases.acquire('a', { wait: '1m' });
  await expire(lease);
  await (await waiting).release();
  const [second, lock] = [await one.leases.acquire('a'), await one.advisory.acquire('b')];
  await killHolder(second);
  await killHolder(lock);
  expect([second.state, lock.state]).toEqual(['lost', 'lost']);
  await using _lease = await other.leases.acquire('a', { wait: '10s' });
  await using _lock = await other.advisory.acquire('b', { wait: '10s' });
});

test.each(['columns', 'held'] as const)(
  'a claim in storage %s loses its row with its holder',
  async (storage) => {
    await using own = await createDatabase();
    const db = new Kysely<{ job: { id: number } }>({ dialect: new PostgresDialect({ pool: own.pool }) });
    await own.query('create table job (id integer primary key)');
    await own.query('insert into job values (1)');
    await using one = new Fencepost({ connection: own.url });
    await using other = new Fencepost({ connection: own.url });
    const define = ({ claims }: Fencepost) =>
      claims.define({ db, table: 'job', key: 'id', orderBy: ['id'], storage, done: 'delete' } as never);
    const jobs = define(one);
    await jobs.ensure();
    const [claim] = await jobs.claim({ limit: 1 });
    expect(await define(other).claim({ limit: 1 })).toEqual([]);
    await killHolder(claim as NonNullable<typeof claim>);
    expect([claim?.state, claim?.signal.aborted]).toEqual(['lost', true]);
    const [next] = await define(other).claim({ limit: 1 });
    expect(next?.row).toMatchObject({ id: 1 });
    await next?.release();
  },
);
