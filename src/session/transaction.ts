import { ArgumentError } from '../core/errors.ts';
import type { Row, Statement } from '../sql/statement.ts';

/** A client of `pg` that is in a transaction. */
export interface PgTransaction {
  /** Runs a statement. */
  query(query: { text: string; values?: unknown[] }): Promise<{ rows: unknown[] }>;
}

/** A transaction of Kysely, as `db.transaction()` and `db.startTransaction()` give it. */
export interface KyselyTransaction {
  readonly isTransaction: true;
  /** Runs a compiled query. */
  executeQuery(query: KyselyQuery): Promise<{ rows: unknown[] }>;
}

/** A compiled query of Kysely, as far as a transaction needs it. */
export interface KyselyQuery {
  readonly query: { kind: 'RawNode'; sqlFragments: readonly string[]; parameters: readonly never[] };
  readonly queryId: { readonly queryId: string };
  readonly sql: string;
  readonly parameters: readonly unknown[];
}

/**
 * Anything else that can run a statement in its transaction. Errors of the server have to come as they do from `pg`:
 * with their SQLSTATE as `code`, and a `severity`. `fencepost/adapters` has some that are ready.
 */
export interface TransactionAdapter {
  /** Runs one statement and gives its rows: `$1` stands for the first value. */
  runInTransaction(text: string, values: readonly unknown[]): Promise<readonly unknown[]>;
  /**
   * Runs several statements without values, with `;` between them, as one message of the simple protocol. Without it
   * they are sent one after the other, and a wait costs three round trips instead of one.
   */
  runScript?(text: string): Promise<unknown>;
  /**
   * Runs one statement in a savepoint of the library's own, and rejects when it fails. For libraries that give up the
   * whole transaction for any statement that fails outside of their savepoints, even if that was expected.
   */
  runInSavepoint?(text: string): Promise<unknown>;
}

/** The caller's own transaction. */
export type CallerTransaction = PgTransaction | KyselyTransaction | TransactionAdapter;

/** Runs a statement in the caller's transaction, unprepared: its connection may belong to a pooler. */
export async function runIn(
  argument: string,
  transaction: CallerTransaction,
  { name, text, values }: Statement,
): Promise<readonly Row[]> {
  if (isAdapter(transaction)) return (await transaction.runInTransaction(text, values)) as readonly Row[];
  const given: unknown = transaction;
  if (typeof given === 'object' && given !== null) {
    if ('executeQuery' in transaction) {
      if (!transaction.isTransaction) throw notInTransaction(argument, 'a Kysely instance outside of one');
      const query = { kind: 'RawNode', sqlFragments: [text], parameters: [] } as const;
      const queryId = { queryId: `fencepost ${name}` };
      const compiled = { query, queryId, sql: text, parameters: values };
      return (await transaction.executeQuery(compiled)).rows as readonly Row[];
    }
    if ('query' in transaction && typeof transaction.query === 'function') {
      // Without values it travels by the simple protocol, which takes several statements in one message.
      const query = values.length === 0 ? { text } : { text, values: [...values] };
      return (await transaction.query(query)).rows as readonly Row[];
    }
  }
  throw notInTransaction(argument, given);
}

/** Runs statements without values, in one message where that is possible. */
export async function runScriptIn(
  argument: string,
  transaction: CallerTransaction,
  script: readonly string[],
): Promise<void> {
  const text = script.join('; ');
  if (!isAdapter(transaction)) await runIn(argument, transaction, { name: 'script', text, values: [] });
  else if (transaction.runScript !== undefined) await transaction.runScript(text);
  else for (const statement of script) await transaction.runInTransaction(statement, []);
}

export function isAdapter(transaction: CallerTransaction): transaction is TransactionAdapter {
  const given: unknown = transaction;
  return typeof given === 'object' && given !== null && 'runInTransaction' in given;
}

export function notInTransaction(argument: string, received: unknown): ArgumentError {
  const expected = 'a transaction: a pg client after BEGIN, a Kysely transaction, or an adapter';
  return new ArgumentError(argument, expected, received);
}
