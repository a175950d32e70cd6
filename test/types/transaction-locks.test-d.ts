import type { Kysely, Transaction } from 'kysely';
import type pg from 'pg';
import { expectTypeOf, it } from 'vitest';
import type { Fencepost, TransactionAdapter, TransactionLocks } from '../../src/index.ts';

declare const fencepost: Fencepost;
declare const locks: TransactionLocks;
declare const client: pg.Client;
declare const poolClient: pg.PoolClient;
declare const trx: Transaction<unknown>;
declare const db: Kysely<unknown>;
declare const adapter: TransactionAdapter;

it('takes every kind of transaction', () => {
  expectTypeOf(fencepost.transaction(client)).toEqualTypeOf<TransactionLocks>();
  fencepost.transaction(poolClient);
  fencepost.transaction(trx);
  fencepost.transaction(adapter);
  fencepost.transaction({
    runInTransaction: async (text, values) => (await client.query(text, [...values])).rows,
    runScript: (text) => client.query(text),
    runInSavepoint: (text) => client.query(text),
  });
  // @ts-expect-error a Kysely instance, which may use another connection for each statement
  fencepost.transaction(db);
  // @ts-expect-error a connection URL
  fencepost.transaction('postgres://localhost/app');
  // @ts-expect-error a function
  fencepost.transaction(() => client);
});

it('says what each call answers', () => {
  expectTypeOf(locks.acquire('a')).resolves.toEqualTypeOf<void>();
  expectTypeOf(locks.tryAcquire('a')).resolves.toEqualTypeOf<boolean>();
  expectTypeOf(locks.acquireAll(['a', ['invoice', 7], 8n])).resolves.toEqualTypeOf<void>();
});

it('accepts every option alone or undefined, and no others', () => {
  locks.acquire('a', {});
  locks.acquire('a', { wait: '5s', mode: 'shared', signal: AbortSignal.timeout(1) });
  locks.tryAcquire(['invoice', 7], { wait: undefined, mode: undefined, signal: undefined });
  locks.acquireAll(['a'], { mode: 'exclusive', wait: 100 });
  // @ts-expect-error a lease has a ttl; a transaction lock ends with its transaction
  locks.acquire('a', { ttl: '30s' });
  // @ts-expect-error no such mode
  locks.acquire('a', { mode: 'share' });
  // @ts-expect-error a duration without a unit
  locks.tryAcquire('a', { wait: '30' });
  // @ts-expect-error a controller instead of its signal
  locks.acquire('a', { signal: new AbortController() });
});

it('refuses wrong keys', () => {
  // @ts-expect-error a number alone
  locks.acquire(7);
  // @ts-expect-error one key, not several
  locks.acquireAll('a');
  // @ts-expect-error a number alone among the keys
  locks.acquireAll(['a', 7]);
  // @ts-expect-error a tenant is for leases
  locks.acquire({ tenant: 't1', name: 'a' });
});
