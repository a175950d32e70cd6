import { fromPostgresJs } from 'fencepost/adapters';
import postgres from 'postgres';
import { transactionLockRules } from '../contract/transaction-lock-rules.ts';
import { heldOpen } from './held-open.ts';

await transactionLockRules('a transaction of postgres.js', ({ url }) => {
  const sql = postgres(url, { max: 10, onnotice: () => {} });
  return {
    open: () =>
      heldOpen<postgres.TransactionSql>(
        (work) => sql.begin(work),
        fromPostgresJs,
        (trx, statement) => trx.unsafe(statement),
      ),
    outside: fromPostgresJs(sql as unknown as postgres.TransactionSql),
    [Symbol.asyncDispose]: () => sql.end(),
  };
});
