/**
 * Many participants enter one barrier after the other and do the parts of a latch after each, while processes of theirs
 * are killed and replaced. Nobody may get through early, and nothing may hang.
 */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { type Child, startChild } from '../support/child.ts';
import { type Findings, script } from '../support/script.ts';
import type { BarrierWorkerArgument } from './barrier-worker.ts';

export interface BarrierRace {
  participants: number;
  /** Each of them stands for its share of the participants. */
  processes: number;
  rounds: number;
  /** Milliseconds. */
  ttl: number;
  /** Milliseconds from one kill to the next. */
  every: number;
  /** After so many seconds all rounds have to be over. */
  seconds: number;
}

const module = new URL('./barrier-worker.ts', import.meta.url);
/** How much later than the ttl a machine under load may see something, in milliseconds. */
const slack = 5_000;

export async function raceForBarriers(url: string, options: BarrierRace): Promise<Findings> {
  const { participants, processes, rounds, ttl, every, seconds } = options;
  const pool = new pg.Pool({ connectionString: url, max: 2 });
  pool.on('error', () => {});
  await pool.query(`
    create table attempt (
      id bigint generated always as identity primary key, process integer, round integer,
      there timestamptz, entered timestamptz, gone timestamptz);
    create table killed (process integer primary key, at timestamptz);
    create table part (round integer, index integer, at timestamptz);
    create table latch_open (round integer, at timestamptz);
    -- The gate of a barrier keeps the moment at which it opened.
    create function opened_rounds() returns table (round integer, at timestamptz) language sql as $$
      select substring(name from 'round (\\d+)')::integer, released_at from fencepost.lease
      where name like '["fencepost","barrier gate","round %' and token > 0 $$`);
  let made = 0;
  const start = (): Child => {
    const share = Math.floor(participants / processes);
    const argument: BarrierWorkerArgument = {
      url,
      kind: 'race',
      name: '',
      ttl,
      parties: share * processes,
      process: made++,
      participants: share,
      rounds,
    };
    return Object.assign(startChild(module, argument), { number: argument.process });
  };
  const children = Array.from({ length: processes }, start) as (Child & { number: number })[];
  const violations: string[] = [];
  let kills = 0;
  let over = false;
  const ending = new AbortController();

  const disturbing = (async () => {
    while (!over) {
      await delay(every * (0.5 + Math.random()), undefined, { signal: ending.signal }).catch(() => {});
      const place = Math.floor(Math.random() * processes);
      const child = children[place];
      if (over || child === undefined || child.process.exitCode !== null) continue;
      kills += 1;
      await pool.query('insert into killed values ($1, clock_timestamp())', [child.number]);
      child.signal('SIGKILL');
      children[place] = start() as Child & { number: number };
    }
  })();
  const playing = children.map(async (_, place) => {
    for (;;) {
      const child = children[place] as Child;
      const { signal, code } = await child.ended;
      if (code === 0) return;
      if (signal !== 'SIGKILL') violations.push(`a process ended with ${code ?? signal}`);
      if (signal !== 'SIGKILL' || over) return;
      while (children[place] === child) await delay(1);
    }
  });
  const deadline = delay(seconds * 1_000, 'hangs', { signal: ending.signal }).catch(() => undefined);
  if ((await Promise.race([Promise.all(playing), deadline])) === 'hangs') violations.push('it hangs');
  over = true;
  ending.abort();
  await disturbing;
  await Promise.all(children.map((child) => child[Symbol.asyncDispose]()));
  const parties = Math.floor(participants / processes) * processes;
  violations.push(...(await check(pool, parties, ttl)));
  const figures = await measure(pool, parties);
  await pool.end();
  if (figures.rounds !== rounds) violations.push(`${figures.rounds} of ${rounds} rounds began`);
  if (Number(figures['latest ms']) > ttl + slack)
    violations.push(`a round began ${figures['latest ms']} ms late`);
  return { figures: { ...figures, kills }, violations };
}

/** A killed one counts until its ttl is over. */
const present = `a.there <= o.at and coalesce(a.gone >= o.at, true) and coalesce(k.at + $2::interval >= o.at, true)`;

async function check(pool: pg.Pool, parties: number, ttl: number): Promise<string[]> {
  const { rows: early } = await pool.query(
    `select o.round, count(a.id) filter (where ${present})::int as there, min(a.entered) < o.at as before
     from opened_rounds() o join attempt a on a.round = o.round left join killed k on k.process = a.process
     group by o.round, o.at having count(a.id) filter (where ${present}) < $1 or min(a.entered) < o.at`,
    [parties, `${ttl} milliseconds`],
  );
  const { rows: undone } = await pool.query(
    `select l.round, count(distinct p.index)::int as begun from (select round, min(at) as at from latch_open group by 1) l
     left join part p on p.round = l.round and p.at <= l.at group by 1 having count(distinct p.index) <> $1`,
    [parties],
  );
  return [
    ...early.map((row) => `let in early: ${JSON.stringify(row)}`),
    ...undone.map((row) => `opened before all parts were begun: ${JSON.stringify(row)}`),
  ];
}

/** `latest ms`: from when enough were there that were not killed to the beginning of the round, at the most. */
async function measure(pool: pg.Pool, parties: number): Promise<Record<string, number>> {
  const { rows } = await pool.query(
    `select count(*)::int as rounds, coalesce(max(late), 0)::int as late, sum(entries)::int as entries from (
       select o.round, extract(epoch from o.at - (array_agg(a.there order by a.there)
           filter (where k.at is null and coalesce(a.gone >= o.at, true)))[$1]) * 1000 as late, count(a.entered) as entries
       from opened_rounds() o join attempt a on a.round = o.round left join killed k on k.process = a.process
       group by o.round, o.at) r`,
    [parties],
  );
  const { rows: parts } = await pool.query('select count(*)::int as parts from part');
  return {
    rounds: rows[0].rounds,
    entries: rows[0].entries,
    parts: parts[0].parts,
    'latest ms': rows[0].late,
  };
}

await script(
  import.meta,
  { participants: 64, processes: 64, rounds: 20, ttl: 10_000, every: 1_000, seconds: 900 },
  raceForBarriers,
);
