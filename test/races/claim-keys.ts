/**
 * Workers claim rows in batches with a limit for each key, and are killed now and then. What they wrote down says that
 * no key ever had more rows under way, and with a limit of one that each had its rows in order.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { Fencepost } from '../../src/index.ts';
import { type Child, startChild } from '../support/child.ts';
import { type Findings, script } from '../support/script.ts';
import { type KeyTables, keyedJobs } from './claim-keys-jobs.ts';
import type { KeysWorkerArgument } from './claim-keys-worker.ts';

export interface KeyRace extends Record<string, number | string> {
  /** 'columns' or 'sidecar'. */
  storage: string;
  rows: number;
  keys: number;
  limit: number;
  processes: number;
  batch: number;
  /** Milliseconds. */
  ttl: number;
  /** Milliseconds from one kill to the next. */
  every: number;
  /** After so many seconds nobody is killed any more. */
  seconds: number;
}

interface Worker {
  readonly child: Child;
  readonly instance: number;
  /** It has claimed, and nobody has killed it. */
  working: boolean;
}

const workerModule = new URL('./claim-keys-worker.ts', import.meta.url);

export async function raceForKeys(url: string, options: KeyRace): Promise<Findings> {
  const { storage, rows, keys, limit, processes, batch, ttl, every, seconds } = options;
  const pool = new pg.Pool({ connectionString: url, max: 2 });
  pool.on('error', () => {});
  await pool.query(`
    create table job (id integer generated always as identity primary key, customer integer not null,
      status text not null default 'new');
    create table history (job integer, what text, instance integer, at timestamptz default clock_timestamp());
    create index on history (job, instance, what, at);
    create table death (instance integer, at timestamptz)`);
  await pool.query('insert into job (customer) select random() * ($2 - 1) from generate_series(1, $1)', [
    rows,
    keys,
  ]);
  {
    await using fencepost = new Fencepost({ connection: url });
    const db = new Kysely<KeyTables>({ dialect: new PostgresDialect({ pool }) });
    await keyedJobs(fencepost, db, storage, limit, ttl).ensure();
  }

  const started = performance.now();
  let instances = 0;
  const start = (): Worker => {
    const instance = instances++;
    const argument: KeysWorkerArgument = { url, storage, limit, batch, ttl, instance };
    return { child: startChild(workerModule, argument), instance, working: false };
  };
  const workers = Array.from({ length: processes }, start);
  let claims = 0;
  const reports = workers.map(async (_, place) => {
    for (;;) {
      const worker = workers[place] ?? start();
      const { child } = worker;
      const began = await child.next().catch(() => undefined);
      worker.working = began !== undefined;
      const report = await child.next<{ claims: number }>().catch(() => undefined);
      worker.working = false;
      const { signal, code } = await child.ended;
      claims += report?.claims ?? 0;
      if (report !== undefined) return;
      if (signal !== 'SIGKILL') throw new Error(`a worker ended with ${code ?? signal}`);
      workers[place] = start();
    }
  });
  const over = new AbortController();
  const killing = kill();

  async function kill(): Promise<void> {
    while (!over.signal.aborted && performance.now() - started < seconds * 1_000) {
      await delay(every, undefined, { signal: over.signal }).catch(() => {});
      // One that is only starting has nothing to lose: killed at that, no machine would get on with the rows.
      const working = workers.filter((worker) => worker.working);
      const victim = working[Math.floor(Math.random() * working.length)];
      if (over.signal.aborted || victim === undefined) continue;
      victim.working = false;
      // Before the kill: what it did not end by then it did not end later.
      await pool.query('insert into death values ($1, clock_timestamp())', [victim.instance]);
      victim.child.signal('SIGKILL');
    }
  }

  try {
    await Promise.all(reports);
  } finally {
    over.abort();
    await killing;
    await Promise.all(workers.map(({ child }) => child[Symbol.asyncDispose]()));
  }
  const took = (performance.now() - started) / 1_000;
  const violations = await check(pool, limit);
  const { rows: most } = await pool.query<{ most: number }>(`select max(now) as most from (${underWay}) u`);
  await pool.end();
  const figures = {
    kills: instances - processes,
    claims,
    most: Number(most[0]?.most),
    'a second': Math.round(rows / took),
  };
  return { figures, violations };
}

/** How many rows of a key were under way after each beginning and end: an attempt ends when it says so, or dies. */
const underWay = `
  with attempt as (
    select b.job, b.at as began, coalesce(
      (select min(e.at) from history e where e.job = b.job and e.instance = b.instance and e.what = 'end' and e.at >= b.at),
      (select d.at from death d where d.instance = b.instance)) as ended
    from history b where b.what = 'begin')
  select j.customer, s.at, sum(s.change) over (partition by j.customer order by s.at, s.change) as now
  from attempt a join job j on j.id = a.job
  cross join lateral (values (a.began, 1), (greatest(a.began, a.ended), -1)) s(at, change)`;

async function check(pool: pg.Pool, limit: number): Promise<string[]> {
  const crowded = await pool.query(`select * from (${underWay}) u where now > $1`, [limit]);
  const unfinished = await pool.query(`select * from job where status <> 'done'`);
  const disordered = await pool.query(
    `select * from (
       select j.customer, b.job, b.at, lag(b.job) over (partition by j.customer order by b.at) as before
       from history b join job j on j.id = b.job where b.what = 'begin') o
     where $1 = 1 and job < before`,
    [limit],
  );
  const all: [string, pg.QueryResult][] = [
    ['too many at one time', crowded],
    ['not done', unfinished],
    ['before an earlier one', disordered],
  ];
  return all.flatMap(([what, { rows }]) => rows.map((row) => `${what}: ${JSON.stringify(row)}`));
}

await script(
  import.meta,
  {
    storage: 'columns',
    rows: 10_000,
    keys: 50,
    limit: 3,
    processes: 8,
    batch: 20,
    ttl: 1_000,
    every: 500,
    seconds: 60,
  },
  raceForKeys,
);
