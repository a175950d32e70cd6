/**
 * Many participants enter one barrier after the other, or one barrier round after round, and do the parts of a latch
 * after each, while processes of theirs are killed and replaced. Nobody may get through early, and nothing may hang.
 *
 *     node test/races/barriers.ts                    64 processes, a barrier for each round
 *     node test/races/barriers.ts --names=reused     one barrier for all rounds, which everybody leaves together
 */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { type Child, startChild } from '../support/child.ts';
import { type Findings, script } from '../support/script.ts';
import { checkBarriers, measureBarriers, prepareBarriers } from './barrier-history.ts';
import type { BarrierWorkerArgument } from './barrier-worker.ts';

export interface BarrierRace {
  participants: number;
  /** Each of them stands for its share of the participants. */
  processes: number;
  rounds: number;
  /** `reused`: all rounds are of one barrier. `fresh`: each has a barrier of its own. */
  names: string;
  /** Milliseconds. */
  ttl: number;
  /** Milliseconds from when the one that took the place of a killed one takes part, to the next kill. */
  every: number;
  /** After so many seconds all rounds have to be over. */
  seconds: number;
}

const module = new URL('./barrier-worker.ts', import.meta.url);
/** Whoever waits looks every half second, and asks: how much later than the ttl it may be, besides what the machine is. */
const slack = 2_000;

interface Player {
  readonly child: Child;
  readonly number: number;
}

export async function raceForBarriers(url: string, options: BarrierRace): Promise<Findings> {
  const { participants, processes, rounds, names, ttl, every, seconds } = options;
  const share = Math.floor(participants / processes);
  const parties = share * processes;
  const pool = new pg.Pool({ connectionString: url, max: 2 });
  pool.on('error', () => {});
  await prepareBarriers(pool);
  let made = 0;
  const start = (): Player => {
    const race = { parties, participants: share, rounds, ttl, reused: names === 'reused' };
    const number = made++;
    const argument: BarrierWorkerArgument = { url, kind: 'race', name: '', process: number, ...race };
    return { child: startChild(module, argument), number };
  };
  const players = Array.from({ length: processes }, start);
  const violations: string[] = [];
  let kills = 0;
  let stall = 0;
  const ending = new AbortController();
  const { signal } = ending;
  const pause = (milliseconds: number) => delay(milliseconds, undefined, { signal }).catch(() => {});

  /** How late this machine is at present: what it is itself, nobody else has to answer for. */
  const watching = (async () => {
    while (!signal.aborted) {
      const asked = performance.now();
      await pause(100);
      await pool.query('select 1');
      if (!signal.aborted) stall = Math.max(stall, performance.now() - asked - 100);
    }
  })();
  const disturbing = (async () => {
    while (!signal.aborted) {
      await pause(every * (0.5 + Math.random()));
      const place = Math.floor(Math.random() * processes);
      const player = players[place];
      if (signal.aborted || player === undefined || player.child.process.exitCode !== null) continue;
      kills += 1;
      await pool.query(
        `update attempt a set leaving = still_there(a)
         where process = $1 and entered is not null and leaving is null and went is null`,
        [player.number],
      );
      await pool.query('insert into killed values ($1, clock_timestamp())', [player.number]);
      player.child.signal('SIGKILL');
      const next = start();
      players[place] = next;
      // However slow the machine is at starting processes, not all of them are only being started.
      await Promise.race([next.child.next().catch(() => {}), next.child.ended, stopped(signal)]);
    }
  })();
  const playing = players.map(async (_, place) => {
    for (let player = players[place]; ; ) {
      const ended = await player?.child.ended;
      if (ended?.code === 0) return;
      if (ended?.signal !== 'SIGKILL') {
        violations.push(`a process ended with ${ended?.code ?? ended?.signal}`);
        return ending.abort();
      }
      while (players[place] === player && !signal.aborted) await delay(1);
      player = players[place];
    }
  });
  const deadline = delay(seconds * 1_000, 'hangs', { signal }).catch(() => undefined);
  const outcome = await Promise.race([Promise.all(playing), deadline, stopped(signal)]);
  if (outcome === 'hangs') violations.push('it hangs');
  ending.abort();
  await Promise.all([disturbing, watching]);
  await Promise.all(players.map(({ child }) => child[Symbol.asyncDispose]()));
  violations.push(...(await checkBarriers(pool, parties, ttl)));
  const figures = await measureBarriers(pool, parties, ttl);
  await pool.end();
  if (figures.rounds < rounds) violations.push(`${figures.rounds} of ${rounds} rounds began`);
  for (const [what, late] of [
    ['began', figures['latest ms']],
    ['ended', figures['latest to leave, ms']],
  ] as const)
    if (late > ttl + slack + 3 * stall) violations.push(`a round ${what} ${late} ms late`);
  return { figures: { ...figures, kills, 'machine late by, ms': Math.round(stall) }, violations };
}

function stopped(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

await script(
  import.meta,
  { participants: 64, processes: 64, rounds: 20, names: 'fresh', ttl: 10_000, every: 1_000, seconds: 900 },
  raceForBarriers,
  { maxConnections: 600 },
);
