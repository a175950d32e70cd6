import type { CallerTransaction } from 'fencepost';
import type { OpenTransaction } from '../support/transactions.ts';

/** A library that runs a function in a transaction, and commits it when the function ends. */
export type Begin<Transaction> = (work: (tx: Transaction) => Promise<void>) => Promise<unknown>;

/** Keeps such a transaction open until the test ends it. */
export function heldOpen<Transaction>(
  begin: Begin<Transaction>,
  adapt: (tx: Transaction) => CallerTransaction,
  run: (tx: Transaction, statement: string) => PromiseLike<unknown>,
): Promise<OpenTransaction> {
  return new Promise((resolve, reject) => {
    const ended = Promise.withResolvers<void>();
    const whole = begin(async (tx) => {
      resolve({
        trx: adapt(tx),
        run: async (statement) => void (await run(tx, statement)),
        async commit() {
          ended.resolve();
          await whole;
          return 'COMMIT';
        },
        async rollback() {
          ended.reject(new Error('rolled back by the test'));
          await whole.catch(() => {});
        },
      });
      await ended.promise;
    });
    whole.catch(reject);
  });
}
