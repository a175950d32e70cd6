/** A process that takes part in a barrier, a latch or a group. */
import { flushCompileCache } from 'node:module';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { type BarrierEntry, Fencepost, FencepostError, StateError } from '../../src/index.ts';
import { argumentOfChild, tellParent } from '../support/child.ts';

export interface BarrierWorkerArgument {
  readonly url: string;
  readonly kind: 'enter' | 'join' | 'race';
  readonly name: string;
  readonly ttl: number;
  readonly parties: number;
  /** Of a race: what this process is called there, for how many it stands, and how many rounds there are. */
  readonly process: number;
  readonly participants: number;
  readonly rounds: number;
  /** Whether all rounds are of one barrier, by one name, or each is the first one of its own. */
  readonly reused: boolean;
}

const argument = argumentOfChild<BarrierWorkerArgument>();
const { url, kind, name, parties, ttl, participants, rounds, reused } = argument;
const fencepost = new Fencepost({ connection: url });
// Many processes of this kind are started in a race, and most of them do not get to their end.
flushCompileCache();

if (kind === 'enter') {
  await fencepost.barriers.enter(name, { parties, ttl });
  tellParent({ entered: true });
} else if (kind === 'join') {
  await fencepost.members.join(name, {}, { ttl });
  tellParent({ joined: true });
} else {
  // One connection: 64 processes with theirs and those of Fencepost are many for a server.
  const pool = new pg.Pool({ connectionString: url, max: 1 });
  await Promise.all(Array.from({ length: participants }, () => play(pool)));
  await fencepost.close();
  await pool.end();
  tellParent({ done: true });
  process.disconnect();
}

/** Whoever takes the place of one that was killed begins with the round that has not begun yet. */
async function play(pool: pg.Pool): Promise<void> {
  for (;;) {
    const { rows } = await pool.query('select count(*)::int as begun from opening');
    if (rows[0].begun >= rounds) return;
    await delay(Math.random() * 50);
    const round = await enter(pool, reused ? 'again' : `round ${rows[0].begun}`);
    if (round !== undefined) await countDown(pool, round);
  }
}

/** Enters and leaves; answers which round it was in, or nothing when it was in none. */
async function enter(pool: pg.Pool, barrier: string): Promise<number | undefined> {
  const { rows } = await pool.query(
    'insert into attempt (process, barrier, there) values ($1, $2, clock_timestamp()) returning id',
    [argument.process, barrier],
  );
  tellParent({ playing: true });
  const note = (column: 'leaving' | 'went' | 'gone', moment: string) =>
    pool.query(`update attempt a set ${column} = ${moment} where id = $1`, [rows[0].id]);
  let entry: BarrierEntry;
  try {
    // A place that a killed one has is free again at its ttl.
    entry = await fencepost.barriers.enter(barrier, { parties, ttl, wait: 2 * ttl });
  } catch (error) {
    await note('gone', 'clock_timestamp()');
    return again(error);
  }
  await pool.query('update attempt set entered = clock_timestamp(), token = $2 where id = $1', [
    rows[0].id,
    entry.token,
  ]);
  const round = await pool.query(
    'select ordinal::int as round from opening where barrier = $1 and $2 > after and $2 <= upto',
    [barrier, entry.token],
  );
  if (!reused) await entry.release();
  else {
    await note('leaving', 'still_there(a)');
    try {
      await entry.leave({ wait: 3 * ttl });
      await note('went', 'clock_timestamp()');
    } catch (error) {
      again(error);
    }
  }
  return round.rows[0]?.round;
}

/** Does parts until there are none left to do. */
async function countDown(pool: pg.Pool, round: number): Promise<void> {
  const latch = `round ${round}`;
  for (;;) {
    try {
      const part = await fencepost.latches.join(latch, { count: parties, ttl });
      await delay(Math.random() * 20);
      await pool.query('insert into part values ($1, $2, clock_timestamp())', [round, part.index]);
      await part.countDown();
    } catch (error) {
      if (error instanceof StateError) break;
      again(error);
    }
  }
  await fencepost.latches.wait(latch, { count: parties });
  await pool.query('insert into latch_open values ($1, clock_timestamp())', [round]);
}

/** On a machine that starts 64 processes at once some are late, and lose their place. */
function again(error: unknown): undefined {
  if (error instanceof FencepostError && (error.retriable || error.code === 'STALE_TOKEN')) return;
  throw error;
}
