import { tracingChannel } from 'node:diagnostics_channel';
import { Fencepost, LimitError, LockLostError, StaleTokenError, StateError } from 'fencepost';
import pg from 'pg';
import { expect, test } from 'vitest';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { createJobs, insertJobs, kyselyOn } from '../support/jobs.ts';
import { until } from '../support/until.ts';
import { claimRules } from './claim-rules.ts';

/** Those that hold rows. */
const idle = `from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'`;

await claimRules({
  storage: 'held',
  options: { connections: 12 },
  bury: ({ query }) => query(`select pg_terminate_backend(pid, 5000) ${idle}`),
});

function jobsOf(fencepost: Fencepost, pool: pg.Pool, options: object = {}) {
  return fencepost.claims.define<
    { 'public.job': { id: string; status: string; weight: number } },
    'public.job'
  >({
    db: kyselyOn(pool),
    table: 'public.job',
    key: 'id',
    where: (eb) => eb('status', '=', 'new'),
    orderBy: ['id'],
    done: { status: 'done' },
    storage: 'held',
    ...options,
  });
}

const holding = async ({ query }: TestDatabase) => (await query(`select ${idle}`)).length;

test('one call gets all rows that are equal in the order, and those of others are passed by', async () => {
  await using database = await createDatabase();
  await createJobs(database);
  await insertJobs(database, 9);
  await database.query('update public.job set weight = case when id % 3 = 0 then 1 else 0 end');
  await using fencepost = new Fencepost({ connection: database.url });
  const jobs = jobsOf(fencepost, database.pool, { orderBy: ['weight desc'], connections: 9 });
  const ids = async (limit: number) => (await jobs.claim({ limit })).map(({ row }) => row.id);
  const first = await ids(2);
  const second = await ids(4);
  const third = await ids(9);
  expect([...first, ...second.slice(0, 1)].sort()).toEqual(['3', '6', '9']);
  expect(second).toHaveLength(4);
  expect([...first, ...second, ...third].sort()).toEqual(Array.from({ length: 9 }, (_, n) => String(n + 1)));
});

test('nothing is written for a claim, and none is asked of the table', async () => {
  await using database = await createDatabase();
  await createJobs(database);
  await insertJobs(database, 2);
  await using fencepost = new Fencepost({ connection: database.url });
  const jobs = jobsOf(fencepost, database.pool);
  const state = () => database.query('select xmin::text, ctid::text, * from public.job');
  const before = await state();
  const claims = await jobs.claim({ limit: 2 });
  expect(claims.map(({ attempt }) => attempt)).toEqual([1, 1]);
  await claims[0]?.release();
  await claims[1]?.release();
  expect(await state()).toEqual(before);
  expect(await database.query('select from fencepost.claim')).toEqual([]);
  expect(await holding(database)).toBe(0);
});

test('each claim has a connection, and there are no more of them than allowed', async () => {
  await using database = await createDatabase();
  await createJobs(database);
  await insertJobs(database, 9);
  await using fencepost = new Fencepost({ connection: database.url });
  const jobs = jobsOf(fencepost, database.pool, { connections: 3 });
  const claims = await jobs.claim({ limit: 9 });
  expect(claims.map(({ row }) => row.id)).toEqual(['1', '2', '3']);
  expect(await holding(database)).toBe(3);
  await expect(jobs.claim()).rejects.toThrow(LimitError);
  await claims[0]?.complete();
  await expect(jobs.claimKeys([5, 6])).rejects.toThrow('1 are free: 2 needed');
  await claims[1]?.release();
  const more = await jobs.claimKeys([5, 2, 1]).catch((error: unknown) => error);
  expect(more).toBeInstanceOf(LimitError);
  expect(await jobs.claimKeys([5, 1])).toHaveLength(1);
  await claims[2]?.complete(async () => {});
  expect(await holding(database)).toBe(1);
  // Also for calls that come at one time.
  const both = await Promise.allSettled([jobs.claim({ limit: 2 }), jobs.claim({ limit: 2 })]);
  expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
  expect(await holding(database)).toBe(3);
  await fencepost.close();
  expect(await holding(database)).toBe(0);
});

test('what it cannot keep it refuses', async () => {
  await using database = await createDatabase();
  await createJobs(database);
  await insertJobs(database, 1);
  await using fencepost = new Fencepost({ connection: database.url });
  const refused = (options: object) => () => jobsOf(fencepost, database.pool, options);
  expect(refused({ maxAttempts: 3 })).toThrow(
    "options.maxAttempts: expected nothing in storage 'held', which keeps no count of attempts, got 3",
  );
  expect(refused({ storage: 'columns', connections: 3 })).toThrow(/options.connections: expected nothing/);
  const jobs = jobsOf(fencepost, database.pool);
  expect([await jobs.aside(), await jobs.retry([1])]).toEqual([[], 0]);
  const [claim] = await jobs.claim();
  await expect(claim?.release({ after: 1 })).rejects.toThrow("storage 'held' keeps no time and no error");
  await expect(claim?.release({ error: 'no' })).rejects.toMatchObject({ code: 'ARGUMENT' });
  await expect(claim?.fail('no')).rejects.toThrow(StateError);
  expect(claim?.state).toBe('held');
  expect(() => jobs.work({ concurrency: 6 }, async () => {})).toThrow(/whole number from 1 to 5/);
});

test('a claim whose connection breaks is lost, says so, and cannot be completed', async () => {
  await using database = await createDatabase();
  await createJobs(database);
  await insertJobs(database, 1);
  await using fencepost = new Fencepost({ connection: database.url });
  const jobs = jobsOf(fencepost, database.pool, { ttl: 300 });
  const [claim] = await jobs.claim();
  const aborted = new Promise((resolve) => claim?.signal.addEventListener('abort', resolve, { once: true }));
  await database.query(`select pg_terminate_backend(pid, 5000) ${idle}`);
  await aborted;
  expect(claim?.signal.reason).toMatchObject({ code: 'LOCK_LOST', reason: 'connection' });
  await expect(claim?.complete()).rejects.toThrow(StaleTokenError);
  const [next] = await jobs.claim();
  expect(next?.token ?? 0n).toBeGreaterThan(claim?.token ?? 0n);
  await next?.complete();
});

test('work that lasts longer than the ttl is not silence, and may be undone and done again', async () => {
  await using database = await createDatabase();
  await createJobs(database);
  await insertJobs(database, 1);
  await using fencepost = new Fencepost({ connection: database.url });
  const [claim] = await jobsOf(fencepost, database.pool, { ttl: 200 }).claim();
  const failure = new Error('of the work');
  const work = async (fails: boolean) => {
    await claim?.complete(async (trx) => {
      await trx
        .updateTable('public.job')
        .set({ weight: fails ? 1 : 2 })
        .execute();
      await new Promise((resolve) => setTimeout(resolve, 500));
      expect(claim.state).toBe('held');
      if (fails) throw failure;
    });
  };
  await expect(work(true)).rejects.toBe(failure);
  expect(claim?.state).toBe('held');
  await new Promise((resolve) => setTimeout(resolve, 500));
  await work(false);
  expect(await database.query('select status, weight from public.job')).toEqual([
    { status: 'done', weight: 2 },
  ]);
});

test('many processes that claim at once get a row each', async () => {
  await using database = await createDatabase();
  await createJobs(database);
  await insertJobs(database, 8);
  const pool = new pg.Pool({ connectionString: database.url, max: 13 });
  const all = Array.from({ length: 4 }, () => new Fencepost({ connection: database.url }));
  const batches = await Promise.all(
    all.map((one) => jobsOf(one, pool, { connections: 3 }).claim({ limit: 3 })),
  );
  const ids = batches.flat().map(({ row }) => row.id);
  expect(Math.max(...batches.map(({ length }) => length))).toBeLessThanOrEqual(3);
  expect([...ids].sort()).toEqual(['1', '2', '3', '4', '5', '6', '7', '8']);
  await Promise.all(all.map((one) => one.close()));
  await pool.end();
});

test('workers have a row and a connection each, and keep one that failed from all until it is due', async () => {
  await using database = await createDatabase();
  await createJobs(database);
  await insertJobs(database, 20);
  await using fencepost = new Fencepost({ connection: database.url });
  await using other = new Fencepost({ connection: database.url });
  let most = 0;
  const workers = jobsOf(fencepost, database.pool, { connections: 3 }).work(
    { poll: 10, backoff: () => '1h' },
    async ({ row }) => {
      most = Math.max(most, workers.load.running + workers.load.waiting);
      if (row.id === '2') throw new Error('no');
    },
  );
  const left = () => database.query(`select from public.job where status = 'new'`);
  await until('all but one are done', async () => (await left()).length === 1);
  expect(await jobsOf(other, database.pool).claim()).toEqual([]);
  await workers.stop();
  expect(await jobsOf(other, database.pool).claim()).toHaveLength(1);
  expect(most).toBeLessThanOrEqual(3);
});

test('a row that was lost before its claim came back is not handed out, and keeps no connection', async () => {
  await using database = await createDatabase();
  await createJobs(database);
  await insertJobs(database, 2);
  await using fencepost = new Fencepost({ connection: database.url });
  const jobs = jobsOf(fencepost, database.pool, { connections: 1, ttl: '1s' });
  const gate = await database.pool.connect();
  await gate.query('begin');
  await gate.query('lock table fencepost.state in access exclusive mode');
  const renewals = tracingChannel('fencepost:renew');
  const silent = Promise.withResolvers<void>();
  const heard = { error: () => silent.resolve() };
  renewals.error.subscribe(heard.error);
  const holder = `${idle} and query not like 'lock%'`;
  const claiming = jobs.claim();
  claiming.catch(() => {});
  await until('it has the row, and waits for its token', async () => {
    const waiting = `select from pg_locks where relation = 'fencepost.state'::regclass and not granted`;
    return (await database.query(waiting)).length === 1;
  });
  await database.query(`select pg_terminate_backend(pid, 5000) ${holder}`);
  await silent.promise;
  renewals.error.unsubscribe(heard.error);
  await gate.query('rollback');
  gate.release();
  await expect(claiming).rejects.toThrow(LockLostError);
  const [claim] = await jobs.claim();
  expect(claim?.row.id).toBe('1');
  await claim?.complete();
});
