/**
 * `acquireAll` with the same few keys in whatever order, from two Fenceposts, against plain clients that lock them one
 * by one in orders of their own. Fenceposts never wait for each other in a circle; with the plain clients the server
 * finds the circles (40P01), and whoever is its victim holds nothing afterwards.
 */
import { DatabaseError, Fencepost } from '../../src/index.ts';
import { advisoryLocks } from '../support/advisory.ts';
import { Random } from '../support/random.ts';
import { type Findings, script } from '../support/script.ts';
import { openPool } from '../support/server-pool.ts';

export interface Orders {
  /** Calls of `acquireAll` among Fenceposts only, and then with plain clients in between. */
  rounds: number;
  mixed: number;
  callers: number;
  keys: number;
}

export async function raceOrders(url: string, { rounds, mixed, callers, keys }: Orders): Promise<Findings> {
  const random = new Random();
  const violations: string[] = [];
  const counts = {
    granted: 0,
    'deadlocks of Fencepost': 0,
    'deadlocks of plain clients': 0,
    'plain rounds': 0,
  };
  await using server = openPool(url, callers);
  const options = '-c deadlock_timeout=20ms';
  const connection = { connectionString: url, options };
  const sessions = { max: callers + 1 };
  await using one = new Fencepost({ connection, sessions });
  await using other = new Fencepost({ connection, sessions });
  const holders = new Map<number, string>();

  const some = (): number[] => {
    const all = Array.from({ length: keys }, (_, key) => key);
    return Array.from({ length: 2 + random.below(3) }, () => all.splice(random.below(all.length), 1)).flat();
  };
  const visit = async (wanted: readonly number[], name: string): Promise<void> => {
    for (const key of wanted) {
      if (holders.has(key)) violations.push(`${key} is held by ${holders.get(key)} and ${name}`);
      holders.set(key, name);
    }
    await new Promise(setImmediate);
    for (const key of wanted) holders.delete(key);
  };

  const call = async (caller: number): Promise<void> => {
    const fencepost = caller % 2 === 0 ? one : other;
    const wanted = some();
    try {
      await using _all = await fencepost.advisory.acquireAll(wanted.map(BigInt));
      await visit(wanted, `caller ${caller}`);
      counts.granted += 1;
    } catch (error) {
      if (!(error instanceof DatabaseError && error.sqlState === '40P01')) throw error;
      counts['deadlocks of Fencepost'] += 1;
    }
  };
  const plain = async (): Promise<void> => {
    await using client = await server.connect();
    const wanted = some();
    const taken: number[] = [];
    try {
      await client.query('set deadlock_timeout = 20');
      for (const key of wanted) {
        await client.query('select pg_advisory_lock($1)', [key]);
        taken.push(key);
      }
      await visit(wanted, 'a plain client');
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === '40P01')) throw error;
      counts['deadlocks of plain clients'] += 1;
    }
    counts['plain rounds'] += 1;
    await client.query('select pg_advisory_unlock_all()');
  };

  const race = async (wanted: number, plainClients: number): Promise<void> => {
    let started = 0;
    const live = async (caller: number): Promise<void> => {
      while (started < wanted && violations.length === 0) {
        started += 1;
        await (caller < plainClients ? plain() : call(caller));
      }
    };
    await Promise.all(Array.from({ length: callers }, (_, caller) => live(caller)));
    const left = await advisoryLocks(server);
    for (const lock of left) violations.push(`left: ${JSON.stringify(lock)}`);
  };
  await race(rounds, 0);
  if (counts['deadlocks of Fencepost'] > 0) violations.push('Fenceposts deadlocked among themselves');
  await race(mixed, callers / 2);
  return { figures: { ...counts, seed: random.seed }, violations };
}

await script(import.meta, { rounds: 20_000, mixed: 5_000, callers: 16, keys: 8 }, raceOrders);
