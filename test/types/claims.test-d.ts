import type { ColumnType, Generated, Kysely, Transaction } from 'kysely';
import { expectTypeOf, it } from 'vitest';
import type { AsideRow, Claim, Claims } from '../../src/index.ts';

interface Tables {
  orders: {
    id: Generated<string>;
    tenant_id: string;
    status: 'new' | 'sent';
    run_at: ColumnType<Date, string>;
  };
  'app.pairs': { a: number; b: number };
}

declare const db: Kysely<Tables>;
declare const claims: Claims;

const orders = claims.define({
  db,
  table: 'orders',
  key: 'id',
  tenant: 'tenant_id',
  where: (eb) => eb('status', '=', 'new'),
  orderBy: ['run_at desc nulls last', 'id'],
  done: { status: 'sent' },
});

it('knows the row and the database of a claim', async () => {
  const [claim] = await orders.claim({ limit: 5, tenant: 't1' });
  expectTypeOf(claim).toEqualTypeOf<
    Claim<{ id: string; tenant_id: string; status: 'new' | 'sent'; run_at: Date }, Tables> | undefined
  >();
  await claim?.complete(async (trx) => {
    expectTypeOf(trx).toEqualTypeOf<Transaction<Tables>>();
  });
  expectTypeOf(claim?.token).toEqualTypeOf<bigint | undefined>();
  expectTypeOf(await orders.aside()).toExtend<AsideRow<{ id: string }>[]>();
});

it('takes several columns as key, and a schema', () => {
  claims
    .define({ db, table: 'app.pairs', key: ['a', 'b'], orderBy: ['b asc'], done: 'delete' })
    .claimKeys([[1, 2]]);
});

it('refuses tables and columns that are not there', () => {
  // @ts-expect-error no such table
  claims.define({ db, table: 'order', key: 'id', done: 'delete' });
  // @ts-expect-error no such column
  claims.define({ db, table: 'orders', key: 'ident', done: 'delete' });
  // @ts-expect-error no such column
  claims.define({ db, table: 'orders', key: 'id', tenant: 'tenant', done: 'delete' });
  // @ts-expect-error no such column
  claims.define({ db, table: 'orders', key: 'id', orderBy: ['priority desc'], done: 'delete' });
  // @ts-expect-error no such direction
  claims.define({ db, table: 'orders', key: 'id', orderBy: ['run_at down'], done: 'delete' });
  claims.define({
    db,
    table: 'orders',
    key: 'id',
    where: (eb) => eb('status', '=', 'new'),
    // @ts-expect-error no such column to set
    done: { state: 'sent' },
  });
  claims.define({
    db,
    table: 'orders',
    key: 'id',
    where: (eb) => eb('status', '=', 'new'),
    // @ts-expect-error no such value
    done: { status: 'gone' },
  });
  // @ts-expect-error no such value in the condition
  claims.define({ db, table: 'orders', key: 'id', where: (eb) => eb('status', '=', 'gone'), done: 'delete' });
  // @ts-expect-error what completion does has to be said
  claims.define({ db, table: 'orders', key: 'id' });
});

it('takes what a storage can keep, and nothing else', () => {
  const options = { db, table: 'orders', key: 'id', done: 'delete' } as const;
  claims.define({ ...options, storage: 'held', connections: 3 });
  claims.define({ ...options, storage: 'sidecar', maxAttempts: 3 });
  // @ts-expect-error nothing counts attempts there
  claims.define({ ...options, storage: 'held', maxAttempts: 3 });
  // @ts-expect-error claims keep no connection there
  claims.define({ ...options, storage: 'sidecar', connections: 3 });
  // @ts-expect-error no such storage
  claims.define({ ...options, storage: 'elsewhere' });
});
