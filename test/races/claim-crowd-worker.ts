/** Claims rows and completes them, until none is left: with a write in the same transaction, or in company. */
import { setTimeout as delay } from 'node:timers/promises';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { type Claim, Fencepost, FencepostError } from '../../src/index.ts';
import { argumentOfChild, tellParent } from '../support/child.ts';

export interface CrowdWorkerArgument {
  readonly url: string;
  readonly worker: number;
  readonly ttl: number;
  readonly batch: number;
  readonly seconds: number;
  readonly storage: string;
  /** 'claim' or 'work'. */
  readonly by: string;
}

interface Tables {
  job: { id: string; status: string };
  effect: { job: string; token: string; worker: number };
}

const { url, worker, ttl, batch, seconds, storage, by } = argumentOfChild<CrowdWorkerArgument>();
const held = storage === 'held';
const pool = new pg.Pool({ connectionString: url, max: held ? batch + 1 : 4 });
pool.on('connect', (client) => client.on('error', () => {}));
pool.on('error', () => {});
const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
const fencepost = new Fencepost({ connection: url });
const jobs = fencepost.claims.define<Tables, 'job'>({
  db,
  table: 'job',
  key: 'id',
  where: (eb) => eb('status', '=', 'new'),
  orderBy: ['id'],
  ttl,
  done: { status: 'done' },
  ...(held
    ? { storage, connections: batch }
    : { storage: storage as 'columns' | 'sidecar', maxAttempts: 1_000 }),
});

const counts = { claims: 0, completed: 0, stale: 0, failed: 0, tooMany: 0, shutOut: 0, strange: 0 };
const deadline = performance.now() + seconds * 1_000;
await (by === 'work' ? byWorkers() : byClaims());
await fencepost.close();
await db.destroy();
tellParent(counts);
process.disconnect();

async function byClaims(): Promise<void> {
  let inARow = 0;
  while (performance.now() < deadline) {
    let failed = false;
    const claims = await jobs.claim({ limit: batch }).catch((error: unknown) => {
      note(error);
      failed = true;
      return [];
    });
    inARow = failed ? inARow + 1 : 0;
    if (inARow === 200) counts.shutOut += 1;
    counts.claims += claims.length;
    if (claims.length > batch) counts.tooMany += 1;
    await Promise.all(claims.map(complete));
    if (claims.length > 0) continue;
    if (!(await isLeft())) break;
    await delay(20);
  }
}

/** Workers go on behind their last claim where that is quicker. */
async function byWorkers(): Promise<void> {
  await using workers = jobs.work({ concurrency: batch, batch, poll: 50, onError: note }, complete);
  while (performance.now() < deadline && (await isLeft())) await delay(100);
  counts.claims = workers.stats().claimed;
}

async function complete(claim: Claim<Tables['job'], Tables>): Promise<void> {
  try {
    if (Number(claim.row.id) % 2 === 0) await claim.complete();
    else {
      await claim.complete(async (trx) => {
        const effect = { job: claim.row.id, token: String(claim.token), worker };
        await trx.insertInto('effect').values(effect).execute();
      });
    }
    counts.completed += 1;
  } catch (error) {
    if (error instanceof FencepostError && error.code === 'STALE_TOKEN') counts.stale += 1;
    else note(error);
  }
}

/** Faults make claims fail, but not with errors that are none of ours. */
function note(error: unknown): void {
  counts.failed += 1;
  if (error instanceof FencepostError) return;
  counts.strange += 1;
  console.error(error);
}

async function isLeft(): Promise<boolean> {
  const left = await db.selectFrom('job').select('id').where('status', '=', 'new').limit(1).execute();
  return left.length > 0;
}
