import { CamelCasePlugin, Kysely, PostgresDialect, sql, type Transaction } from 'kysely';
import type pg from 'pg';
import type { CallerTransaction } from '../../src/index.ts';

/** An open transaction of a caller, whatever it runs its statements with. */
export interface OpenTransaction {
  readonly trx: CallerTransaction;
  run(statement: string): Promise<void>;
  /** Gives what the server did: `COMMIT`, or `ROLLBACK` for a transaction that has failed. */
  commit(): Promise<string>;
  rollback(): Promise<void>;
}

export const isolationLevels = ['read committed', 'repeatable read', 'serializable'] as const;
export type IsolationLevel = (typeof isolationLevels)[number];

type Open = (pool: pg.Pool, isolation: IsolationLevel) => Promise<OpenTransaction>;

/** With a client of `pg`. */
export const openPg: Open = async (pool, isolation) => {
  const client = await pool.connect();
  await client.query(`begin isolation level ${isolation}`);
  const end = async (statement: string): Promise<string> => {
    const { command } = await client.query(statement);
    client.release();
    return command;
  };
  return {
    trx: client,
    run: async (statement) => void (await client.query(statement)),
    commit: () => end('commit'),
    rollback: async () => void (await end('rollback')),
  };
};

const openAdapter: Open = async (pool, isolation) => {
  const client = await openPg(pool, isolation);
  const { trx } = client;
  if (!('query' in trx)) throw new TypeError('expected a client of pg');
  const runInTransaction = async (text: string, values: readonly unknown[]): Promise<unknown[]> =>
    (await trx.query({ text, values: [...values] })).rows;
  return { ...client, trx: { runInTransaction } };
};

const openKysely =
  (controlled: boolean, plugins: CamelCasePlugin[] = []): Open =>
  async (pool, isolation) => {
    const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }), plugins });
    const open = controlled ? openControlled : openCallback;
    const { trx, commit, rollback } = await open(db, isolation);
    return {
      trx,
      run: async (statement) => void (await sql.raw(statement).execute(trx)),
      commit: () => commit().then(() => 'COMMIT', kyselyOutcome),
      rollback,
    };
  };

/** Kysely throws when the server made a rollback of its commit. */
function kyselyOutcome(error: Error): string {
  if (error.name === 'AbortedTransactionError') return 'ROLLBACK';
  throw error;
}

interface KyselyTransactionOpen {
  readonly trx: Transaction<unknown>;
  commit(): Promise<void>;
  rollback(): Promise<void>;
}

async function openControlled(
  db: Kysely<unknown>,
  isolation: IsolationLevel,
): Promise<KyselyTransactionOpen> {
  const trx = await db.startTransaction().setIsolationLevel(isolation).execute();
  return { trx, commit: () => trx.commit().execute(), rollback: () => trx.rollback().execute() };
}

function openCallback(db: Kysely<unknown>, isolation: IsolationLevel): Promise<KyselyTransactionOpen> {
  return new Promise((resolve, reject) => {
    const ended = Promise.withResolvers<void>();
    const whole = db
      .transaction()
      .setIsolationLevel(isolation)
      .execute(async (trx) => {
        resolve({
          trx,
          commit() {
            ended.resolve();
            return whole;
          },
          rollback() {
            ended.reject(new Error('rolled back by the test'));
            return whole.catch(() => {});
          },
        });
        await ended.promise;
      });
    whole.catch(reject);
  });
}

/** Each way to have a transaction. */
export const transactionKinds: readonly { readonly kind: string; readonly open: Open }[] = [
  { kind: 'a pg client', open: openPg },
  { kind: 'a Kysely transaction', open: openKysely(false) },
  { kind: 'a controlled Kysely transaction', open: openKysely(true) },
  { kind: 'a Kysely transaction with the CamelCasePlugin', open: openKysely(false, [new CamelCasePlugin()]) },
  { kind: 'an adapter', open: openAdapter },
];
