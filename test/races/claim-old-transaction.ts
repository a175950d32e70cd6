/**
 * Rows are inserted at a steady rate and workers complete them, while one transaction stays open from the beginning on:
 * what is done meanwhile cannot be vacuumed. How many rows a second are completed in each part of the time, and how long
 * they waited. Alone, and then beside such a transaction.
 *
 *   node test/races/claim-old-transaction.ts [--storage columns] [--rate 1000] [--seconds 300] [--done delete]
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type Generated, Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { Fencepost } from '../../src/index.ts';
import { type Findings, script } from '../support/script.ts';

interface Tables {
  job: { id: Generated<string>; status: string; at: Date };
}

interface Options extends Record<string, number | string> {
  storage: string;
  rate: number;
  seconds: number;
  /** 'delete', or 'update' for rows that stay. */
  done: string;
}

interface Part {
  readonly completed: number;
  readonly waits: number[];
}

const parts = 5;
/** Milliseconds from one insert to the next. */
const every = 20;

async function measure(url: string, { storage, rate, seconds, done }: Options): Promise<Findings> {
  // Each claim that is held has a connection.
  const concurrency = storage === 'held' ? 10 : 100;
  const pool = new pg.Pool({ connectionString: url, max: 16 });
  pool.on('connect', (client) => client.on('error', () => {}));
  pool.on('error', () => {});
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
  await using fencepost = new Fencepost({ connection: url });
  await pool.query(`create table job (id bigint generated always as identity primary key,
    status text not null default 'new', at timestamptz not null default clock_timestamp(),
    payload text default repeat('x', 200))`);
  const jobs = fencepost.claims.define<Tables, 'job'>({
    db,
    table: 'job',
    key: 'id',
    where: (eb) => eb('status', '=', 'new'),
    orderBy: ['id'],
    storage: storage as 'columns',
    ...(storage === 'held' ? { connections: concurrency } : {}),
    done: done === 'delete' ? 'delete' : { status: 'done' },
  });
  await jobs.ensure();
  const figures: Record<string, string> = {};

  async function work(name: string, time: number): Promise<Part[]> {
    const all = Array.from({ length: parts }, (): Part & { completed: number } => ({
      completed: 0,
      waits: [],
    }));
    const started = performance.now();
    const elapsed = (): number => performance.now() - started;
    const partNow = () => all[Math.min(parts - 1, Math.floor((elapsed() / (time * 1_000)) * parts))];
    await using _workers = jobs.work({ concurrency, batch: concurrency, poll: 20 }, async ({ row }) => {
      const part = partNow();
      if (part === undefined || elapsed() > time * 1_000) return;
      part.completed += 1;
      part.waits.push(Date.now() - row.at.getTime());
    });
    for (let inserted = 0; elapsed() < time * 1_000; ) {
      const due = Math.floor((elapsed() / 1_000) * rate);
      if (due > inserted) {
        await pool.query('insert into job (status) select $2 from generate_series(1, $1)', [
          due - inserted,
          'new',
        ]);
        inserted = due;
      }
      await delay(every);
    }
    for (const [place, { completed, waits }] of all.entries()) {
      waits.sort((a, b) => a - b);
      const at = (share: number): string => `${waits[Math.floor(waits.length * share)] ?? '-'} ms`;
      const second = Math.round(completed / (time / parts));
      figures[`${name}, part ${place + 1}`] =
        `${second} rows a second, p50 after ${at(0.5)}, p99 after ${at(0.99)}`;
    }
    return all;
  }

  const [, ...alone] = await work('alone', Math.min(seconds, 20));
  const old = await pool.connect();
  await old.query('begin isolation level repeatable read');
  await old.query('select count(*) from job');
  const beside = await work('beside it', seconds);
  await old.query('commit');
  old.release();
  const { rows } = await pool.query<{ dead: string }>(
    "select pg_size_pretty(pg_total_relation_size('job')) as dead",
  );
  figures['size of the table'] = String(rows[0]?.dead);
  const usual = alone.reduce((sum, { completed }) => sum + completed, 0) / alone.length;
  const share = (Math.min(seconds, 20) / seconds) * ((beside.at(-1)?.completed ?? 0) / usual);
  figures['the last part, to alone'] = share.toFixed(2);
  await fencepost.close();
  await pool.end();
  return {
    figures,
    violations: share < 0.5 ? [`only ${share.toFixed(2)} of the rows a second at the end`] : [],
  };
}

await script(import.meta, { storage: 'columns', rate: 1_000, seconds: 300, done: 'delete' }, measure);
