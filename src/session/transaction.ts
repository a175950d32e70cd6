import { ArgumentError } from '../core/errors.ts';
import type { Row, Statement } from '../sql/statement.ts';

/** A client of `pg` that is in a transaction. */
export interface PgTransaction {
  query(query: { text: string; values: unknown[] }): Promise<{ rows: unknown[] }>;
}

/** A transaction of Kysely, as `db.transaction()` and `db.startTransaction()` give it. */
export interface KyselyTransaction {
  readonly isTransaction: true;
  executeQuery(query: KyselyQuery): Promise<{ rows: unknown[] }>;
}

/** A compiled query of Kysely, as far as a transaction needs it. */
export interface KyselyQuery {
  readonly query: { kind: 'RawNode'; sqlFragments: readonly string[]; parameters: readonly never[] };
  readonly queryId: { readonly queryId: string };
  readonly sql: string;
  readonly parameters: readonly unknown[];
}

/** Anything else that can run a statement in its transaction: `$1` stands for the first value. */
export interface TransactionAdapter {
  runInTransaction(text: string, values: readonly unknown[]): Promise<readonly unknown[]>;
}

/** The caller's own transaction. */
export type CallerTransaction = PgTransaction | KyselyTransaction | TransactionAdapter;

/** Runs a statement in the caller's transaction, unprepared: its connection may belong to a pooler. */
export async function runIn(
  argument: string,
  transaction: CallerTransaction,
  { name, text, values }: Statement,
): Promise<readonly Row[]> {
  const given: unknown = transaction;
  if (typeof given === 'object' && given !== null) {
    if ('runInTransaction' in transaction) {
      return (await transaction.runInTransaction(text, values)) as readonly Row[];
    }
    if ('executeQuery' in transaction) {
      if (!transaction.isTransaction) throw notInTransaction(argument, 'a Kysely instance outside of one');
      const query = { kind: 'RawNode', sqlFragments: [text], parameters: [] } as const;
      const queryId = { queryId: `fencepost ${name}` };
      const compiled = { query, queryId, sql: text, parameters: values };
      return (await transaction.executeQuery(compiled)).rows as readonly Row[];
    }
    if ('query' in transaction && typeof transaction.query === 'function') {
      return (await transaction.query({ text, values: [...values] })).rows as readonly Row[];
    }
  }
  throw notInTransaction(argument, given);
}

export function notInTransaction(argument: string, received: unknown): ArgumentError {
  const expected = 'a transaction: a pg client after BEGIN, a Kysely transaction, or an adapter';
  return new ArgumentError(argument, expected, received);
}
