/** Callers that take leases of a few keys again and again, and write once under each; and what they say of it. */
import { appendFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { Fencepost, FencepostError, type Lease } from '../../src/index.ts';
import { argumentOfChild, tellParent } from '../support/child.ts';
import { grantLine, now } from '../support/grant-file.ts';

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
const lines: string[] = [];
let over = false;
// Without the one that counts nothing is left to do.
process.on('disconnect', () => process.exit(1));
process.on('message', () => {
  over = true;
});

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

async function turn(): Promise<void> {
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
  lines.push(grantLine({ key: lease.key, slot, token, client: String(worker), asked, told, ended }));
  await lease.release();
}

async function call(): Promise<void> {
  while (!over) {
    await turn().catch(async (error: unknown) => {
      if (!(error instanceof FencepostError) || !error.retriable) throw error;
      counts.failures += 1;
      await delay(20);
    });
    if (lines.length >= 200) appendFileSync(file, `${lines.splice(0).join('\n')}\n`);
  }
}

await Promise.all(Array.from({ length: callers }, call));
if (lines.length > 0) appendFileSync(file, `${lines.join('\n')}\n`);
await fencepost.close();
await pool.end();
process.removeAllListeners('disconnect');
tellParent(counts);
if (process.connected) process.disconnect();
