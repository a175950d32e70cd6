import type { ControlledTransaction, Kysely, Transaction } from 'kysely';
import type pg from 'pg';
import { it } from 'vitest';
import type { Lease, TransactionAdapter } from '../../src/index.ts';

interface Tables {
  account: { id: number; balance: string };
}

declare const lease: Lease;
declare const db: Kysely<Tables>;
declare const client: pg.Client;
declare const poolClient: pg.PoolClient;
declare const transaction: Transaction<Tables>;
declare const controlled: ControlledTransaction<Tables>;
declare const controlledWithSavepoint: ControlledTransaction<Tables, ['before']>;
declare const adapter: TransactionAdapter;

it('takes a client of pg, a transaction of Kysely and an adapter', () => {
  lease.guard(client);
  lease.guard(poolClient);
  lease.guard(transaction);
  lease.guard(controlled);
  lease.guard(controlledWithSavepoint);
  lease.guard(adapter);
  lease.guard({ runInTransaction: async (text, values) => (await client.query(text, [...values])).rows });
});

it('refuses everything that is no transaction', () => {
  // @ts-expect-error nothing
  lease.guard();
  // @ts-expect-error null
  lease.guard(null);
  // @ts-expect-error a connection URL
  lease.guard('postgres://localhost/app');
  // @ts-expect-error a Kysely instance, which may use another connection for each statement
  lease.guard(db);
  // @ts-expect-error a function
  lease.guard(() => client);
  // @ts-expect-error an adapter without rows
  lease.guard({ runInTransaction: async () => {} });
});
