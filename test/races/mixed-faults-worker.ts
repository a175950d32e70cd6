/** Callers that take leases of a few keys again and again, and write once under each; and what they say of it. */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { Fencepost, FencepostError, type Lease } from '../../src/index.ts';
import type { Acquisition } from '../lab/history.ts';
import { argumentOfChild, tellParent } from '../support/child.ts';
import { now } from '../support/grant-file.ts';
import { takeTurns } from '../support/turns.ts';

export interface WorkerArgument {
  readonly url: string;
  readonly worker: number;
  readonly callers: number;
  readonly keys: number;
  readonly ttl: number;
  /** Whether each write stands behind the guard. */
  readonly guard: boolean;
  /** Gets a line for each grant. What a killed process had not written yet, nobody knows. */
  readonly file: string;
}

const { url, worker, callers, keys, ttl, guard, file } = argumentOfChild<WorkerArgument>();
const fencepost = new Fencepost({ connection: url });
const pool = new pg.Pool({ connectionString: url, max: callers });
pool.on('connect', (client) => client.on('error', () => {}));
pool.on('error', () => {});
const counts = { grants: 0, writes: 0, refusals: 0, stale: 0, failures: 0 };

async function write(lease: Lease): Promise<void> {
  let client: pg.PoolClient | undefined;
  let usable = true;
  try {
    client = await pool.connect();
    await client.query('begin');
    if (guard) await lease.guard(client);
    await client.query(
      `insert into written (key, slot, token) values ('${lease.key}', ${lease.slot}, ${lease.token}); commit`,
    );
    counts.writes += 1;
  } catch (error) {
    counts[error instanceof FencepostError && error.code === 'STALE_TOKEN' ? 'stale' : 'failures'] += 1;
    usable = await (client?.query('rollback') ?? Promise.reject()).then(
      () => true,
      () => false,
    );
  } finally {
    client?.release(!usable);
  }
}

async function turn(tell: (grant: Acquisition) => void): Promise<void> {
  const key = `key ${Math.floor(Math.random() * keys)}`;
  const asked = now();
  const lease = await fencepost.leases.tryAcquire(key, { ttl, wait: Math.random() < 0.5 ? 100 : 0 });
  if (lease === null) {
    counts.refusals += 1;
    await delay(Math.random() * 5);
    return;
  }
  const told = now();
  counts.grants += 1;
  await write(lease);
  const stopped = now();
  // It believed until then, if it still does; when it stopped otherwise, nobody can say.
  const ended = lease.state === 'held' || lease.state === 'doubtful' ? stopped : undefined;
  const { slot, token } = lease;
  tell({ key: lease.key, slot, token, client: String(worker), asked, told, ended });
  await lease.release();
}

await takeTurns({
  callers,
  file,
  portion: 200,
  turn,
  failed: () => {
    counts.failures += 1;
  },
});
await fencepost.close();
await pool.end();
tellParent(counts);
if (process.connected) process.disconnect();
