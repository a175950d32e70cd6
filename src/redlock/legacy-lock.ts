import type { Fencepost } from '../fencepost.ts';
import type { CallerTransaction } from '../session/transaction.ts';
import { ExecutionError, LockError } from './errors.ts';
import type { Lock } from './lock.ts';

/** The callback of version 4. */
export type Callback<Value> = (error: Error | null, value?: Value) => void;

/** A lock as version 4 gives it: extended in place, with callbacks for who wants them. */
export class LegacyLock {
  readonly resource: string[];
  readonly value: string;
  /** How many attempts it took. */
  readonly attempts: number;
  /** How many more there would have been. */
  readonly attemptsRemaining: number;
  #lock: Lock;

  /** @internal */
  constructor(lock: Lock, retryCount: number) {
    this.#lock = lock;
    this.resource = lock.resources;
    this.value = lock.value;
    this.attempts = lock.attempts.length;
    this.attemptsRemaining = retryCount - this.attempts;
  }

  /** What it was acquired by. */
  get redlock(): Lock['redlock'] {
    return this.#lock.redlock;
  }

  /** Until when it may be believed in, as `Date.now()` counts; 0 once it was released. */
  get expiration(): number {
    return this.#lock.expiration;
  }

  /** See `Lock`. */
  get token(): bigint {
    return this.#lock.token;
  }

  /** See `Lock`. */
  guard(transaction: CallerTransaction, server?: Fencepost): Promise<void> {
    return this.#lock.guard(transaction, server);
  }

  /** Gives it back. */
  unlock(callback?: Callback<void>): Promise<void> {
    const unlocking = this.#lock.release().then(() => {});
    return called(unlocking, callback);
  }

  /** As `unlock`. */
  release(callback?: Callback<void>): Promise<void> {
    return this.unlock(callback);
  }

  /** Gives it so many more milliseconds, counted from now, in place. */
  extend(duration: number, callback?: Callback<LegacyLock>): Promise<LegacyLock> {
    const extending = this.#lock.extend(duration).then((lock) => {
      this.#lock = lock;
      return this;
    });
    return called(extending, callback);
  }
}

/** The outcome for whoever wants it, as a promise or by a callback, with errors of version 4. */
export function called<Value>(work: Promise<Value>, callback: Callback<Value> | undefined): Promise<Value> {
  const outcome = work.catch((cause: unknown) => {
    throw cause instanceof ExecutionError ? new LockError(cause, { cause }) : cause;
  });
  if (callback === undefined) return outcome;
  // What a callback throws is nobody's rejection.
  outcome.then(
    (value) => queueMicrotask(() => callback(null, value)),
    (error: Error) => queueMicrotask(() => callback(error)),
  );
  return outcome;
}
