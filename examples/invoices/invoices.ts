import { Fencepost } from 'fencepost';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';

export interface Tables {
  invoice: { id: number; tenant: string; amount: number; state: string };
  /** What counts: one line for each invoice that was sent, written with its completion. */
  ledger: { invoice: number; tenant: string; amount: number; worker: number; token: bigint };
  /** Calls of the mail gateway, which stands for everything outside of the transaction. */
  gateway_call: { invoice: number; worker: number };
}

export const tables = `
  create table invoice (
    id integer primary key, tenant text not null, amount integer not null, state text not null default 'due');
  create table ledger (
    invoice integer not null, tenant text not null, amount integer not null, worker integer not null,
    token bigint not null, sent_at timestamptz not null default clock_timestamp());
  create table gateway_call (invoice integer not null, worker integer not null)`;

/** A worker that falls silent for so long has lost its invoices. */
export const ttl = 1_000;

/** The claims of due invoices, on a pool of their own. */
export function openInvoices(connectionString: string) {
  const pool = new pg.Pool({ connectionString });
  // A connection that is lost while it is idle is replaced; without a listener it would end the process.
  pool.on('error', () => {});
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
  const fencepost = new Fencepost({ connection: pool });
  const invoices = fencepost.claims.define({
    db,
    table: 'invoice',
    key: 'id',
    tenant: 'tenant',
    where: (eb) => eb('state', '=', 'due'),
    orderBy: ['id'],
    fair: true, // one tenant floods the table
    ttl,
    done: { state: 'sent' },
  });
  const close = async (): Promise<void> => {
    await fencepost.close();
    await pool.end();
  };
  return { pool, db, invoices, close };
}
