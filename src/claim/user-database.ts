import type { Kysely } from 'kysely';
import { DatabaseError, type FencepostError } from '../core/errors.ts';
import { databaseFailure, hasState, sqlStateOf, wrongIsolation } from '../core/sqlstate.ts';
import { type KyselyTransaction, runIn } from '../session/transaction.ts';
import type { Row, Statement } from '../sql/statement.ts';
import type { AnyTables } from './query-text.ts';

/**
 * The caller's own pool. A statement goes alone, as one message, and is its own transaction: READ COMMITTED nearly
 * everywhere, and a claim finds out on the server when it is not. From then on each statement gets a transaction that
 * says so, which is three messages.
 */
export class UserDatabase {
  readonly lost = false;
  readonly db: Kysely<AnyTables>;
  readonly #schema: string;
  #stated = false;

  constructor(db: Kysely<AnyTables>, schema: string) {
    this.db = db;
    this.#schema = schema;
  }

  /** Rejects with a `DatabaseError`, whose `inDoubt` says that the statement may have taken effect nevertheless. */
  async query(statement: Statement): Promise<Row[]> {
    try {
      return this.#stated ? [...(await this.#runStated(statement))] : await this.#run(statement);
    } catch (error) {
      const failure = failureOf(`run ${statement.name}`, error, this.#schema);
      if (!hasState(failure, wrongIsolation) || this.#stated) throw failure;
      this.#stated = true;
      return this.query(statement);
    }
  }

  /** Work in a transaction of READ COMMITTED. What `work` throws comes out as it is. */
  transaction<Result>(
    work: (trx: KyselyTransaction, kysely: Kysely<AnyTables>) => Promise<Result>,
  ): Promise<Result> {
    const transaction = this.db.transaction().setIsolationLevel('read committed');
    return transaction.execute((trx) => work(trx as unknown as KyselyTransaction, trx));
  }

  async close(): Promise<void> {}

  #run({ name, text, values }: Statement): Promise<Row[]> {
    const query = { kind: 'RawNode', sqlFragments: [text], parameters: [] } as const;
    const compiled = { query, queryId: { queryId: `fencepost ${name}` }, sql: text, parameters: values };
    return this.db.executeQuery<Row>(compiled).then(({ rows }) => {
      const own = [...rows];
      // The quick runs of the garbage collector do not find dead results of the driver with full arrays: a fifth of what was
      // allocated between two runs stayed; emptied, a fiftieth (claims of 500 rows, node-postgres 8.23, Node 24).
      if (!Object.isFrozen(rows)) rows.length = 0;
      return own;
    });
  }

  #runStated(statement: Statement): Promise<readonly Row[]> {
    return this.transaction((trx) => runIn('options.db', trx, statement));
  }
}

/** An error without a SQLSTATE came from the driver or the pool: what was sent may have been done. */
export function failureOf(doing: string, error: unknown, schema: string): FencepostError {
  // What is missing or forbidden may be the caller's: that no migration of ours mends.
  const ours = error instanceof Error && /\bclaim_[a-z]+\b|\.claims\b|\bschema\b/.test(error.message);
  const failure = databaseFailure(doing, error, ours ? schema : undefined);
  const ended = sqlStateOf(error) === undefined || (error as { severity?: unknown }).severity !== 'ERROR';
  if (!(failure instanceof DatabaseError) || failure.inDoubt || !ended) return failure;
  const { message, cause, retriable, sqlState } = failure;
  return new DatabaseError(message, { cause, retriable, sqlState, inDoubt: true });
}
