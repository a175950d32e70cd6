/**
 * Waits for session locks that end, by their timeout or by an abort, around the very moment in which the lock is
 * granted. Plain clients hold the keys and let them go at about that moment. After each call the key must be free, or
 * held by who was granted it; and from time to time, with no call under way, nothing may be left in pg_locks.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type AdvisoryLock, Fencepost, LockTimeoutError } from '../../src/index.ts';
import { advisoryLocks } from '../support/advisory.ts';
import { Random } from '../support/random.ts';
import { type Findings, script } from '../support/script.ts';
import { openPool } from '../support/server-pool.ts';

export interface Grants {
  /** Waits that end by a timeout, or by an abort: calls that were refused, besides those that were granted. */
  timeouts: number;
  aborts: number;
  /** Keys, each with a holder and a waiter, at a time. */
  keys: number;
}

const enough = new Error('enough');

export async function raceGrants(url: string, { timeouts, aborts, keys }: Grants): Promise<Findings> {
  const random = new Random();
  const violations: string[] = [];
  const counts = { timeouts: 0, aborts: 0, grants: 0 };
  await using server = openPool(url, keys);
  // Some have to poll.
  const sessions = { max: Math.ceil(keys * 0.9), ttl: 300_000 };
  await using fencepost = new Fencepost({ connection: url, sessions });
  const owners = new Map<number, string>();
  const enter = (key: number, owner: string): void => {
    const present = owners.get(key);
    if (present !== undefined) violations.push(`${key} is held by ${present} and ${owner}`);
    owners.set(key, owner);
  };

  /** How much earlier the key is let go than the wait ends, in milliseconds: moved until half of them are granted. */
  let lead = 0;

  const one = async (key: number, abort: boolean): Promise<void> => {
    await using holder = await server.connect();
    const { rows } = await holder.query('select pg_try_advisory_lock($1) as free', [key]);
    if (!rows[0].free) {
      violations.push(`${key} is held by nobody`);
      return;
    }
    enter(key, 'a plain client');
    const limit = 10 + random.below(10);
    const controller = new AbortController();
    const options = abort ? { signal: controller.signal } : { wait: limit };
    const ended = fencepost.advisory.acquire(BigInt(key), options).then(
      async (lock: AdvisoryLock) => {
        enter(key, 'Fencepost');
        lead -= 0.02;
        counts.grants += 1;
        await new Promise(setImmediate);
        owners.delete(key);
        await lock.release();
      },
      (error: unknown) => {
        if (abort ? error !== enough : !(error instanceof LockTimeoutError)) throw error;
        lead += 0.02;
        counts[abort ? 'aborts' : 'timeouts'] += 1;
      },
    );
    if (abort) setTimeout(() => controller.abort(enough), limit);
    await delay(Math.max(1, limit - lead + (random.next() - 0.5) * 3));
    owners.delete(key);
    await holder.query('select pg_advisory_unlock($1)', [key]);
    await ended;
  };

  const race = async (abort: boolean, wanted: number): Promise<void> => {
    lead = 0;
    const name = abort ? 'aborts' : 'timeouts';
    while (counts[name] < wanted && violations.length === 0) {
      const until = Math.min(wanted, counts[name] + 20 * keys);
      const live = async (key: number): Promise<void> => {
        while (counts[name] < until && violations.length === 0) await one(key, abort);
      };
      await Promise.all(Array.from({ length: keys }, (_, key) => live(key)));
      const left = await advisoryLocks(server);
      for (const lock of left) violations.push(`left: ${JSON.stringify(lock)}`);
    }
  };

  await race(false, timeouts);
  await race(true, aborts);
  return { figures: { ...counts, seed: random.seed }, violations };
}

await script(import.meta, { timeouts: 100_000, aborts: 100_000, keys: 48 }, raceGrants);
