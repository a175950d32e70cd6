import { fromKnex } from 'fencepost/adapters';
import knex, { type Knex } from 'knex';
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
    outside: fromKnex(db as unknown as Knex.Transaction),
    [Symbol.asyncDispose]: () => db.destroy(),
  };
});
