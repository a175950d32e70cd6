// @module-tag F35
import pg from 'pg';
import { test } from 'vitest';
import { transactionLockRules } from '../contract/transaction-lock-rules.ts';
import { pgbouncerFound, startPgbouncer } from '../support/pgbouncer.ts';
import { openPg, transactionKinds } from '../support/transactions.ts';

for (const { kind, open } of pgbouncerFound ? transactionKinds : []) {
  await transactionLockRules(`${kind} through PgBouncer in transaction mode`, async (database) => {
    // As many server connections as a rule has transactions at most: they go to others as soon as they are free.
    const pooler = await startPgbouncer(database.url, 6);
    const pool = new pg.Pool({ connectionString: pooler.url });
    return {
      url: pooler.url,
      open: () => open(pool, 'read committed'),
      ...(open === openPg && { outside: pool }),
      async [Symbol.asyncDispose]() {
        await pool.end();
        await pooler[Symbol.asyncDispose]();
      },
    };
  });
}

// A file without a test would be a failure.
if (!pgbouncerFound) test.skip('no PgBouncer on the path', () => {});
