import { ArgumentError, Fencepost, SchemaError, StaleTokenError } from 'fencepost';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { expect, test } from 'vitest';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { createGate, overtaken, throughGate } from '../support/gate.ts';
import { createJobs, insertJobs, type JobTables, jobsOf, kyselyOn } from '../support/jobs.ts';
import { plant } from '../support/plant.ts';
import { until } from '../support/until.ts';
import { buryHolders, claimRules } from './claim-rules.ts';

await claimRules({
  storage: 'sidecar',
  bury: buryHolders,
  kept: {
    written: 'fencepost.claim_batch',
    moveTokens: async ({ query }, condition, token = 'claim.token + 1') => {
      await query(
        `update fencepost.claim set token = ${token} from job where job.id::text = claim.key and ${condition}`,
      );
      // What is claimed together has one token: these are taken out.
      await query(
        `select fencepost.claim_settle_batch(r.source_id, array_agg(r.token), array_agg(r.place))
         from fencepost.claim_batch_rows r, job where job.id::text = r.key and ${condition} group by r.source_id`,
      );
    },
  },
});

const storage = 'sidecar';
const kept = ({ query }: TestDatabase) =>
  query<{ key: string }>('select key from fencepost.claims order by key');

test('nothing is written to the table but what completion writes, and nothing is left of what is done', async () => {
  await using database = await createDatabase();
  await createJobs(database);
  await insertJobs(database, 5);
  await using fencepost = new Fencepost({ connection: database.url });
  const state = () => database.query('select xmin::text, ctid::text, * from public.job order by id limit 4');
  const before = await state();
  const jobs = jobsOf(fencepost, database.pool, { storage });
  await jobs.ensure();
  const claims = await jobs.claim({ limit: 5 });
  await claims[0]?.release();
  await claims[1]?.release({ after: 1_000_000, error: 'later' });
  await claims[2]?.fail('no');
  await claims[4]?.complete();
  expect(await kept(database)).toEqual([{ key: '2' }, { key: '3' }, { key: '4' }]);
  expect(await jobs.retry([2, 3, 4])).toBe(2);
  expect(await kept(database)).toEqual([{ key: '4' }]);
  expect(await state()).toEqual(before);
  expect(jobs.ddl()).not.toMatch(/alter table/);
});

test('a row whose tenant is changed while somebody has it is not claimed twice', async () => {
  await using database = await createDatabase();
  await database.query(`create table thing (id integer primary key, owner text);
    insert into thing select n, 'a' from generate_series(1, 2) n`);
  await using one = new Fencepost({ connection: database.url });
  await using other = new Fencepost({ connection: database.url });
  const db = new Kysely<{ thing: { id: number; owner: string } }>({
    dialect: new PostgresDialect({ pool: database.pool }),
  });
  for (const fair of [false, true]) {
    await database.query(`update thing set owner = 'a'`);
    const things = (fencepost: Fencepost) =>
      fencepost.claims.define({
        db,
        table: 'thing',
        key: 'id',
        tenant: 'owner',
        orderBy: ['id'],
        storage,
        fair,
        done: 'delete',
      });
    const [claim] = await things(one).claim();
    await database.query(`update thing set owner = 'b' where id = ${claim?.row.id}`);
    const taken = await things(other).claim({ limit: 5 });
    expect(taken.map(({ row }) => row.id)).toEqual([2]);
    expect(await things(other).claim({ tenant: 'b', limit: 5 })).toEqual([]);
    expect(await things(other).claimKeys([1])).toEqual([]);
    // At its first attempt a row has one claim, whatever its tenant is.
    if (fair) await claim?.complete();
    else await claim?.release();
    await Promise.all(taken.map((each) => each.release()));
  }
});

/** Somebody claims the first of these jobs while another claim has begun and not looked at it yet. */
async function overtake(database: TestDatabase) {
  await createJobs(database);
  await createGate(database);
  await insertJobs(database, 3);
  await using one = new Fencepost({ connection: database.url });
  await using other = new Fencepost({ connection: database.url });
  const jobs = (fencepost: Fencepost, pool: pg.Pool) =>
    fencepost.claims.define({
      db: kyselyOn(pool),
      table: 'public.job',
      key: 'id',
      where: () => throughGate,
      orderBy: ['id'],
      done: 'delete',
      storage,
    });
  let first: string[] = [];
  const second = await overtaken(
    database,
    async (pool) => {
      const claims = await jobs(other, pool).claim({ limit: 2 });
      await other.close();
      return claims.map(({ row }) => row.id);
    },
    async () => {
      first = (await jobs(one, database.pool).claim()).map(({ row }) => row.id);
    },
  );
  return { first, second };
}

test('a claim that was overtaken gets the rows behind, and as many as it asked for', async () => {
  await using database = await createDatabase();
  expect(await overtake(database)).toEqual({ first: ['1'], second: ['2', '3'] });
});

test('a claim that believes what it saw of a row before it was locked would be found', async () => {
  await using database = await createDatabase();
  await plant(database.query, 'claim_take_batch', [
    'b.token <> all (p_seen) and bit_count(b.settled) = 0',
    'false',
  ]);
  expect(await overtake(database)).toEqual({ first: ['1'], second: ['1', '2'] });
});

test('claims of rows that are gone are forgotten: what is left of dead workers soon, all of it by ensure()', async () => {
  await using database = await createDatabase();
  await createJobs(database);
  await insertJobs(database, 6);
  await using one = new Fencepost({ connection: database.url });
  await using other = new Fencepost({ connection: database.url });
  const claims = await jobsOf(one, database.pool, { storage }).claim({ limit: 4 });
  await claims[0]?.fail('no');
  await claims[1]?.release({ error: 'no' });
  await buryHolders(database);
  await database.query('delete from public.job where id <> 6');
  // As soon as a claim meets them, and not with the ttl.
  const jobs = jobsOf(other, database.pool, { storage, ttl: 3_600_000 });
  const claimed = await jobs.claim({ limit: 9 });
  expect(claimed.map(({ row }) => row.id)).toEqual(['6']);
  await until('those of the dead are forgotten', async () => {
    expect(await jobs.claim({ limit: 9 })).toEqual([]);
    return (await kept(database)).length === 3;
  });
  await jobs.ensure();
  expect(await kept(database)).toEqual([{ key: '6' }]);
  await claimed[0]?.complete();
});

test('all definitions of a table have to name its rows alike, as long as there are claims', async () => {
  await using database = await createDatabase();
  await database.query(`
    create table thing (id integer primary key, code text not null unique, owner text);
    insert into thing select n, 'code ' || n, 'a' from generate_series(1, 3) n`);
  interface Tables {
    thing: { id: number; code: string; owner: string };
  }
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: database.pool }) });
  await using fencepost = new Fencepost({ connection: database.url });
  const things = (options: { key?: 'id' | 'code'; tenant?: 'owner' } = {}) =>
    fencepost.claims.define({ db, table: 'thing', key: 'id', done: 'delete', storage, ...options });
  const old = things();
  const [claim] = await old.claim();
  for (const options of [{ key: 'code' }, { tenant: 'owner' }] as const) {
    await expect(things(options).claim()).rejects.toThrow(SchemaError);
    await expect(things(options).claim()).rejects.toThrow('name its rows by id and the tenant by nothing');
  }
  await claim?.complete();
  const owned = things({ tenant: 'owner' });
  const [next] = await owned.claim({ tenant: 'a' });
  await expect(old.claim()).rejects.toThrow(/claimed by another key or tenant now/);
  await next?.release({ error: 'again' });
  const [again] = await owned.claim({ tenant: 'a' });
  expect(again?.attempt).toBe(2);
  // One who has a row of another tenant meanwhile has not this one.
  await database.query(`update thing set owner = 'b'`);
  await expect(again?.complete()).rejects.toThrow(StaleTokenError);
  await expect(again?.complete(async () => {})).rejects.toThrow(StaleTokenError);
});

test('a key whose text depends on settings, and a table with columns for claims, are refused', async () => {
  await using database = await createDatabase();
  await createJobs(database);
  await database.query('create table slow (length interval primary key)');
  await using fencepost = new Fencepost({ connection: database.url });
  await jobsOf(fencepost, database.pool).ensure();
  const jobs = jobsOf(fencepost, database.pool, { storage });
  await expect(jobs.claim()).rejects.toThrow(/options.storage: expected 'columns' for "public"."job"/);
  const db = new Kysely<{ slow: { length: string } }>({
    dialect: new PostgresDialect({ pool: database.pool }),
  });
  const slow = fencepost.claims.define({ db, table: 'slow', key: 'length', done: 'delete', storage });
  await expect(slow.claim()).rejects.toThrow(ArgumentError);
});

test('keys of all types are the same rows in sessions of all settings', async () => {
  await using database = await createDatabase();
  await database.query(`
    create type mood as enum ('good', 'it''s "bad"');
    create domain moment as timestamptz;
    create table key (
      a moment, b timestamp, c date, d time, e numeric, f bytea, g boolean, h mood, i varchar(9), j uuid,
      primary key (a, b, c, d, e, f, g, h, i, j));
    insert into key select '2026-11-25 14:00:00.000001+05:45', 'infinity', '2026-01-02', '23:59:59.5', 1.50, '\\x00ff',
      true, 'it''s "bad"', 'ä\\"', gen_random_uuid();
    insert into key select 'infinity', '2026-01-01', '-infinity', '00:00', -0.1, '', false, 'good', '',
      gen_random_uuid()`);
  const odd = new pg.Pool({
    connectionString: database.url,
    options:
      '-c datestyle=German -c timezone=Pacific/Chatham -c bytea_output=escape -c intervalstyle=iso_8601 -c extra_float_digits=0',
  });
  await using one = new Fencepost({ connection: database.url });
  await using other = new Fencepost({ connection: database.url });
  const keys = (fencepost: Fencepost, pool: pg.Pool) =>
    fencepost.claims.define({
      db: new Kysely<{ key: Record<'a' | 'b' | 'c' | 'd' | 'e' | 'f' | 'g' | 'h' | 'i' | 'j', string> }>({
        dialect: new PostgresDialect({ pool }),
      }),
      table: 'key',
      key: ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'],
      done: 'delete',
      storage,
    });
  const claims = await keys(one, database.pool).claim({ limit: 2 });
  expect(claims).toHaveLength(2);
  expect(await keys(other, odd).claim({ limit: 2 })).toEqual([]);
  await buryHolders(database);
  const again = await keys(other, odd).claim({ limit: 2 });
  expect(again.map(({ attempt }) => attempt)).toEqual([2, 2]);
  await again[0]?.complete();
  await again[1]?.complete(async () => {});
  expect(await database.query('select from key')).toEqual([]);
  await odd.end();
});

test('what nobody wants of rows that were claimed before does not keep workers from fresh ones, nor fresh ones from the others', async () => {
  await using database = await createDatabase();
  await createJobs(database);
  await insertJobs(database, 2);
  await using fencepost = new Fencepost({ connection: database.url });
  const ran: string[] = [];
  const db = new Kysely<JobTables>({
    dialect: new PostgresDialect({ pool: database.pool }),
    log: ({ query }) => void ran.push(query.sql),
  });
  const jobs = jobsOf(fencepost, database.pool, { storage, db, orderBy: ['weight desc', 'id'] });
  for (const claim of await jobs.claim({ limit: 2 })) await claim.release({ error: 'no' });
  // They wait for nothing any more. Somebody has put off the first one, and the other one comes last.
  await database.query(
    `update fencepost.claim set holder_id = '00000000-0000-0000-0000-000000000000', due = now()`,
  );
  await database.query(`update public.job set status = 'off' where id = 1`);
  await database.query('update public.job set weight = -1 where id = 2');
  await insertJobs(database, 100);
  const began = performance.now();
  await using workers = jobs.work({ concurrency: 1, batch: 1, poll: '1h' }, async () => {});
  await until('all are done', async () => {
    const left = await database.query(`select from public.job where status = 'new'`);
    return left.length === 0;
  });
  const looks = ran.filter((sql) => sql.includes('fencepost_left')).length;
  console.log(`${ran.length} statements, ${looks} of them at all there is`);
  expect(looks).toBeGreaterThan(0);
  expect(looks).toBeLessThan(4 + (performance.now() - began) / 1_000);
  expect(workers.stats()).toMatchObject({ completed: 101 });
});
