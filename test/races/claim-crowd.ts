/**
 * Workers claim the rows of one table and complete them, while now and then one of them is killed, or stopped for
 * longer than the ttl. Each row has to be completed, and accepted once.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { Fencepost } from '../../src/index.ts';
import { type Child, startChild } from '../support/child.ts';
import { type Findings, script } from '../support/script.ts';
import type { CrowdWorkerArgument } from './claim-crowd-worker.ts';

export interface ClaimCrowd extends Record<string, number | string> {
  /** 'columns', 'sidecar' or 'held'. */
  storage: string;
  /** 'claim' in a loop, or 'work': a pool of workers. */
  by: string;
  rows: number;
  processes: number;
  /** Rows of `held` take a connection each: 4 in each of 8 processes is what a server of 100 connections has room for. */
  batch: number;
  /** Milliseconds. */
  ttl: number;
  /** Milliseconds from one kill or freeze to the next. */
  every: number;
  /** After so many seconds nobody is disturbed any more. In four times that all rows have to be done. */
  seconds: number;
}

const workerModule = new URL('./claim-crowd-worker.ts', import.meta.url);

export async function raceForRows(url: string, options: ClaimCrowd): Promise<Findings> {
  const { storage, by, rows, processes, batch, ttl, every, seconds } = options;
  const pool = new pg.Pool({ connectionString: url, max: 2 });
  pool.on('error', () => {});
  await pool.query(`
    create table job (id bigint generated always as identity primary key, status text not null default 'new');
    create table effect (job bigint, token bigint, worker integer);
    create table accepted (job bigint);
    create function note_accepted() returns trigger language plpgsql as $$
    begin
      insert into accepted values (new.id);
      return null;
    end $$;
    create trigger note_accepted after update on job for each row when (new.status = 'done')
      execute function note_accepted()`);
  await prepare(url, pool, storage);
  await pool.query('insert into job (status) select $1 from generate_series(1, $2)', ['new', rows]);

  const started = performance.now();
  const elapsed = (): number => (performance.now() - started) / 1_000;
  const start = (worker: number): Child => {
    const left = 4 * seconds - elapsed();
    const argument: CrowdWorkerArgument = { url, worker, ttl, batch, storage, by, seconds: left };
    return startChild(workerModule, argument);
  };
  const children = Array.from({ length: processes }, (_, worker) => start(worker));
  const counts = { claims: 0, completed: 0, stale: 0, failed: 0, tooMany: 0, shutOut: 0, strange: 0 };
  const faults = { kills: 0, freezes: 0 };
  const over = new AbortController();
  const disturbing = disturb();
  const reports = children.map(async (_, worker) => {
    for (;;) {
      const child = children[worker] as Child;
      const report = await child.next<typeof counts>().catch(() => undefined);
      const { signal, code } = await child.ended;
      if (report !== undefined) return report;
      if (signal !== 'SIGKILL') throw new Error(`worker ${worker} ended with ${code ?? signal}`);
      children[worker] = start(worker);
    }
  });

  async function disturb(): Promise<void> {
    const thawing: Promise<void>[] = [];
    for (let fault = 0; !over.signal.aborted && elapsed() < seconds; fault += 1) {
      await delay(every, undefined, { signal: over.signal }).catch(() => {});
      const child = children[Math.floor(Math.random() * processes)];
      if (child === undefined || child.process.exitCode !== null) continue;
      if (fault % 2 === 0) {
        faults.kills += 1;
        child.signal('SIGKILL');
      } else {
        faults.freezes += 1;
        child.signal('SIGSTOP');
        thawing.push(delay(ttl * (1 + Math.random())).then(() => child.signal('SIGCONT')));
      }
    }
    await Promise.all(thawing);
  }

  try {
    for (const report of await Promise.all(reports)) {
      for (const name of Object.keys(counts) as (keyof typeof counts)[]) counts[name] += report[name];
    }
  } finally {
    over.abort();
    await disturbing;
    await Promise.all(children.map((child) => child[Symbol.asyncDispose]()));
  }
  const took = elapsed();
  const violations = [
    ...(counts.tooMany > 0 ? [`${counts.tooMany} claims of more rows than asked`] : []),
    ...(counts.strange > 0 ? [`${counts.strange} errors that are none of ours`] : []),
    ...(counts.shutOut > 0 ? [`${counts.shutOut} workers could not claim any more`] : []),
    ...(await check(pool, storage)),
  ];
  await pool.end();
  return { figures: { ...counts, ...faults, 'a second': Math.round(rows / took) }, violations };
}

async function prepare(url: string, pool: pg.Pool, storage: string): Promise<void> {
  await using fencepost = new Fencepost({ connection: url });
  const db = new Kysely<{ job: { id: string; status: string } }>({ dialect: new PostgresDialect({ pool }) });
  await fencepost.claims
    .define<{ job: { id: string; status: string } }, 'job'>({
      db,
      table: 'job',
      key: 'id',
      where: (eb) => eb('status', '=', 'new'),
      orderBy: ['id'],
      done: { status: 'done' },
      storage: storage as 'columns',
    })
    .ensure();
}

async function check(pool: pg.Pool, storage: string): Promise<string[]> {
  const { rows } = await pool.query<Record<string, unknown>>(`
    select j.*, a.times, e.tokens
    from job j
    left join (select job, count(*) as times from accepted group by job) a on a.job = j.id
    left join (select job, array_agg(token) as tokens from effect group by job) e on e.job = j.id
    where j.status <> 'done' or a.times is distinct from 1 or cardinality(e.tokens) > 1
      ${storage === 'columns' ? 'or e.tokens <> array[j.fencepost_token] or j.fencepost_holder is not null' : ''}
    order by j.id`);
  const left = await pool.query('select * from fencepost.claims');
  return [
    ...rows.map((row) => `row ${JSON.stringify(row)}`),
    ...left.rows.map((claim) => `left is the claim ${JSON.stringify(claim)}`),
  ];
}

await script(
  import.meta,
  {
    storage: 'columns',
    by: 'claim',
    rows: 200_000,
    processes: 8,
    batch: 50,
    ttl: 1_000,
    every: 200,
    seconds: 300,
  },
  raceForRows,
);
