/**
 * Many locks in one process: thousands held at a time, then as many callers waiting, each for a key that another
 * process holds and lets go in an order of its own. All the while the server is asked how many connections there are.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Fencepost } from '../../src/index.ts';
import { advisoryLocks, sessionsOfFencepost } from '../support/advisory.ts';
import { Random } from '../support/random.ts';
import { type Findings, script } from '../support/script.ts';
import { openPool } from '../support/server-pool.ts';

export interface Crowd {
  /** Locks that one process holds at a time. */
  held: number;
  /** Callers that wait, each for a key of its own. */
  waiting: number;
  max: number;
}

export async function gatherCrowd(url: string, { held, waiting, max }: Crowd): Promise<Findings> {
  const random = new Random();
  const violations: string[] = [];
  await using server = openPool(url, 8);
  await using fencepost = new Fencepost({ connection: url, sessions: { max } });
  const most = { holding: 0, waiting: 0 };
  let phase: keyof typeof most = 'holding';
  let sampling = true;
  let samples = 0;
  const sample = async (): Promise<void> => {
    while (sampling) {
      most[phase] = Math.max(most[phase], (await sessionsOfFencepost(server)).length);
      samples += 1;
      await delay(5);
    }
  };
  const sampled = sample();

  const keys = Array.from({ length: held }, (_, key) => `held ${key}`);
  const locks = await Promise.all(keys.map((key) => fencepost.advisory.acquire(key)));
  const onServer = (await advisoryLocks(server)).filter(({ granted }) => granted).length;
  if (onServer !== held) violations.push(`${held} locks are held, and ${onServer} on the server`);
  for (const lock of locks) lock.assertHeld();
  await Promise.all(locks.map((lock) => lock.release()));
  if ((await advisoryLocks(server)).length > 0) violations.push('locks are left after their release');

  phase = 'waiting';
  const others = Array.from({ length: waiting }, (_, key) => key);
  await using holder = await server.connect();
  await holder.query('select pg_advisory_lock(key) from unnest($1::int8[]) key', [others]);
  let through = 0;
  const calls = others.map(async (key) => {
    await using lock = await fencepost.advisory.acquire(BigInt(key));
    const [{ count } = { count: 0 }] = await server.query<{ count: number }>(
      `select count(*)::int from pg_locks where locktype = 'advisory' and granted and objid = $1 and classid = 0
       and database = (select oid from pg_database where datname = current_database())`,
      [key],
    );
    if (count !== 1) violations.push(`${count} sessions hold ${key}`);
    lock.assertHeld();
    through += 1;
  });
  const released = others.toSorted(() => random.next() - 0.5);
  while (released.length > 0) {
    await holder.query('select pg_advisory_unlock(key) from unnest($1::int8[]) key', [
      released.splice(0, 20),
    ]);
    await delay(random.below(20));
  }
  await Promise.all(calls);
  sampling = false;
  await sampled;
  if (through !== waiting) violations.push(`${through} of ${waiting} got through`);
  if (Math.max(most.holding, most.waiting) > max)
    violations.push(`${JSON.stringify(most)} connections, more than ${max}`);
  const figures = {
    'locks held at a time': held,
    'callers that waited': through,
    'most connections, holding': most.holding,
    'most connections, waiting': most.waiting,
    samples,
  };
  return { figures, violations };
}

await script(import.meta, { held: 5_000, waiting: 1_000, max: 5 }, gatherCrowd);
