/** Takes one lease again and again and writes under it, until there are as many writes as wanted. */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { Fencepost, FencepostError, type Lease } from '../../src/index.ts';
import { argumentOfChild, tellParent } from '../support/child.ts';

export interface WorkerArgument {
  readonly url: string;
  readonly worker: number;
  readonly wanted: number;
  readonly ttl: number;
  /** Ends after so many seconds, whatever was written. */
  readonly seconds: number;
  readonly slots: number;
}

const { url, worker, wanted, ttl, seconds, slots } = argumentOfChild<WorkerArgument>();
const fencepost = new Fencepost({ connection: url });
// Its own sessions end with it: a write that was left open by a frozen process keeps others out of the lease.
const client = new pg.Client({ connectionString: url });
client.on('error', () => process.exit(3));
await client.connect();
const counts = { grants: 0, refusals: 0, lost: 0, stale: 0 };

/** The lost-update trap on purpose: reads without a lock and writes what it has computed. */
async function write(lease: Lease): Promise<number> {
  await client.query('begin');
  try {
    await lease.guard(client);
    // As text: a Date has only milliseconds, and would stand before what was written in the same one.
    const { rows } = await client.query<{ before: string; value: string; entered: string }>(
      `select coalesce((select token from history where slot = $1 order by seq desc limit 1), 0) as before, value,
         clock_timestamp()::text as entered from counter where slot = $1`,
      [lease.slot],
    );
    const [read] = rows;
    const values = [lease.token, worker, read?.before, read?.entered];
    const { rows: inserted } = await client.query<{ seq: string }>(
      `with new_value as (update counter set value = $5 where slot = $6)
       insert into history (token, worker, before, entered, written, slot)
       values ($1, $2, $3, $4, clock_timestamp(), $6)
       returning seq`,
      [...values, String(BigInt(read?.value ?? 0) + 1n), lease.slot],
    );
    await client.query('commit');
    return Number(inserted[0]?.seq);
  } catch (error) {
    await client.query('rollback');
    throw error;
  }
}

async function writtenSoFar(): Promise<number> {
  const { rows } = await client.query<{ seq: string }>('select coalesce(max(seq), 0) as seq from history');
  return Number(rows[0]?.seq);
}

/** Refused, or lost while the process was frozen in the middle of the call. */
async function tryToGet(): Promise<Lease | null> {
  try {
    // Both ways to get it: waiting, and asking at once and again.
    if (Math.random() < 0.5) return await fencepost.leases.tryAcquire('one', { ttl, slots });
    return await fencepost.leases.acquire('one', { ttl, slots, wait: '20ms' });
  } catch (error) {
    if (error instanceof FencepostError && error.retriable) return null;
    throw error;
  }
}

const started = performance.now();
for (let written = 0; written < wanted && performance.now() - started < seconds * 1_000; ) {
  const lease = await tryToGet();
  if (lease === null) {
    counts.refusals += 1;
    if (counts.refusals % 50 === 0) written = await writtenSoFar();
    await delay(Math.random() * 10);
    continue;
  }
  counts.grants += 1;
  try {
    written = await write(lease);
  } catch (error) {
    if (!(error instanceof FencepostError) || error.code !== 'STALE_TOKEN') throw error;
    counts.stale += 1;
  }
  if (lease.state === 'lost') counts.lost += 1;
  await lease.release();
}
await client.end();
await fencepost.close();
tellParent(counts);
if (process.connected) process.disconnect();
