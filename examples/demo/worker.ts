/**
 * One worker process: moves money, one transfer at a time, under one lease for each tenant.
 *
 * It does what careful code does with any lock: takes it, checks that it still has it, and gives it back. The guard is
 * the one line more that makes it safe: without it, a worker that is frozen after its check overwrites newer balances.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Fencepost, FencepostError, type Lease, LockLostError, StaleTokenError } from 'fencepost';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import type { Ledger } from './ledger.ts';
import type { Order, Report, Step } from './messages.ts';
import { ttlMs } from './plan.ts';

const { DATABASE_URL: connection = '', WORKER = '0', TENANTS = '', GUARD } = process.env;
const worker = Number(WORKER);
const tenants = TENANTS.split(',');

await using fencepost = new Fencepost({ connection });
await using db = new Kysely<Ledger>({
  dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: connection, max: 1 }) }),
});

const finish = new AbortController();
process.on('message', (order: Order) => order === 'finish' && finish.abort());
process.on('disconnect', () => process.exit());
// Ctrl-C reaches every process of the terminal; the conductor decides what becomes of its workers.
process.on('SIGINT', () => {});

tell({ kind: 'ready' });
for (let turn = worker; !finish.signal.aborted; turn++) {
  const tenant = tenants[turn % tenants.length] ?? '';
  await workFor(tenant).catch(survive);
}
process.channel?.unref();

async function workFor(tenant: string): Promise<void> {
  const key = { tenant, name: 'ledger' };
  const lease = await fencepost.leases.tryAcquire(key, { ttl: ttlMs, wait: '500ms', signal: finish.signal });
  if (lease === null) return; // others are at it: on to the next tenant
  report('granted', lease);
  try {
    await moveMoney(lease);
  } catch (error) {
    if (error instanceof LockLostError) report('noticed', lease);
    else if (error instanceof StaleTokenError) report('refused', lease);
    else throw error;
  } finally {
    await lease.release();
    report(lease.state === 'released' ? 'released' : 'lost', lease);
  }
}

async function moveMoney(lease: Lease): Promise<void> {
  const transfer = await readNext(lease.tenant);
  if (transfer === undefined) return;

  // The check everybody does. It is true now; a process can stop for any time between here and its write. A second
  // check after the bank's answer would make that gap shorter, and leave it.
  lease.assertHeld();
  report('checked', lease);
  await askBank(transfer.bank_ms);

  report('writing', lease);
  const { tenant, number, source, target } = transfer;
  const sourceAfter = transfer.source_balance - transfer.amount;
  const targetAfter = transfer.target_balance + transfer.amount;
  await db.transaction().execute(async (trx) => {
    if (GUARD === 'on') await lease.guard(trx);
    const account = trx.updateTable('account').where('tenant', '=', tenant);
    await account.set({ balance: sourceAfter }).where('name', '=', source).execute();
    await account.set({ balance: targetAfter }).where('name', '=', target).execute();
    await trx
      .insertInto('booking')
      .values({
        tenant,
        number,
        worker,
        token: lease.token,
        source_after: sourceAfter,
        target_after: targetAfter,
      })
      .execute();
  });
  report('booked', lease);
}

/** The first transfer of the tenant that is not booked yet, with the balances that it changes. */
function readNext(tenant: string) {
  return db
    .selectFrom('transfer as t')
    .innerJoin('account as s', (on) => on.onRef('s.tenant', '=', 't.tenant').onRef('s.name', '=', 't.source'))
    .innerJoin('account as r', (on) => on.onRef('r.tenant', '=', 't.tenant').onRef('r.name', '=', 't.target'))
    .leftJoin('booking as b', (on) =>
      on.onRef('b.tenant', '=', 't.tenant').onRef('b.number', '=', 't.number'),
    )
    .where('t.tenant', '=', tenant)
    .where('b.id', 'is', null)
    .orderBy('t.number')
    .select(['t.tenant', 't.number', 't.source', 't.target', 't.amount', 't.bank_ms'])
    .select(['s.balance as source_balance', 'r.balance as target_balance'])
    .limit(1)
    .executeTakeFirst();
}

/** Stands for a call to another system, which takes its time. */
async function askBank(bankMs: number): Promise<void> {
  await delay(bankMs);
}

/** What trying again can help against: a lease lost as it was granted, a database that is too busy, a deadlock. */
function survive(error: unknown): void {
  if (finish.signal.aborted && error === finish.signal.reason) return;
  const deadlock = error instanceof pg.DatabaseError && error.code === '40P01';
  if (!deadlock && !(error instanceof FencepostError && error.retriable)) throw error;
  tell({ kind: 'trouble', text: error.message });
}

function report(step: Step, { tenant, token }: Lease): void {
  tell({ kind: 'step', step, tenant, token });
}

function tell(report: Report): void {
  process.send?.(report);
}
