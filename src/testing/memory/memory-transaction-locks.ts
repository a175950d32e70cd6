import { type NumberedSet, Numbers, numberedKey, numberedKeys } from '../../advisory/keys.ts';
import type { TransactionLockOptions, TransactionLocks } from '../../advisory/transaction-locks.ts';
import { type Clock, elapsed } from '../../core/clock.ts';
import { LockTimeoutError } from '../../core/errors.ts';
import type { Key } from '../../core/key.ts';
import {
  signal as abortSignal,
  duration,
  oneOf,
  optional,
  validate,
  withDefault,
} from '../../core/options.ts';
import type { LockTable } from './lock-table.ts';
import type { MemoryTransaction } from './memory-transaction.ts';

const numbers = new Numbers('');

const lockOptions = {
  mode: withDefault(oneOf('exclusive', 'shared'), 'exclusive'),
  wait: optional(duration({ max: Infinity })),
  signal: optional(abortSignal()),
};

/** Locks of one transaction of the double, which end with it. */
export class MemoryTransactionLocks
  implements Pick<TransactionLocks, 'acquire' | 'tryAcquire' | 'acquireAll'>
{
  readonly #locks: LockTable;
  readonly #clock: Clock;
  readonly #transaction: MemoryTransaction;

  /** @internal */
  constructor(locks: LockTable, clock: Clock, transaction: MemoryTransaction) {
    this.#locks = locks;
    this.#clock = clock;
    this.#transaction = transaction;
  }

  /** As that of `TransactionLocks`. */
  async acquire(key: Key, options?: TransactionLockOptions): Promise<void> {
    await this.#all(numberedKey(numbers, [key]), options);
  }

  /** As that of `TransactionLocks`. */
  tryAcquire(key: Key, options?: TransactionLockOptions): Promise<boolean> {
    return this.#lock(numberedKey(numbers, [key]).hashes, options, 0);
  }

  /** As that of `TransactionLocks`. */
  async acquireAll(keys: readonly Key[], options?: TransactionLockOptions): Promise<void> {
    await this.#all(numberedKeys(numbers, keys), options);
  }

  async #all({ hashes, text }: NumberedSet, options: TransactionLockOptions | undefined): Promise<void> {
    const started = this.#clock.now();
    if (await this.#lock(hashes, options, Infinity)) return;
    throw new LockTimeoutError(text, elapsed(started, this.#clock.now()));
  }

  async #lock(
    hashes: readonly string[],
    given: TransactionLockOptions | undefined,
    defaultWait: number,
  ): Promise<boolean> {
    const { mode, wait = defaultWait, signal } = validate('options', given, lockOptions);
    signal?.throwIfAborted();
    await Promise.resolve();
    this.#transaction.assertOpen();
    const set = { hashes, shared: mode === 'shared' };
    if (wait <= 0) return this.#locks.take(this.#transaction, set);
    const { promise, resolve, reject } = Promise.withResolvers<boolean>();
    const leave = this.#locks.wait(this.#transaction, set, () => resolve(true));
    const stop = wait === Infinity ? () => {} : this.#clock.after(wait, () => resolve(false));
    const abort = (): void => reject(signal?.reason);
    if (signal?.aborted === true) abort();
    signal?.addEventListener('abort', abort, { once: true });
    try {
      return await promise;
    } finally {
      stop();
      leave();
      signal?.removeEventListener('abort', abort);
    }
  }
}
