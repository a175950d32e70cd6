import knex, { type Knex } from 'knex';
import { fromKnex } from '../../src/adapters.ts';
import { transactionLockRules } from '../contract/transaction-lock-rules.ts';
import { heldOpen } from './held-open.ts';

await transactionLockRules('a transaction of Knex', ({ url }) => {
  const db = knex({ client: 'pg', connection: url, pool: { min: 0, max: 10 } });
  return {
    open: () =>
      heldOpen<Knex.Transaction>(
        (work) => db.transaction(work),
        fromKnex,
        (trx, statement) => trx.raw(statement),
      ),
    [Symbol.asyncDispose]: () => db.destroy(),
  };
});
