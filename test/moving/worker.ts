/** One process of an application, in one of its versions: it counts in a critical section until it is told to stop. */
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import pg from 'pg';
import OldRedlock from 'redlock';
import { Fencepost } from '../../src/index.ts';
import { dualLock, Redlock } from '../../src/redlock.ts';
import { argumentOfChild, tellParent } from '../support/child.ts';

export type Version = 'old' | 'dual' | 'new';

export interface MovingWorkerArgument {
  readonly version: Version;
  readonly redis: string;
  readonly postgres: string;
}

/** What all versions of the application call. */
interface Locks {
  acquire(resources: string[], duration: number): Promise<{ release(): Promise<unknown> }>;
}

const { version, redis, postgres } = argumentOfChild<MovingWorkerArgument>();
const settings = { retryCount: -1, retryDelay: 10, retryJitter: 10 };
const client = new Redis(redis, { lazyConnect: true });
const fencepost = new Fencepost({ connection: postgres });
const old = new OldRedlock([client], settings);
const redlock = new Redlock([fencepost], settings);
let refused = 0;
const dual = dualLock({ from: old, to: redlock }).on('refused', () => {
  refused += 1;
});
const locks: Locks = { old, dual, new: redlock }[version];

const pool = new pg.Pool({ connectionString: postgres, max: 1 });
let stopping = false;
process.on('message', () => {
  stopping = true;
});
let entries = 0;
while (!stopping) {
  const lock = await locks.acquire(['counter'], 10_000);
  const { rows } = await pool.query("select value, nextval('tick') as at from counter");
  await delay(1);
  // Whoever counted meanwhile is not seen: that is what the lock is for.
  await pool.query(
    `with counted as (update counter set value = $1)
     insert into history (version, entered, went) values ($2, $3, nextval('tick'))`,
    [rows[0].value + 1, version, rows[0].at],
  );
  await lock.release();
  entries += 1;
  if (entries === 1) tellParent({ working: version });
  await delay(Math.random() * 10);
}
await fencepost.close();
await pool.end();
client.disconnect();
tellParent({ entries, refused });
process.disconnect();
