import { openPg, transactionKinds } from '../support/transactions.ts';
import { transactionLockRules } from './transaction-lock-rules.ts';

for (const { kind, open } of transactionKinds) {
  await transactionLockRules(kind, ({ pool }) => ({
    open: () => open(pool, 'read committed'),
    ...(open === openPg && { outside: pool }),
    async [Symbol.asyncDispose]() {},
  }));
}
