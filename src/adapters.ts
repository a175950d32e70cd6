import type { TransactionAdapter } from './session/transaction.ts';

export type { TransactionAdapter } from './session/transaction.ts';

/** A transaction of postgres.js, as `sql.begin` and `sql.savepoint` give it. */
export interface PostgresJsTransaction {
  /** Runs a statement. */
  unsafe(text: string, values?: never[]): PromiseLike<readonly unknown[]>;
  /** Runs work in a savepoint. */
  savepoint(work: (sql: PostgresJsTransaction) => Promise<unknown>): Promise<unknown>;
}

/**
 * A transaction of postgres.js, for `fencepost.transaction` and `lease.guard`.
 *
 * postgres.js gives a transaction up when any statement in it has failed, expected or not. So a wait stands in a
 * savepoint of the library's own, which makes four round trips of the one.
 *
 * @example
 * await sql.begin(async (trx) => {
 *   await fencepost.transaction(fromPostgresJs(trx)).acquire(['invoice', 7], { wait: '5s' });
 * });
 */
export function fromPostgresJs(trx: PostgresJsTransaction): TransactionAdapter {
  return {
    runInTransaction: async (text, values) => trx.unsafe(text, [...values] as never[]),
    runScript: async (text) => trx.unsafe(text),
    runInSavepoint: (text) => trx.savepoint(async (inner) => inner.unsafe(text)),
  };
}

/** A transaction of Knex, as `knex.transaction` gives it. */
export interface KnexTransaction {
  /** Runs a statement. */
  raw(text: string, values: never[]): PromiseLike<unknown>;
  /** Only transactions have it. */
  commit(): unknown;
}

/**
 * A transaction of Knex with the driver `pg`, for `fencepost.transaction` and `lease.guard`.
 *
 * @example
 * await knex.transaction(async (trx) => {
 *   await fencepost.transaction(fromKnex(trx)).acquire(['invoice', 7], { wait: '5s' });
 * });
 */
export function fromKnex(trx: KnexTransaction): TransactionAdapter {
  const run = async (text: string, values: readonly unknown[] = []): Promise<readonly unknown[]> => {
    const [texts, inOrder] = apart(text, values);
    const escaped = texts.map((part) => part.replaceAll('?', '\\?')).join('?');
    return rowsOf(await trx.raw(escaped, inOrder as never[]));
  };
  return { runInTransaction: run, runScript: (text) => run(text) };
}

/** A transaction of Drizzle, as `db.transaction` gives it. */
export interface DrizzleTransaction {
  /** Runs a query. */
  execute(query: never): PromiseLike<unknown>;
  /** Runs work in a savepoint. */
  transaction(work: (tx: DrizzleTransaction) => Promise<unknown>): Promise<unknown>;
  /** Only transactions have it. */
  rollback(): never;
}

/** The `sql` that `drizzle-orm` exports. */
export interface DrizzleSql {
  (texts: TemplateStringsArray, ...values: never[]): unknown;
  /** A text as it is. */
  raw(text: string): unknown;
  /** Chunks one after the other. */
  join(chunks: never[]): unknown;
}

/**
 * A transaction of Drizzle with the driver `node-postgres` or `postgres-js`, for `fencepost.transaction` and
 * `lease.guard`. It takes the `sql` of `drizzle-orm` as well. With `postgres-js` a wait is four round trips instead of
 * one, for the reason given at `fromPostgresJs`.
 *
 * @example
 * await db.transaction(async (tx) => {
 *   await fencepost.transaction(fromDrizzle(tx, sql)).acquire(['invoice', 7], { wait: '5s' });
 * });
 */
export function fromDrizzle(tx: DrizzleTransaction, sql: DrizzleSql): TransactionAdapter {
  const run = async (on: DrizzleTransaction, text: string, values: readonly unknown[] = []) => {
    const [[first = '', ...rest], inOrder] = apart(text, values);
    const chunks = rest.flatMap((part, place) => [sql`${inOrder[place] as never}`, sql.raw(part)]);
    const query = sql.join([sql.raw(first), ...chunks] as never[]);
    try {
      return rowsOf(await on.execute(query as never));
    } catch (error) {
      throw error instanceof Error ? (error.cause ?? error) : error;
    }
  };
  const kind: unknown = Reflect.get(tx.constructor, Symbol.for('drizzle:entityKind'));
  return {
    runInTransaction: (text, values) => run(tx, text, values),
    runScript: (text) => run(tx, text),
    // Whatever it is besides node-postgres may give the transaction up as postgres.js does.
    ...(kind !== 'NodePgTransaction' && {
      runInSavepoint: (text: string) => tx.transaction((inner) => run(inner, text)),
    }),
  };
}

/** An interactive transaction of Prisma, as `prisma.$transaction` gives it. */
export interface PrismaTransaction {
  /** Runs a statement. */
  $queryRawUnsafe(text: string, ...values: never[]): PromiseLike<unknown>;
}

/**
 * An interactive transaction of Prisma 7 with `@prisma/adapter-pg`, for `fencepost.transaction` and `lease.guard`. It
 * sends one statement at a time, so a wait is three round trips.
 *
 * Prisma ends such a transaction after its own `timeout`, 5 seconds by default: give it one that is longer than `wait`.
 *
 * @example
 * await prisma.$transaction(async (tx) => {
 *   await fencepost.transaction(fromPrisma(tx)).acquire(['invoice', 7], { wait: '5s' });
 * }, { timeout: 10_000 });
 */
export function fromPrisma(tx: PrismaTransaction): TransactionAdapter {
  return {
    async runInTransaction(text, values) {
      try {
        return rowsOf(await tx.$queryRawUnsafe(text, ...(values as never[])));
      } catch (error) {
        const { driverAdapterError } = (error as { meta?: PrismaErrorMeta }).meta ?? {};
        const { originalCode: code, originalMessage } = driverAdapterError?.cause ?? {};
        if (code === undefined) throw error;
        throw Object.assign(new Error(originalMessage, { cause: error }), { code, severity: 'ERROR' });
      }
    },
  };
}

interface PrismaErrorMeta {
  readonly driverAdapterError?: {
    readonly cause?: { readonly originalCode?: string; readonly originalMessage?: string };
  };
}

/** What stands between `$1`, `$2` and so on, and the values in the order in which they are needed. */
function apart(text: string, values: readonly unknown[]): [texts: string[], inOrder: unknown[]] {
  if (values.length === 0) return [[text], []];
  const pieces = text.split(/\$(\d+)/);
  const numbers = pieces.filter((_, place) => place % 2 === 1);
  return [pieces.filter((_, place) => place % 2 === 0), numbers.map((number) => values[Number(number) - 1])];
}

function rowsOf(result: unknown): readonly unknown[] {
  return Array.isArray(result) ? result : (result as { rows: unknown[] }).rows;
}
