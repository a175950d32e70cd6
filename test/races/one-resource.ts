/**
 * Processes that take one lease again and again, each time writing one line of history in a guarded transaction. With
 * `freezes` some of them are stopped for longer than the ttl in the middle of it, and killed, and replaced.
 */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { type Child, startChild } from '../support/child.ts';
import { type Findings, script } from '../support/script.ts';
import type { WorkerArgument } from './one-resource-worker.ts';

export interface OneResource {
  /** Acquisitions that committed a guarded write. */
  rounds: number;
  processes: number;
  /** How many times a process is stopped past the ttl, or killed. */
  faults: number;
  /** Milliseconds. */
  ttl: number;
  /** Ends after so many seconds, whatever was done. */
  seconds: number;
  /** How many may have it at a time: each slot has a history of its own. */
  slots: number;
}

const workerModule = new URL('./one-resource-worker.ts', import.meta.url);

export async function raceForOne(url: string, options: OneResource): Promise<Findings> {
  const { rounds, processes, ttl } = options;
  const pool = new pg.Pool({ connectionString: url, max: 2 });
  pool.on('error', () => {});
  // Commits of guarded transactions are in the order of seq when, and only when, they do not overlap.
  await pool.query(`
    create table history (
      seq bigint generated always as identity primary key, token bigint, worker integer, before bigint,
      entered timestamptz, written timestamptz, slot integer);
    create table counter (slot integer, value bigint);
    insert into counter select slot, 0 from generate_series(0, ${options.slots - 1}) slot`);
  const started = performance.now();
  const start = (worker: number): Child => {
    const { seconds, slots } = options;
    const argument: WorkerArgument = { url, worker, wanted: rounds, ttl, seconds, slots };
    return startChild(workerModule, argument);
  };
  const children = Array.from({ length: processes }, (_, worker) => start(worker));
  const counts = { grants: 0, refusals: 0, lost: 0, stale: 0, freezes: 0, kills: 0 };
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
    for (let fault = 0; fault < options.faults; fault += 1) {
      const { rows } = await pool.query('select worker from history order by seq desc limit 1');
      const child = children[rows[0]?.worker ?? 0];
      if (child === undefined || child.process.exitCode !== null) return;
      await delay(Math.random() * 20);
      if (fault % 4 === 3) {
        counts.kills += 1;
        child.signal('SIGKILL');
      } else {
        counts.freezes += 1;
        child.signal('SIGSTOP');
        await delay(ttl * (1 + Math.random()));
        child.signal('SIGCONT');
      }
    }
  }

  try {
    for (const report of await Promise.all(reports)) {
      counts.grants += report.grants;
      counts.refusals += report.refusals;
      counts.lost += report.lost;
      counts.stale += report.stale;
    }
    await disturbing;
  } finally {
    await Promise.all(children.map((child) => child[Symbol.asyncDispose]()));
  }
  const seconds = (performance.now() - started) / 1_000;
  const violations = await check(pool);
  const { rows } = await pool.query(
    'select count(*)::int as writes, count(distinct worker)::int as writers from history',
  );
  const { rows: turns } = await pool.query(
    'select count(*)::int as turns from (select worker <> lag(worker) over (order by seq) as turn from history) h where turn',
  );
  await pool.end();
  const rate = Math.round(rows[0].writes / seconds);
  return { figures: { ...rows[0], ...turns[0], ...counts, 'a second': rate }, violations };
}

/** Each write has to have seen the one before it, whole; then there was one at a time. */
async function check(pool: pg.Pool): Promise<string[]> {
  const { rows } = await pool.query<Record<string, string>>(`
    select * from (
      select seq, token, before, lag(token, 1, 0::bigint) over w as last, entered, lag(written) over w as last_written
      from history window w as (partition by slot order by seq)) h
    where token <= last or before <> last or entered < last_written order by seq`);
  const violations = rows.map((row) => `out of order: ${JSON.stringify(row)}`);
  const { rows: lost } = await pool.query<Record<string, string>>(
    `select value, writes from (
       select h.slot, c.value, count(*) as writes from history h left join counter c on c.slot = h.slot group by 1, 2) s
     where value is distinct from writes`,
  );
  return [
    ...violations,
    ...lost.map(({ value, writes }) => `${writes} writes, but the counter says ${value}`),
  ];
}

await script(
  import.meta,
  { rounds: 100_000, processes: 8, faults: 0, ttl: 30_000, seconds: 7_200, slots: 1 },
  raceForOne,
);
