import postgres from 'postgres';
import { fromPostgresJs } from '../../src/adapters.ts';
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
    [Symbol.asyncDispose]: () => sql.end(),
  };
});
