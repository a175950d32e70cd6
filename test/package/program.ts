// What a user may write, with every entry of the package. installed.test.ts compiles it against the tarball and runs it.
import { Fencepost, type Lease, StaleTokenError } from 'fencepost';
import { listen } from 'fencepost/events';
import type { FencepostViews } from 'fencepost/kysely';
import { migrate } from 'fencepost/migrate';
import { instrument } from 'fencepost/opentelemetry';
import { createMemoryFencepost, expire } from 'fencepost/testing';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';

interface Tables {
  account: { id: number; balance: number };
}

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL ?? '' });
const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
console.log('migrated', await migrate({ connection: pool }));
await pool.query('create table account (id integer primary key, balance integer not null)');
await pool.query('insert into account values (1, 0)');

const told: string[] = [];
const listening = listen({ grant: ({ kind }) => void told.push(kind) });
const instrumentation = instrument({ family: ({ family }) => family });
const fencepost = new Fencepost({ connection: pool });
const lease: Lease = await fencepost.leases.acquire({ tenant: 't1', name: ['account', 1] }, { ttl: '5s' });
await db.transaction().execute(async (trx) => {
  await lease.guard(trx);
  await trx.updateTable('account').set({ balance: 7 }).where('id', '=', 1).execute();
});
const client = await pool.connect();
await client.query('begin');
await lease.guard(client);
await client.query('commit');
client.release();
const views = db.withTables<FencepostViews>();
console.log('seen', await views.selectFrom('fencepost.leases').select(['tenant', 'name', 'held']).execute());
await lease.release();
const refused = await db
  .transaction()
  .execute((trx) => lease.guard(trx))
  .catch((error: unknown) => error);
console.log('refused', refused instanceof StaleTokenError);
const double = createMemoryFencepost();
const expired = await double.leases.acquire('a');
await expire(expired);
console.log('expired', expired.state);
await double.close();
await fencepost.close();
listening[Symbol.dispose]();
instrumentation[Symbol.dispose]();
console.log('told', told);
await db.destroy();
