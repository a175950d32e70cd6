/**
 * `pg_terminate_backend` on the sessions of one Fencepost, in turn, under load. Keepers hold a key each for as long as
 * they can, some on sessions that waited and some on the shared one; workers come and go. Before each kill the server
 * says which keys that session holds: their keepers, and no others, must be told.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type AdvisoryLock, DatabaseError, Fencepost, LockLostError } from '../../src/index.ts';
import { advisoryLocks, sessionsOfFencepost } from '../support/advisory.ts';
import { Random } from '../support/random.ts';
import { type Findings, script } from '../support/script.ts';
import { openPool } from '../support/server-pool.ts';
import { until } from '../support/until.ts';

export interface Kills {
  rounds: number;
  workers: number;
  keepers: number;
}

const max = 6;

export async function raceKills(url: string, { rounds, workers, keepers }: Kills): Promise<Findings> {
  const random = new Random();
  const violations: string[] = [];
  const counts = { kills: 0, 'locks lost': 0, 'locks not touched': 0, 'work done': 0, 'calls refused': 0 };
  await using server = openPool(url);
  const resources = (): number =>
    process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
  await server.query('select 1');
  const before = resources();
  const fencepost = new Fencepost({ connection: url, sessions: { max } });

  /** Keys from 1 on; every second keeper has to wait for its lock, on a session of its own while there are some. */
  const keep = async (key: number): Promise<AdvisoryLock> => {
    const wanted = BigInt(key);
    if (key % 4 !== 1) return await fencepost.advisory.acquire(wanted);
    await using client = await server.connect();
    await client.query('select pg_advisory_lock($1)', [key]);
    const waiting = fencepost.advisory.acquire(wanted);
    await Promise.race([delay(5), waiting]);
    await client.query('select pg_advisory_unlock($1)', [key]);
    return await waiting;
  };
  const keepAgain = async (key: number): Promise<AdvisoryLock> => {
    for (;;) {
      try {
        return await keep(key);
      } catch (error) {
        if (!(error instanceof DatabaseError)) throw error;
        counts['calls refused'] += 1;
      }
    }
  };

  let working = true;
  const holders = new Map<string, AdvisoryLock>();
  const work = async (): Promise<void> => {
    while (working) {
      const key = `work ${random.below(workers / 2)}`;
      try {
        await using lock = await fencepost.advisory.acquire(key);
        if (holders.get(key)?.state === 'held') violations.push(`two holders of ${key}`);
        holders.set(key, lock);
        await delay(random.below(3));
        holders.delete(key);
        counts['work done'] += 1;
      } catch (error) {
        if (!(error instanceof DatabaseError)) throw error;
        counts['calls refused'] += 1;
      }
    }
  };

  const kept = new Map<number, AdvisoryLock>();
  for (let key = 1; key <= keepers; key += 1) kept.set(key, await keepAgain(key));
  const workload = Array.from({ length: workers }, work);
  let most = 0;
  for (let round = 0; round < rounds; round += 1) {
    const sessions = await sessionsOfFencepost(server);
    most = Math.max(most, sessions.length);
    const pid = sessions[round % sessions.length];
    const locks = await advisoryLocks(server);
    const affected = locks.filter((lock) => lock.granted && lock.pid === pid).map(({ key }) => Number(key));
    const signals = new Map([...kept].map(([key, lock]) => [key, lock.signal]));
    await server.query('select pg_terminate_backend($1)', [pid]);
    counts.kills += 1;
    for (const [key, signal] of signals) {
      if (!affected.includes(key)) continue;
      await until(`the keeper of ${key} is told`, () => signal.aborted);
      const { reason } = signal;
      if (!(reason instanceof LockLostError && reason.reason === 'connection'))
        violations.push(`${key}: ${reason}`);
      if (kept.get(key)?.state !== 'lost') violations.push(`${key} is ${kept.get(key)?.state}`);
    }
    for (const [key, lock] of kept) {
      if (affected.includes(key)) continue;
      counts['locks not touched'] += 1;
      if (lock.signal.aborted || lock.state !== 'held')
        violations.push(`${key} was lost with a session that did not hold it`);
    }
    const lost = affected.filter((key) => kept.has(key));
    counts['locks lost'] += lost.length;
    for (const key of lost) kept.set(key, await keepAgain(key));
  }
  working = false;
  await Promise.all(workload);

  // The pool is whole: as many can wait at a time as before, and everything can be had.
  await Promise.all([...kept.values()].map((lock) => lock.release()));
  const held = await advisoryLocks(server);
  if (held.length > 0) violations.push(`${held.length} locks are left`);
  const all = await fencepost.advisory.acquireAll([...kept.keys()].map(BigInt), { wait: 0 });
  await all.release();
  const sessions = await sessionsOfFencepost(server);
  if (Math.max(most, sessions.length) > max)
    violations.push(`${Math.max(most, sessions.length)} sessions, more than ${max}`);
  await fencepost.close();
  await until('no session is left', async () => (await sessionsOfFencepost(server)).length === 0);
  const sockets = resources() - before;
  if (sockets > 0) violations.push(`${sockets} sockets are left`);
  return { figures: { ...counts, 'most sessions': most, seed: random.seed }, violations };
}

await script(import.meta, { rounds: 500, workers: 24, keepers: 16 }, raceKills);
