import { type ClaimOptions, Fencepost } from 'fencepost';
import { migrate, rollback } from 'fencepost/migrate';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { expect, test } from 'vitest';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { plant } from '../support/plant.ts';
import { createRole } from '../support/role.ts';
import { until } from '../support/until.ts';

interface Tables {
  job: { id: string; status: string; note: string };
}

/** Longer than any test: what is done was told of. */
const never = '1h';

/** The table, and an instance that keeps what it has run. */
async function createJobs(database: TestDatabase) {
  await database.query(`create table job (
    id bigint generated always as identity primary key, status text not null default 'new', note text)`);
  return loggedOn(database.pool);
}

function loggedOn(pool: pg.Pool) {
  const ran: string[] = [];
  const db = new Kysely<Tables>({
    dialect: new PostgresDialect({ pool }),
    log: ({ query }) => void ran.push(query.sql),
  });
  return { db, ran };
}

function define(
  fencepost: Fencepost,
  db: Kysely<Tables>,
  options: Partial<ClaimOptions<Tables, 'job'>> = {},
) {
  return fencepost.claims.define({
    db,
    table: 'job',
    key: 'id',
    where: (eb) => eb('status', '=', 'new'),
    orderBy: ['id'],
    done: { status: 'done' },
    ...options,
  });
}

/** Ends when the workers have looked in vain after the first waits, which are short, and now wait until they are told. */
async function asleep(database: TestDatabase, ran: string[]): Promise<void> {
  await until('somebody has asked and looked', async () => {
    const asks = ran.filter((sql) => sql.includes('claim_wanted')).length;
    const looked = ran.at(-1)?.includes('fencepost_free') === true;
    return asks >= 3 && looked && (await wish(database)) > 0;
  });
}

async function wish(database: TestDatabase): Promise<number> {
  const [row] = await database.query<{ wish: string }>(
    `select pg_sequence_last_value(oid)::text as wish from pg_class where relname ~ '^wanted_' and relkind = 'S'`,
  );
  return Number(row?.wish ?? 0);
}

const done = async (database: TestDatabase) =>
  (await database.query(`select from job where status = 'done'`)).length;

/** Listens as operators could, and keeps what it hears. */
async function listener(database: TestDatabase): Promise<AsyncDisposable & { heard: string[] }> {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  const heard: string[] = [];
  client.on('notification', ({ payload }) => heard.push(payload ?? ''));
  const { rows } = await client.query('select fencepost.channel() as channel');
  await client.query(`listen ${rows[0].channel}`);
  return { heard, [Symbol.asyncDispose]: () => client.end() };
}

test('workers that wait are woken by an insert, again and again, long before the poll', async () => {
  await using database = await createDatabase();
  const { db, ran } = await createJobs(database);
  await using fencepost = new Fencepost({ connection: database.url });
  const jobs = define(fencepost, db);
  await jobs.ensure({ wake: true });
  await using _workers = jobs.work({ wake: true, poll: never }, async () => {});
  for (let round = 1; round <= 2; round += 1) {
    await asleep(database, ran);
    ran.length = 0;
    await database.query('insert into job default values');
    await until(`row ${round} is done`, async () => (await done(database)) === round);
  }
});

test('a row that comes between the claim that found nothing and the wish is found', async () => {
  await using database = await createDatabase();
  const { db } = await createJobs(database);
  await using fencepost = new Fencepost({ connection: database.url });
  const jobs = define(fencepost, db);
  await jobs.ensure({ wake: true });
  // The wish waits for a lock that the test holds: meanwhile a row comes, and nobody is told.
  const lock = await database.pool.connect();
  await lock.query('begin; select pg_advisory_xact_lock(1)');
  const check = '  if not exists (\n    select from pg_trigger';
  await plant(database.query, 'claim_wanted', [check, `  perform pg_advisory_xact_lock(1);\n${check}`]);
  await using _workers = jobs.work({ wake: true, poll: never }, async () => {});
  await until('the wish waits', async () => {
    const waiting = await database.query(
      `select from pg_stat_activity
       where datname = current_database() and wait_event_type = 'Lock' and query like '%claim_wanted%'`,
    );
    return waiting.length === 1;
  });
  await database.query('insert into job default values');
  await lock.query('commit');
  lock.release();
  await until('it is done', async () => (await done(database)) === 1);
});

test('inserts send nothing while nobody has asked, and one message for all that come after somebody has', async () => {
  await using database = await createDatabase();
  const { db } = await createJobs(database);
  await using fencepost = new Fencepost({ connection: database.url });
  const jobs = define(fencepost, db);
  await jobs.ensure({ wake: true });
  await using listening = await listener(database);
  const [table] = await database.query<{ oid: string }>(`select 'job'::regclass::oid::text as oid`);
  const ask = async () => {
    const [row] = await database.query<{ early: number }>('select fencepost.claim_wanted($1) as early', [
      table?.oid,
    ]);
    return row?.early ?? Number.NaN;
  };
  const insert = async (times: number) => {
    for (let time = 0; time < times; time += 1) await database.query('insert into job default values');
  };
  /** Messages come in the order of their commits, so this one comes after all that were sent before. */
  const all = async () => {
    await database.query(`select pg_notify(fencepost.channel(), 'end')`);
    await until('the end', () => listening.heard.includes('end'));
    return listening.heard.splice(0).filter((message) => message !== 'end');
  };
  await insert(50);
  expect(await all()).toEqual([]);
  expect(await ask()).toBe(0);
  expect(await ask()).toBe(0);
  await insert(50);
  expect(await all()).toEqual([`claim:${table?.oid}`]);
  // The next one who asks is told how long nothing will be sent: the messages are at least 50 ms apart.
  await database.query(
    `select setval(format('fencepost.wanted_%s', $1::text)::regclass,
    -(extract(epoch from clock_timestamp()) * 1000)::bigint)`,
    [table?.oid],
  );
  const early = await ask();
  expect(early).toBeGreaterThan(0);
  expect(early).toBeLessThanOrEqual(50);
  // A clock that was set back by an hour does not silence it.
  await database.query(
    `select setval(format('fencepost.wanted_%s', $1::text)::regclass,
    (extract(epoch from clock_timestamp()) * 1000)::bigint + 3600000)`,
    [table?.oid],
  );
  expect(await ask()).toBe(0);
  // All processes look when they are told: the more of them there are, the less often. Told in an hour, by a wrong clock.
  for (const [holders, apart] of [
    [0, 50],
    [1, 5],
    [2, 15],
    [20, 50],
  ] as const) {
    await database.query(`select fencepost.holder_open('1 min', 'other') from generate_series(1, $1)`, [
      holders,
    ]);
    await database.query(
      `select setval(format('fencepost.wanted_%s', $1::text)::regclass,
      -(extract(epoch from clock_timestamp()) * 1000)::bigint - 3600000)`,
      [table?.oid],
    );
    expect(await ask()).toBe(apart);
  }
});

test('an update of the columns that were named wakes too, and no other', async () => {
  await using database = await createDatabase();
  const { db, ran } = await createJobs(database);
  await database.query(`insert into job (status) values ('draft')`);
  await using fencepost = new Fencepost({ connection: database.url });
  const jobs = define(fencepost, db);
  await jobs.ensure({ wake: true });
  await jobs.ensure({ wake: { updateOf: ['status'] } });
  expect(jobs.ddl({ wake: { updateOf: ['status'] } })).toContain(
    'after insert or update of "status" on "job"',
  );
  expect(jobs.ddl({ wake: true })).toContain('after insert on "job"');
  expect(jobs.ddl()).not.toContain('trigger');
  await using _workers = jobs.work({ wake: true, poll: never }, async () => {});
  await asleep(database, ran);
  await database.query(`update job set note = 'still a draft'`);
  expect(await wish(database)).toBeGreaterThan(0);
  await database.query(`update job set status = 'new'`);
  await until('it is done', async () => (await done(database)) === 1);
});

test('without the trigger the workers say so and end; without `wake` they poll', async () => {
  await using database = await createDatabase();
  const { db } = await createJobs(database);
  await using fencepost = new Fencepost({ connection: database.url });
  const jobs = define(fencepost, db);
  await jobs.ensure();
  const workers = jobs.work({ wake: true }, async () => {});
  await expect(workers.finished).rejects.toMatchObject({
    code: 'SCHEMA',
    message: expect.stringContaining('ensure({ wake: true })'),
  });
  await expect(workers.stop()).rejects.toMatchObject({ code: 'SCHEMA' });
  expect(() => jobs.ddl({ wake: { updateOf: [] } })).toThrow('options.wake.updateOf: expected an array');
});

test('a lost connection, and messages that never come, only cost the time to the next poll', async () => {
  await using database = await createDatabase();
  const { db, ran } = await createJobs(database);
  await using fencepost = new Fencepost({ connection: database.url });
  const jobs = define(fencepost, db);
  await jobs.ensure({ wake: true });
  await using _workers = jobs.work({ wake: true, poll: 50 }, async () => {});
  await asleep(database, ran);
  await database.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and application_name = 'fencepost'`,
  );
  await database.query('alter table job disable trigger fencepost_wake');
  await database.query('insert into job default values');
  await database.query('alter table job enable trigger fencepost_wake');
  await until('it is done', async () => (await done(database)) === 1);
});

test('an insert needs no rights on what wakes, and the schema can be rolled back under the trigger', async () => {
  await using database = await createDatabase({ template: false });
  const { db } = await createJobs(database);
  const app = await createRole(database, '_app');
  const writer = await createRole(database, '_writer');
  await migrate({ connection: database.url, grant: app.name });
  {
    await using fencepost = new Fencepost({ connection: database.url });
    await define(fencepost, db).ensure({ wake: true });
  }
  await database.query(`grant select, update on job to ${pg.escapeIdentifier(app.name)}`);
  await database.query(`grant insert on job to ${pg.escapeIdentifier(writer.name)}`);
  {
    await using fencepost = new Fencepost({ connection: app.url });
    const pool = new pg.Pool({ connectionString: app.url });
    const { db: appDb, ran } = loggedOn(pool);
    const jobs = define(fencepost, appDb);
    await using workers = jobs.work({ wake: true, poll: never }, async () => {});
    await asleep(database, ran);
    const client = new pg.Client({ connectionString: writer.url });
    await client.connect();
    await client.query('begin isolation level serializable');
    await client.query('insert into job default values');
    await client.query('commit');
    await client.end();
    await until('it is done', async () => (await done(database)) === 1);
    await workers.stop();
    await pool.end();
  }
  await rollback({ connection: database.url, count: 2 });
  await database.query('insert into job default values');
});
