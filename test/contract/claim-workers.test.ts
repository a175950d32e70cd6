import { tracingChannel } from 'node:diagnostics_channel';
import { setTimeout as delay } from 'node:timers/promises';
import { type Claim, Fencepost } from 'fencepost';
import { Kysely, PostgresDialect } from 'kysely';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';

interface Lines {
  line: { id: string };
}

interface Tables {
  job: { id: string; status: string; tenant: string };
}

const database = await createDatabase();
afterAll(() => database[Symbol.asyncDispose]());
const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: database.pool }) });
await database.query(`create table job (
  id bigint generated always as identity primary key, status text not null default 'new', tenant text default 'a')`);

function define(fencepost: Fencepost, options: object = {}) {
  return fencepost.claims.define<Tables, 'job'>({
    db,
    table: 'job',
    key: 'id',
    tenant: 'tenant',
    where: (eb) => eb('status', '=', 'new'),
    orderBy: ['id'],
    done: { status: 'done' },
    ...options,
  });
}

const open = () => new Fencepost({ connection: database.url });
const insert = (count: number) =>
  database.query(`insert into job (status) select 'new' from generate_series(1, ${count})`);
const done = async () => (await database.query(`select from job where status = 'done'`)).length;
const claimed = async () =>
  (await database.query('select from job where fencepost_holder is not null')).length;

{
  await using fencepost = open();
  await define(fencepost).ensure();
}

beforeEach(() => database.query('truncate job restart identity'));

test('work on every row, as many at one time as asked, and go on with rows that come later', async () => {
  await insert(60);
  await using fencepost = open();
  let running = 0;
  let most = 0;
  const full = Promise.withResolvers<void>();
  await using workers = define(fencepost).work({ concurrency: 7, batch: 5, poll: 20 }, async () => {
    running += 1;
    most = Math.max(most, running);
    if (running === 7) full.resolve();
    await full.promise;
    await delay(5);
    running -= 1;
  });
  await until('60 are done', async () => (await done()) === 60);
  await insert(3);
  await until('63 are done', async () => (await done()) === 63);
  expect(most).toBe(7);
  expect(workers.load).toEqual({ running: 0, waiting: 0 });
});

test('never claim more than they can start soon', async () => {
  await insert(100);
  await using fencepost = open();
  const gate = Promise.withResolvers<void>();
  await using workers = define(fencepost).work({ concurrency: 4, batch: 3, poll: 10 }, () => gate.promise);
  await until('they are busy', () => workers.load.running === 4);
  await delay(100);
  expect(workers.load.waiting).toBeLessThanOrEqual(3);
  expect(await claimed()).toBe(4 + workers.load.waiting);
  gate.resolve();
});

test('give back what a handler throws at, for a later attempt, and set it aside after the last', async () => {
  await insert(2);
  await using fencepost = open();
  const jobs = define(fencepost, { maxAttempts: 3 });
  const attempts: string[] = [];
  await using _workers = jobs.work(
    { poll: 10, backoff: (attempt) => attempt * 20 },
    async ({ row, attempt }) => {
      attempts.push(`${row.id}:${attempt}`);
      if (row.id === '1') throw new Error(`no ${attempt}`);
    },
  );
  const aside = await until('one is set aside', async () => (await jobs.aside())[0]);
  expect(aside).toMatchObject({ row: { id: '1' }, attempts: 3, error: 'Error: no 3' });
  expect(attempts.sort()).toEqual(['1:1', '1:2', '1:3', '2:1']);
  expect(await done()).toBe(1);
});

test('leave a row alone that its handler has settled itself', async () => {
  await insert(2);
  await using fencepost = open();
  const errors: unknown[] = [];
  const onError = (error: unknown) => errors.push(error);
  await using _workers = define(fencepost).work({ poll: 10, onError }, async (claim) => {
    if (claim.row.id === '1') await claim.fail('bad');
    else await claim.complete(async () => {});
  });
  await until('one is done', async () => (await done()) === 1);
  await until('one is aside', async () => (await define(fencepost).aside()).length === 1);
  expect(errors).toEqual([]);
});

test('stop: what has not begun is given back, what has begun is waited for', async () => {
  await insert(20);
  await using fencepost = open();
  const gate = Promise.withResolvers<void>();
  const controller = new AbortController();
  const options = { concurrency: 2, batch: 4, poll: 10, signal: controller.signal };
  const workers = define(fencepost).work(options, () => gate.promise);
  await until('some wait', () => workers.load.waiting === 4);
  controller.abort();
  await until('they are back', async () => (await claimed()) === 2);
  gate.resolve();
  await workers.stop();
  expect([await done(), await claimed()]).toEqual([2, 0]);
  const [row] = await database.query<{ most: number }>(
    'select max(fencepost_attempts) as most from job where status <> $1',
    ['done'],
  );
  expect(row?.most).toBe(0);
});

test('large claims beside the table: two at one time, each row begun with once, and none of them kept by a stop', async () => {
  await database.query('create table line (id bigint primary key)');
  await database.query('insert into line select generate_series(1, 10000)');
  await using fencepost = open();
  const jobs = fencepost.claims.define<Lines, 'line'>({
    db: db as unknown as Kysely<Lines>,
    table: 'line',
    key: 'id',
    orderBy: ['id'],
    done: 'delete',
    storage: 'sidecar',
  });
  await jobs.ensure();
  let [underWay, most] = [0, 0];
  const counting = {
    start: () => {
      underWay += 1;
      most = Math.max(most, underWay);
    },
    asyncEnd: () => {
      underWay -= 1;
    },
  };
  const claims = tracingChannel('fencepost:claim');
  claims.subscribe(counting as never);
  const begun: number[] = [];
  const half = Promise.withResolvers<void>();
  const stopWithTwo = (): unknown => (underWay === 2 ? half.resolve() : setImmediate(stopWithTwo));
  const options = { concurrency: 100, batch: 100, poll: 10 };
  const workers = jobs.work(options, async ({ row }) => {
    begun.push(Number(row.id));
    // Not in the handlers themselves: they begin between an answer and the next claim.
    if (begun.length === 3_000) setImmediate(stopWithTwo);
  });
  await half.promise;
  await workers.stop();
  claims.unsubscribe(counting as never);
  expect(most).toBe(2);
  expect(new Set(begun).size).toBe(begun.length);
  const { claimed: all, completed, released } = workers.stats();
  expect(all).toBe(completed + released);
  expect(await database.query('select from line')).toHaveLength(10_000 - begun.length);
  expect(await database.query('select from fencepost.claims')).toEqual([]);
});

test('stop: handlers that do not end in time are aborted, and their rows are free', async () => {
  await insert(1);
  await using fencepost = open();
  const started = Promise.withResolvers<Claim<Tables['job'], Tables>>();
  const workers = define(fencepost).work({ grace: 100, poll: 10 }, async (claim) => {
    started.resolve(claim);
    await new Promise((resolve) => claim.signal.addEventListener('abort', resolve, { once: true }));
    throw claim.signal.reason;
  });
  const claim = await started.promise;
  await workers.stop();
  expect(claim.signal.reason).toMatchObject({ code: 'LOCK_LOST', reason: 'shutdown' });
  const again = await until('it is free', async () => (await define(fencepost).claim())[0]);
  expect([again.row.id, again.attempt]).toEqual(['1', 1]);
});

test('stop with their Fencepost', async () => {
  await insert(5);
  const fencepost = open();
  const workers = define(fencepost).work({ concurrency: 1, batch: 3, poll: 10 }, () => delay(50));
  await until('some wait', () => workers.load.waiting > 0);
  await fencepost.close();
  expect(workers.load).toEqual({ running: 0, waiting: 0 });
  expect(await claimed()).toBe(0);
});

test('end with an error that trying again cannot mend, and go on after one that it can', async () => {
  await using fencepost = open();
  const errors: unknown[] = [];
  const onError = (error: unknown) => errors.push(error);
  const broken = define(fencepost, { orderBy: ['nothing'] }).work({ onError }, async () => {});
  await expect(broken.finished).rejects.toMatchObject({ code: 'ARGUMENT' });
  await expect(broken.stop()).rejects.toMatchObject({ code: 'ARGUMENT' });
  expect(errors).toHaveLength(1);

  await using _workers = define(fencepost).work({ poll: 10, onError }, async () => {});
  const lock = await database.pool.connect();
  await lock.query('begin; lock table job');
  await until(
    'a claim waits',
    async () =>
      (
        await database.query(
          `select from pg_stat_activity
     where datname = current_database() and wait_event_type = 'Lock' and query like '%fencepost_free%'`,
        )
      ).length > 0,
  );
  await database.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and wait_event_type = 'Lock' and query like '%fencepost_free%'`,
  );
  await until('it was told', () => errors.length === 2);
  await lock.query('rollback');
  lock.release();
  await insert(1);
  await until('it is done', async () => (await done()) === 1);
});

test.each([{ concurrency: 0 }, { batch: 1.5 }, { poll: 0 }, { backoff: 1 }, { wake: 1 }])(
  'options %j are refused',
  async (options) => {
    await using fencepost = open();
    expect(() => define(fencepost).work(options as object, async () => {})).toThrow(
      expect.objectContaining({ code: 'ARGUMENT' }) as unknown as Error,
    );
  },
);
