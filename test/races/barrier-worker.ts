/** A process that takes part in a barrier, a latch or a group. */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { Fencepost, LockLostError, LockTimeoutError, StaleTokenError, StateError } from '../../src/index.ts';
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
}

const argument = argumentOfChild<BarrierWorkerArgument>();
const { url, kind, name, parties, ttl, participants, rounds } = argument;
const fencepost = new Fencepost({ connection: url });

if (kind === 'enter') {
  await fencepost.barriers.enter(name, { parties, ttl });
  tellParent({ entered: true });
} else if (kind === 'join') {
  await fencepost.members.join(name, {}, { ttl });
  tellParent({ joined: true });
} else {
  const pool = new pg.Pool({ connectionString: url, max: 2 });
  // A process that takes the place of one that was killed begins where that one was at the latest.
  const { rows } = await pool.query('select coalesce(max(round) + 1, 0) as next from opened_rounds()');
  await Promise.all(Array.from({ length: participants }, () => play(pool, rows[0].next)));
  await fencepost.close();
  await pool.end();
  tellParent({ done: true });
  process.disconnect();
}

async function play(pool: pg.Pool, first: number): Promise<void> {
  for (let round = first; round < rounds; round += 1) {
    await delay(Math.random() * 50);
    await enter(pool, round);
    await countDown(pool, round);
  }
}

/** Enters, and enters again when nothing came of it, unless the round has begun with one that was killed since. */
async function enter(pool: pg.Pool, round: number): Promise<void> {
  for (;;) {
    const { rows } = await pool.query(
      'insert into attempt (process, round, there) values ($1, $2, clock_timestamp()) returning id',
      [argument.process, round],
    );
    const note = (column: 'gone' | 'entered') =>
      pool.query(`update attempt set ${column} = clock_timestamp() where id = $1`, [rows[0].id]);
    try {
      const entry = await fencepost.barriers.enter(`round ${round}`, { parties, ttl, wait: 3 * ttl });
      await note('entered');
      await entry.release();
      return;
    } catch (error) {
      // On a machine that starts 64 processes at once some are late, and lose their place.
      if (!(error instanceof LockTimeoutError || error instanceof LockLostError)) throw error;
      await note('gone');
    }
    const opened = await pool.query('select from opened_rounds() where round = $1', [round]);
    if (opened.rows.length > 0) return;
  }
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
      if (!(error instanceof LockLostError || error instanceof StaleTokenError)) throw error;
    }
  }
  await fencepost.latches.wait(latch, { count: parties });
  await pool.query('insert into latch_open values ($1, clock_timestamp())', [round]);
}
