import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { Fencepost, type RowClaims, StaleTokenError } from 'fencepost';
import { type Generated, Kysely, PostgresDialect } from 'kysely';
import type pg from 'pg';

interface Tables {
  email: { id: Generated<string>; state: string };
}

export const tables = `create table if not exists email (
  id bigint generated always as identity primary key, state text not null default 'new')`;

/** A shop that does a bit of everything, round after round, until the signal aborts. */
export async function work(pool: pg.Pool, signal: AbortSignal): Promise<void> {
  await using fencepost = new Fencepost({ connection: pool });
  await using other = new Fencepost({ connection: pool }); // stands for another process
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
  const emails = fencepost.claims.define({
    db,
    table: 'email',
    key: 'id',
    where: (eb) => eb('state', '=', 'new'),
    orderBy: ['id'],
    ttl: '3s',
    done: { state: 'sent' },
  });
  await emails.ensure();
  for (let round = 1; !signal.aborted; round += 1) {
    await Promise.all([
      report(fencepost, other),
      imports(fencepost, other, db, round),
      send(emails, db, round),
      sums(fencepost, db, round),
    ]);
    await delay(100, undefined, { signal }).catch(() => {});
  }
}

/** Two processes want one session lock: one of them waits, a third call gives up, and a fourth is called off. */
async function report(one: Fencepost, other: Fencepost): Promise<void> {
  const key = ['report', 'nightly'];
  const build = (from: Fencepost) => from.advisory.using(key, () => delay(20));
  const off = AbortSignal.timeout(5);
  const calledOff = one.advisory.acquire(key, { signal: off }).then(
    (lock) => lock.release(),
    (error: unknown) => {
      if (error !== off.reason) throw error;
    },
  );
  await Promise.all([build(one), build(other), other.advisory.tryAcquire(key, { wait: 5 }), calledOff]);
}

/** A lease whose writes are guarded; now and then an operator takes one away. */
async function imports(one: Fencepost, other: Fencepost, db: Kysely<Tables>, round: number): Promise<void> {
  const key = { tenant: `tenant-${round % 3}`, name: ['import', round % 10] };
  await using lease = await one.leases.acquire(key, { ttl: '3s' });
  await db.transaction().execute((trx) => lease.guard(trx));
  await lease.renew();
  if (round % 20 !== 1) return;
  await other.leases.revoke(key);
  const refused = await db
    .transaction()
    .execute((trx) => lease.guard(trx))
    .catch((error: unknown) => error);
  if (!(refused instanceof StaleTokenError)) throw new Error('a revoked lease was not refused');
  // The next heartbeat says so.
  if (!lease.signal.aborted) await once(lease.signal, 'abort');
}

/** Rows are claimed: most are completed, some fail, some are given back. */
async function send(emails: RowClaims<Tables, 'email'>, db: Kysely<Tables>, round: number): Promise<void> {
  await db
    .insertInto('email')
    .values([{ state: 'new' }, { state: 'new' }, { state: 'new' }])
    .execute();
  const claims = await emails.claim({ limit: 10 });
  for (const [place, claim] of claims.entries()) {
    if (place === 0 && round % 5 === 1) await claim.fail(new Error('no such address'));
    else if (place === 1 && round % 5 === 1) await claim.release();
    else await claim.complete();
  }
}

/** A lock in a transaction of the program's own. */
async function sums(fencepost: Fencepost, db: Kysely<Tables>, round: number): Promise<void> {
  await db.transaction().execute((trx) => fencepost.transaction(trx).acquire(['account', round % 10]));
}
