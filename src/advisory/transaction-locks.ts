import { Acquisition } from '../core/acquisition.ts';
import { type Clock, elapsed } from '../core/clock.ts';
import type { Duration } from '../core/duration.ts';
import { LockTimeoutError, StandbyError } from '../core/errors.ts';
import { points } from '../core/events.ts';
import { familyOf, type Key, keyText } from '../core/key.ts';
import { duration, oneOf, optional, signal, validate, withDefault } from '../core/options.ts';
import {
  databaseFailure,
  invalidValue,
  lockNotAvailable,
  noTransaction,
  sqlStateOf,
} from '../core/sqlstate.ts';
import { attemptIn } from '../session/attempt.ts';
import type { Commands, Kind } from '../session/commands.ts';
import { untilAborted } from '../session/interruption.ts';
import { type CallerTransaction, notInTransaction, runIn } from '../session/transaction.ts';
import {
  awaitTransactionLocks,
  backend,
  cancelWaits,
  type Mode,
  tryTransactionLock,
  type Waiter,
} from '../sql/advisory.ts';
import { type NumberedSet, type Numbers, numberedKey, numberedKeys } from './keys.ts';

/** How a transaction lock is acquired. */
export interface TransactionLockOptions {
  /**
   * `'shared'`: together with others that ask for it shared, while nobody has it exclusively. `'exclusive'` by default.
   * Two transactions that have it shared and then both ask for it exclusively are a deadlock.
   */
  readonly mode?: 'exclusive' | 'shared' | undefined;
  /**
   * How long to wait while others have it, in the order of the server's queue. For ever by default for `acquire` and
   * `acquireAll`, and from 24 days on; 0 for `tryAcquire`. A `statement_timeout` of the transaction and a
   * `query_timeout` of `pg` go on counting, so they have to be longer.
   */
  readonly wait?: Duration | undefined;
  /**
   * Ends the wait: the call rejects with the signal's reason once the server has stopped waiting. Costs two more round
   * trips when the call waits or might, and, when it aborts, a connection of Fencepost's own, whose role has to be
   * that of the transaction's connection or a member of `pg_signal_backend`: otherwise the wait goes on to its end.
   */
  readonly signal?: AbortSignal | undefined;
}

/** What transaction locks need of their surroundings. */
export interface TransactionLocksContext {
  readonly clock: Clock;
  readonly numbers: Numbers;
  /** On a connection of our own, to interrupt what waits on the caller's. */
  readonly commands: Commands;
}

/** Options as the code works with them. */
interface Terms {
  readonly mode: Mode;
  readonly wait: number;
  readonly signal: AbortSignal | undefined;
}

const lockOptions = {
  mode: withDefault(oneOf('exclusive', 'shared'), 'exclusive'),
  wait: optional(duration({ max: Infinity })),
  signal: optional(signal()),
};

/** Read once: most calls give none. */
const noOptions = validate('options', {}, lockOptions);

/** The shortest wait that `lock_timeout` knows. */
const shortestWait = 1;

/**
 * Advisory locks that belong to the caller's own transaction, for a critical section inside of it. They end with the
 * transaction, whether it commits, is rolled back or loses its connection; there is no other way to release them. They
 * need nothing installed, work through every pooler, and take no connection. They share their keys with session locks:
 * the same key excludes across both.
 *
 * A wait keeps its place in the server's queue and costs one round trip when it is granted. When it is not, the
 * transaction is as usable as before, holds what it held before, and all its settings are what they were.
 *
 * The downsides:
 * - Nobody else gets the lock before the transaction ends: keep it short, and take the lock as late as you can.
 * - It covers what this transaction writes. It does not cover effects outside of the database, which others can see
 *   before the commit.
 * - `ROLLBACK TO` a savepoint that was set before the lock was taken frees it.
 * - In REPEATABLE READ and SERIALIZABLE the snapshot is taken no later than the lock is asked for, so the transaction
 *   may not see what the holder before it has committed. Use READ COMMITTED, the default of Postgres.
 * - A call is several statements: end it before the next statement of the same transaction begins. Calls on one
 *   transaction object wait for each other.
 */
export class TransactionLocks {
  readonly #context: TransactionLocksContext;
  readonly #transaction: CallerTransaction;

  /** @internal */
  constructor(context: TransactionLocksContext, transaction: CallerTransaction) {
    const given: unknown = transaction;
    if (typeof given !== 'object' || given === null) throw notInTransaction('transaction', given);
    this.#context = context;
    this.#transaction = transaction;
  }

  /**
   * Waits until the lock is free and takes it until the end of the transaction. A transaction that has it already gets
   * it again at once.
   *
   * @throws LockTimeoutError when `wait` has run out, the signal's reason when it aborts, DatabaseError with SQLSTATE
   * `40P01` when it would wait for a transaction that waits for this one, or when the database fails it otherwise,
   * LimitError when the server's lock table is full, StandbyError on a standby, ArgumentError for wrong arguments and
   * outside of a transaction. With each of them the transaction is as it was before, unless its connection is lost.
   * After a deadlock, roll it back: the other one waits for what it holds.
   *
   * @example
   * await db.transaction().execute(async (trx) => {
   *   await fencepost.transaction(trx).acquire(['invoice', 7], { wait: '5s' });
   *   const last = await trx.selectFrom('invoice').select('number').orderBy('number', 'desc').executeTakeFirst();
   *   await trx.insertInto('invoice').values({ number: (last?.number ?? 0) + 1 }).execute();
   * });
   */
  async acquire(key: Key, options?: TransactionLockOptions): Promise<void> {
    await this.#all(numberedKey(this.#context.numbers, [key]), [key], options);
  }

  /**
   * As `acquire`, but answers whether it was free, at once or within `wait`. At once is one statement, without a
   * savepoint.
   *
   * @example
   * if (!(await fencepost.transaction(trx).tryAcquire('nightly-report'))) return; // somebody else is at it
   */
  async tryAcquire(key: Key, options?: TransactionLockOptions): Promise<boolean> {
    return this.#lock(numberedKey(this.#context.numbers, [key]), [key], options, 0);
  }

  /**
   * Takes all of the locks or none, in one statement and within `wait` altogether. Whatever the order they are given
   * in, they are taken in that of their numbers: transactions that take all their locks in one such call never
   * deadlock over them. With `wait: 0` it waits for a millisecond, the shortest time that Postgres can.
   *
   * @example
   * await fencepost.transaction(trx).acquireAll([['account', from], ['account', to]], { wait: '5s' });
   */
  async acquireAll(keys: readonly Key[], options?: TransactionLockOptions): Promise<void> {
    await this.#all(numberedKeys(this.#context.numbers, keys), keys, options);
  }

  async #all(
    set: NumberedSet,
    keys: readonly Key[],
    options: TransactionLockOptions | undefined,
  ): Promise<void> {
    const { clock } = this.#context;
    const started = clock.now();
    if (await this.#lock(set, keys, options, Infinity)) return;
    throw new LockTimeoutError(set.text, elapsed(started, clock.now()));
  }

  async #lock(
    set: NumberedSet,
    keys: readonly Key[],
    given: TransactionLockOptions | undefined,
    defaultWait: number,
  ): Promise<boolean> {
    const checked = given === undefined ? noOptions : validate('options', given, lockOptions);
    const options: Terms = { ...checked, wait: checked.wait ?? defaultWait };
    if (!Acquisition.wanted) return this.#acquire(set, options);
    const family = familyOf(keyText('key', keys[0] as Key));
    const subject = {
      kind: 'transaction-lock' as const,
      key: set.text,
      family,
      tenant: '',
      mode: options.mode,
    };
    const acquisition = new Acquisition(this.#context.clock, subject, options.wait);
    const nothing = { handle: undefined, token: undefined, holder: undefined };
    const granted = this.#acquire(set, options).then((locked) => {
      if (locked) points.grant.publish({ ...subject, ...nothing, waited: 0 });
      return locked;
    });
    return acquisition.follow(granted);
  }

  #acquire({ hashes, text }: NumberedSet, options: Terms): Promise<boolean> {
    return inTurn(this.#transaction, async () => {
      options.signal?.throwIfAborted();
      try {
        const [only] = hashes;
        if (only !== undefined && hashes.length === 1 && options.wait === 0) {
          return await this.#try(only, options.mode);
        }
        await this.#wait(hashes, options);
        return true;
      } catch (error) {
        if (options.signal?.aborted === true && error === options.signal.reason) throw error;
        const sqlState = sqlStateOf(error);
        if (sqlState === lockNotAvailable) return false;
        if (sqlState === noTransaction) throw notInTransaction('transaction', 'a client outside of one');
        if (sqlState === invalidValue) throw standby(error);
        throw databaseFailure(`acquire ${text}`, error);
      }
    });
  }

  async #try(hash: string, mode: Mode): Promise<boolean> {
    const [row] = await runIn('transaction', this.#transaction, tryTransactionLock(hash, mode));
    if (row?.outcome === 'standby') throw standby();
    if (row?.outcome === 'outside') throw notInTransaction('transaction', 'a client outside of one');
    return row?.outcome === 'locked';
  }

  async #wait(hashes: readonly string[], { mode, wait, signal }: Terms): Promise<void> {
    const { clock, commands } = this.#context;
    const statement = awaitTransactionLocks(hashes, mode, Math.max(wait, shortestWait));
    if (signal === undefined) return attemptIn('transaction', this.#transaction, statement);
    const [row] = await runIn('transaction', this.#transaction, backend);
    signal.throwIfAborted();
    const waiter = { pid: row?.pid ?? '', keys: hashes };
    await attemptIn('transaction', this.#transaction, statement, (work) =>
      untilAborted(clock, work, signal, () => commands.submit(cancels, waiter)),
    );
  }
}

/** One at a time: a session that may not be interrupted would stand in the way of the others. */
const cancels: Kind<Waiter, undefined> = {
  limit: 1,
  statement: cancelWaits,
  read: (_, waiters) => waiters.map(() => undefined),
};

/** The last call on each transaction. */
const turns = new WeakMap<object, Promise<unknown>>();

/** One call after the other on one transaction: of two at once, the one that fails would undo the other as well. */
function inTurn<T>(transaction: object, work: () => Promise<T>): Promise<T> {
  const turn = turns.get(transaction)?.then(work) ?? work();
  const over = (): void => {};
  turns.set(transaction, turn.then(over, over));
  return turn;
}

function standby(cause?: unknown): StandbyError {
  return new StandbyError('the server is a standby: locks are kept on the primary', { cause });
}
