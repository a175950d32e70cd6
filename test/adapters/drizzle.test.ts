import { sql } from 'drizzle-orm';
import { drizzle as nodePostgres } from 'drizzle-orm/node-postgres';
import { drizzle as postgresJs } from 'drizzle-orm/postgres-js';
import { fromDrizzle } from 'fencepost/adapters';
import pg from 'pg';
import postgres from 'postgres';
import { transactionLockRules } from '../contract/transaction-lock-rules.ts';
import { heldOpen } from './held-open.ts';

await transactionLockRules('a transaction of Drizzle on node-postgres', ({ url }) => {
  const pool = new pg.Pool({ connectionString: url });
  const db = nodePostgres(pool);
  return {
    open: () =>
      heldOpen<Parameters<Parameters<typeof db.transaction>[0]>[0]>(
        (work) => db.transaction(work),
        (tx) => fromDrizzle(tx, sql),
        (tx, statement) => tx.execute(sql.raw(statement)),
      ),
    outside: fromDrizzle(db as never, sql),
    [Symbol.asyncDispose]: () => pool.end(),
  };
});

await transactionLockRules('a transaction of Drizzle on postgres-js', ({ url }) => {
  const client = postgres(url, { max: 10, onnotice: () => {} });
  const db = postgresJs(client);
  return {
    open: () =>
      heldOpen<Parameters<Parameters<typeof db.transaction>[0]>[0]>(
        (work) => db.transaction(work),
        (tx) => fromDrizzle(tx, sql),
        (tx, statement) => tx.execute(sql.raw(statement)),
      ),
    outside: fromDrizzle(db as never, sql),
    [Symbol.asyncDispose]: () => client.end(),
  };
});
