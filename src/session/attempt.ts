import {
  databaseFailure,
  failedTransaction,
  noTransaction,
  queryCanceled,
  sqlStateOf,
} from '../core/sqlstate.ts';
import { release, rollbackTo, savepoint } from '../sql/savepoint.ts';
import type { Statement } from '../sql/statement.ts';
import { type CallerTransaction, isAdapter, runScriptIn } from './transaction.ts';

/** More late cancels than there can be. */
const mostUndos = 10;

/**
 * Runs a statement in the caller's transaction that may fail without harm to it: whatever the reason, everything is
 * then as it was before. One message when it succeeds, two when it fails.
 *
 * @param interruptible stands around the statement and may reject although it succeeded: then it is undone too. The end
 *   of the savepoint has a message of its own then, so that no cancel can come between it and the statement.
 * @throws what the library threw, when all is as before; otherwise an error of ours that says so
 */
export async function attemptIn(
  argument: string,
  transaction: CallerTransaction,
  { text }: Statement,
  interruptible?: (work: Promise<void>) => Promise<void>,
): Promise<void> {
  const run = (script: readonly string[]): Promise<void> => runScriptIn(argument, transaction, script);
  const nested = isAdapter(transaction) && transaction.runInSavepoint !== undefined;
  const whole = !nested && interruptible === undefined;
  try {
    if (whole) return await run([savepoint, text, release]);
    const work = nested
      ? run([savepoint]).then(async () => void (await transaction.runInSavepoint?.(text)))
      : run([savepoint, text]);
    await (interruptible === undefined ? work : interruptible(work));
    await run([release]);
  } catch (error) {
    const sqlState = sqlStateOf(error);
    const opened = sqlState !== noTransaction && sqlState !== failedTransaction;
    if (opened) await undo(run, error);
    throw error;
  }
}

async function undo(run: (script: readonly string[]) => Promise<void>, cause: unknown): Promise<void> {
  for (let times = 1; ; times += 1) {
    try {
      return await run([rollbackTo, release]);
    } catch (error) {
      // A cancel names a session, not a statement: one that came late has hit this one, which can be sent again.
      if (sqlStateOf(error) === queryCanceled && times < mostUndos) continue;
      const text = cause instanceof Error ? cause.message : String(cause);
      throw databaseFailure(`keep the transaction usable after "${text}"`, error);
    }
  }
}
