import type { CallerTransaction } from 'fencepost';
import { ArgumentError, DatabaseError, Fencepost, LockTimeoutError, StaleTokenError } from 'fencepost';
import { afterAll, describe, expect, test } from 'vitest';
import { runIn } from '../../src/session/transaction.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { blockedIn } from '../support/sessions.ts';
import type { OpenTransaction } from '../support/transactions.ts';
import { until } from '../support/until.ts';

/** Transactions of one library on one database. */
export interface Library extends AsyncDisposable {
  open(): Promise<OpenTransaction>;
  /** What is accepted like a transaction and is in none, where the library has such a thing. */
  readonly outside?: CallerTransaction;
  /** Where Fencepost connects to, when it is not straight to the database. */
  readonly url?: string;
}

const waiting = 'pg_advisory_xact_lock';

/** The rules that transaction locks keep whatever library the transaction is of. */
export async function transactionLockRules(
  kind: string,
  connect: (database: TestDatabase) => Library | Promise<Library>,
): Promise<void> {
  const database = await createDatabase();
  const library = await connect(database);
  const fencepost = new Fencepost({ connection: library.url ?? database.url });
  const unfinished = new Set<OpenTransaction>();
  const open = async (): Promise<OpenTransaction> => {
    const tx = await library.open();
    const own: OpenTransaction = {
      ...tx,
      commit: () => tx.commit().finally(() => unfinished.delete(own)),
      rollback: () => tx.rollback().finally(() => unfinished.delete(own)),
    };
    unfinished.add(own);
    return own;
  };
  afterAll(async () => {
    // What a failed test left open would keep the library from ending.
    for (const tx of unfinished) await tx.rollback();
    await fencepost.close();
    await library[Symbol.asyncDispose]();
    await database[Symbol.asyncDispose]();
  });
  await database.query('create table note (text text)');

  const rows = async (tx: OpenTransaction, text: string) =>
    await runIn('transaction', tx.trx, { name: 'test', text, values: [] });
  const held = async (tx: OpenTransaction) => {
    const [row] = await rows(
      tx,
      `select count(*)::text as count from pg_locks
       where locktype = 'advisory' and pid = pg_backend_pid() and granted`,
    );
    return Number(row?.count);
  };
  const locks = (tx: OpenTransaction) => fencepost.transaction(tx.trx);

  describe(kind, () => {
    test('a lock excludes other transactions until its transaction commits', async () => {
      const one = await open();
      const other = await open();
      await locks(one).acquire('a');
      expect(await locks(other).tryAcquire('a')).toBe(false);
      expect(await locks(other).tryAcquire('b')).toBe(true);
      const granted = locks(other).acquire('a');
      await blockedIn(database, waiting);
      await one.commit();
      await granted;
      expect(await held(other)).toBe(2);
      expect(await other.commit()).toBe('COMMIT');
    });

    test('a lock is free after its transaction was rolled back', async () => {
      const one = await open();
      const other = await open();
      expect(await locks(one).tryAcquire('a', { wait: '1s' })).toBe(true);
      await one.rollback();
      expect(await locks(other).tryAcquire('a')).toBe(true);
      await other.rollback();
    });

    test('shared locks go together, and not with an exclusive one', async () => {
      const [one, other, third] = [await open(), await open(), await open()];
      await locks(one).acquire('a', { mode: 'shared' });
      expect(await locks(other).tryAcquire('a', { mode: 'shared' })).toBe(true);
      await locks(third).acquire('a', { mode: 'shared', wait: '5s' });
      expect(await locks(other).tryAcquire('a')).toBe(false);
      await one.commit();
      await third.commit();
      expect(await locks(other).tryAcquire('a')).toBe(true);
      const next = await open();
      expect(await locks(next).tryAcquire('a', { mode: 'shared' })).toBe(false);
      await expect(locks(next).acquire('a', { mode: 'shared', wait: 5 })).rejects.toThrow(LockTimeoutError);
      await other.rollback();
      await next.rollback();
    });

    test('a wait that times out leaves the transaction usable, with what it held and wrote', async () => {
      const holder = await open();
      await locks(holder).acquire('taken');
      const one = await open();
      await one.run(`insert into note values ('before')`);
      await locks(one).acquire('mine');
      await expect(locks(one).acquire('taken', { wait: 20 })).rejects.toThrow(LockTimeoutError);
      expect(await locks(one).tryAcquire('taken', { wait: 1 })).toBe(false);
      expect(await held(one)).toBe(1);
      expect(await locks(holder).tryAcquire('mine')).toBe(false);
      await holder.rollback();
      await locks(one).acquire('taken');
      await one.run(`insert into note values ('after')`);
      expect(await one.commit()).toBe('COMMIT');
      expect(await database.query('select text from note order by text')).toEqual([
        { text: 'after' },
        { text: 'before' },
      ]);
      await database.query('truncate note');
    });

    test('an aborted wait rejects with the reason, and leaves the server not waiting and the transaction usable', async () => {
      const holder = await open();
      await locks(holder).acquire('taken');
      const one = await open();
      await locks(one).acquire('mine');
      const controller = new AbortController();
      const refused = locks(one).acquire('taken', { signal: controller.signal });
      const [waiter] = await blockedIn(database, waiting);
      controller.abort(new Error('enough'));
      await expect(refused).rejects.toThrow('enough');
      expect(
        await database.query(
          'select from pg_stat_activity where pid = $1 and wait_event_type is not distinct from $2',
          [waiter?.pid, 'Lock'],
        ),
      ).toEqual([]);
      expect(await held(one)).toBe(1);
      await holder.rollback();
      await locks(one).acquire('taken', { signal: new AbortController().signal });
      expect(await held(one)).toBe(2);
      expect(await one.commit()).toBe('COMMIT');
    });

    test('several locks are all taken, or none of them', async () => {
      const holder = await open();
      await locks(holder).acquire(2n);
      const one = await open();
      await expect(locks(one).acquireAll([3n, 1n, 2n], { wait: 20 })).rejects.toThrow(LockTimeoutError);
      await expect(locks(one).acquireAll([3n, 1n, 2n], { wait: 0 })).rejects.toThrow(LockTimeoutError);
      expect(await held(one)).toBe(0);
      const granted = locks(one).acquireAll([3n, 1n, 2n, 3n]);
      await blockedIn(database, waiting);
      await holder.rollback();
      await granted;
      expect(await held(one)).toBe(3);
      expect(await one.commit()).toBe('COMMIT');
    });

    test('after a deadlock both transactions are usable, and the victim is told to try again', async () => {
      const one = await open();
      const other = await open();
      await locks(one).acquire('a');
      await locks(other).acquire('b');
      const first = locks(one).acquire('b');
      first.catch(() => {});
      await blockedIn(database, waiting);
      const second = locks(other).acquire('a');
      const outcomes = await Promise.race([
        Promise.allSettled([first]).then(([outcome]) => ({ victim: one, survivor: other, outcome })),
        Promise.allSettled([second]).then(([outcome]) => ({ victim: other, survivor: one, outcome })),
      ]);
      expect(outcomes.outcome).toMatchObject({ status: 'rejected', reason: expect.any(DatabaseError) });
      expect(outcomes.outcome).toMatchObject({ reason: { sqlState: '40P01', retriable: true } });
      expect(await held(outcomes.victim)).toBe(1);
      expect(await outcomes.victim.commit()).toBe('COMMIT');
      expect((await Promise.allSettled([first, second])).filter((o) => o.status === 'rejected')).toHaveLength(
        1,
      );
      expect(await held(outcomes.survivor)).toBe(2);
      expect(await outcomes.survivor.commit()).toBe('COMMIT');
    });

    test('the settings of the transaction are what they were, whatever the outcome', async () => {
      const holder = await open();
      await locks(holder).acquire('taken');
      for (const setting of ['set local lock_timeout = 1234', 'set lock_timeout = 4321', 'select 1']) {
        const one = await open();
        await one.run(setting);
        const settings = () =>
          rows(one, `select string_agg(name || '=' || setting, ',') as all from pg_settings`);
        const before = await settings();
        await locks(one).acquire('free');
        await locks(one).acquireAll(['free', 'free too'], { wait: '5s' });
        expect(await settings()).toEqual(before);
        expect(await locks(one).tryAcquire('taken', { wait: 1 })).toBe(false);
        await expect(locks(one).acquire('taken', { signal: AbortSignal.timeout(20) })).rejects.toThrow();
        expect(await settings()).toEqual(before);
        await one.rollback();
      }
      await holder.rollback();
    });

    test('a savepoint of the caller is not touched, even one of the same name', async () => {
      const holder = await open();
      await locks(holder).acquire('taken');
      const one = await open();
      await one.run(`insert into note values ('kept')`);
      await one.run('savepoint fencepost');
      await one.run(`insert into note values ('undone')`);
      expect(await locks(one).tryAcquire('taken', { wait: 1 })).toBe(false);
      await locks(one).acquire('free');
      expect(await held(one)).toBe(1);
      await one.run('rollback to savepoint fencepost');
      expect(await held(one)).toBe(0);
      expect(await one.commit()).toBe('COMMIT');
      expect(await database.query('select text from note')).toEqual([{ text: 'kept' }]);
      await database.query('truncate note');
      await holder.rollback();
    });

    test('calls at once on one transaction do not undo each other', async () => {
      const holder = await open();
      await locks(holder).acquire('taken');
      const one = await open();
      const own = locks(one);
      const outcomes = await Promise.all([
        own.tryAcquire('a', { wait: '5s', signal: new AbortController().signal }),
        own.tryAcquire('taken', { wait: 5 }),
        own.tryAcquire('b', { wait: '5s' }),
        own.tryAcquire('taken', { wait: 5, signal: new AbortController().signal }),
        own.tryAcquire('c'),
      ]);
      expect(outcomes).toEqual([true, false, true, false, true]);
      expect(await held(one)).toBe(3);
      expect(await one.commit()).toBe('COMMIT');
      await holder.rollback();
    });

    test('a lease guards it: a stale token is refused, and the transaction cannot commit', async () => {
      const lease = await fencepost.leases.acquire('import');
      const good = await open();
      await lease.guard(good.trx);
      await good.run(`insert into note values ('guarded')`);
      expect(await good.commit()).toBe('COMMIT');
      await lease.release();
      const stale = await open();
      await expect(lease.guard(stale.trx)).rejects.toThrow(StaleTokenError);
      await stale.rollback();
      expect(await database.query('select text from note')).toEqual([{ text: 'guarded' }]);
      await database.query('truncate note');
    });

    test('a statement gets its values where it names them, and no others', async () => {
      const one = await open();
      const named = `select $2::text || $1::text || $2::text || '?' as text`;
      const values = ['b', 'a?'];
      expect(await runIn('transaction', one.trx, { name: 'test', text: named, values })).toMatchObject([
        { text: 'a?ba??' },
      ]);
      expect(await rows(one, `select '$1 ? $$' as text`)).toMatchObject([{ text: '$1 ? $$' }]);
      await one.rollback();
    });

    test('nothing is left', async () => {
      await until('no advisory locks', async () => {
        const left = await database.query(
          `select from pg_locks where locktype = 'advisory'
           and database = (select oid from pg_database where datname = current_database())`,
        );
        return left.length === 0;
      });
    });

    const { outside } = library;
    if (outside === undefined) return;
    test('what is in no transaction is refused', async () => {
      const refused = fencepost.transaction(outside);
      await expect(refused.acquire('a')).rejects.toThrow(ArgumentError);
      await expect(refused.acquire('a', { signal: new AbortController().signal })).rejects.toThrow(
        ArgumentError,
      );
      await expect(refused.tryAcquire('a')).rejects.toThrow(ArgumentError);
      await expect(refused.acquireAll(['a', 'b'])).rejects.toThrow(ArgumentError);
    });
  });
}
