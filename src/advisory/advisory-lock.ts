import { Handle } from '../core/handle.ts';
import type { LockConnection } from '../session/lock-connection.ts';
import type { LockSet } from '../sql/session-lock.ts';

/** What a lock asks of those who made it. */
export interface LockKeeper {
  giveBack(connection: LockConnection, set: LockSet): Promise<void>;
  ended(lock: AdvisoryLock): void;
}

/**
 * A session advisory lock that this process was granted: the server frees it within milliseconds when the process
 * dies. `signal` aborts when the connection that holds it is lost; the server may then have granted it to another
 * process already. Writes that must not happen then need a lease and its guard.
 */
export class AdvisoryLock extends Handle {
  /** Whether others may hold it as well, in shared mode too. */
  readonly mode: 'exclusive' | 'shared';
  /** With `fence: true`: greater than the token of every earlier holder who drew one. */
  readonly token: bigint | undefined;
  readonly #keeper: LockKeeper;
  readonly #connection: LockConnection;
  readonly #set: LockSet;

  /** @internal */
  constructor(keeper: LockKeeper, connection: LockConnection, key: string, set: LockSet, token?: bigint) {
    super(key, connection);
    this.#keeper = keeper;
    this.#connection = connection;
    this.#set = set;
    this.token = token;
    this.mode = set.shared ? 'shared' : 'exclusive';
  }

  /** @internal */
  protected giveBack(): Promise<void> {
    return this.#keeper.giveBack(this.#connection, this.#set);
  }

  /** @internal */
  protected ended(): void {
    this.#keeper.ended(this);
  }
}
