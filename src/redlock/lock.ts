import { StateError } from '../core/errors.ts';
import type { Fencepost } from '../fencepost.ts';
import type { CallerTransaction } from '../session/transaction.ts';
import type { ExecutionResult, ExecutionStats } from './ballot.ts';
import type { Grants } from './grants.ts';
import type { Settings } from './settings.ts';

/** What made a lock, and ends or extends it. */
export interface LockKeeper {
  readonly clients: ReadonlySet<Fencepost>;
  /** Gives a lock back. */
  release(lock: Lock, settings?: Partial<Settings>): Promise<ExecutionResult>;
  /** Gives a lock so many milliseconds from now on. */
  extend(lock: Lock, duration: number, settings?: Partial<Settings>): Promise<Lock>;
}

/** What a lock is made of. */
export interface LockParts {
  readonly redlock: LockKeeper;
  readonly resources: string[];
  readonly value: string;
  readonly attempts: ReadonlyArray<Promise<ExecutionStats>>;
  readonly expiration: number;
  readonly grants: Grants;
}

/** Resources that were locked together, until `expiration`. */
export class Lock {
  readonly redlock: LockKeeper;
  readonly resources: string[];
  /** Random, and the same after an extension. */
  readonly value: string;
  /** One for each attempt that it took: what each server said. */
  readonly attempts: ReadonlyArray<Promise<ExecutionStats>>;
  /** Until when it may be believed in, as `Date.now()` counts; 0 once it was released, or extended into another object. */
  expiration: number;
  /** @internal */
  readonly grants: Grants;

  /** @internal */
  constructor({ redlock, resources, value, attempts, expiration, grants }: LockParts) {
    this.redlock = redlock;
    this.resources = resources;
    this.value = value;
    this.attempts = attempts;
    this.expiration = expiration;
    this.grants = grants;
  }

  /** As `redlock.release`. */
  release(): Promise<ExecutionResult> {
    return this.redlock.release(this);
  }

  /** As `release`, by the name of version 4. */
  async unlock(): Promise<void> {
    await this.release();
  }

  /** As `redlock.extend`. */
  extend(duration: number): Promise<Lock> {
    return this.redlock.extend(this, duration);
  }

  /**
   * The fencing token: greater than that of every earlier lock that shares a resource with this one.
   *
   * @throws StateError with several servers, which draw their tokens independently: there use `guard`
   */
  get token(): bigint {
    if (this.redlock.clients.size > 1)
      throw new StateError('a lock of several servers has no token: their tokens have no common order');
    return this.grants.all.map(({ token }) => token).reduce((one, other) => (other > one ? other : one));
  }

  /**
   * Stands in the caller's transaction before its writes, as `lease.guard`: until that transaction ends nobody else can
   * be granted any of the resources on its server. `server` is the client that leads to the database of the transaction;
   * with one client it may be left out.
   *
   * With several servers it fences the data of that one server, if all who write there guard there: a lock without a
   * lease on that server, though valid by majority, is refused.
   *
   * @throws StaleTokenError when somebody else has got it since, or it was released; StateError when the lock holds
   * nothing on that server
   *
   * @example
   * const lock = await redlock.acquire(['account:1'], 5_000);
   * await client.query('begin');
   * await lock.guard(client);
   * await client.query('update account set balance = 7 where id = 1');
   * await client.query('commit');
   */
  async guard(transaction: CallerTransaction, server?: Fencepost): Promise<void> {
    const [first, ...others] = this.redlock.clients;
    const voter = server ?? (others.length === 0 ? first : undefined);
    const leases = voter === undefined ? [] : this.grants.of(voter);
    if (leases.length === 0) {
      const which =
        voter === undefined ? 'say on which of the clients the transaction is' : 'nothing is held there';
      throw new StateError(`the lock of ${this.resources.join(', ')} cannot guard: ${which}`);
    }
    for (const lease of leases) await lease.guard(transaction);
  }
}
