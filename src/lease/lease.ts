import { LockLostError, type LossReason, StaleTokenError, StateError } from '../core/errors.ts';
import { databaseFailure, sqlStateOf, staleToken } from '../core/sqlstate.ts';
import type { Holding, Tenure } from '../holder/tenure.ts';
import { type CallerTransaction, notInTransaction, runIn } from '../session/transaction.ts';
import { guardLease, type Held, type Resource } from '../sql/lease.ts';
import { resourceText } from './resource.ts';

/**
 * - `held`: as far as this process knows, and the server has confirmed it recently enough.
 * - `doubtful`: still held, but the last heartbeat was not answered; it becomes `held` or `lost`.
 * - `lost`: for good. `signal` has aborted.
 * - `released`: by `release()`, by the end of an `await using` block, or by `fencepost.close()`.
 */
export type LeaseState = 'held' | 'doubtful' | 'lost' | 'released';

/** What a lease asks of those who made it. */
export interface LeaseKeeper {
  readonly schema: string;
  /** Tells the server; ends when the lease is free there, or expired. */
  giveBack(tenure: Tenure, held: Held): Promise<void>;
  /** This process has nothing to do with the lease any more. */
  ended(lease: Lease): void;
}

/** A lease that this process was granted. */
export class Lease implements AsyncDisposable {
  /** The key in readable form, with the tenant in front. */
  readonly key: string;
  readonly tenant: string;
  readonly name: string;
  /** Greater than the token of every earlier lease of the same key. */
  readonly token: bigint;
  /** Which of its slots this is. Always 0 as long as a key has one slot. */
  readonly slot: number = 0;
  readonly #keeper: LeaseKeeper;
  readonly #tenure: Tenure;
  readonly #resource: Resource;
  readonly #holding: Holding = { lose: (reason, cause) => this.#lose(reason, cause) };
  #loss: LockLostError | undefined;
  #releasing: Promise<void> | undefined;
  #controller: AbortController | undefined;

  /** @internal */
  constructor(keeper: LeaseKeeper, tenure: Tenure, held: Held) {
    this.#keeper = keeper;
    this.#tenure = tenure;
    this.#resource = held.resource;
    this.key = resourceText(held.resource);
    this.tenant = held.resource.tenant;
    this.name = held.resource.name;
    this.token = held.token;
    tenure.add(this.#holding);
  }

  /** Compares clocks each time it is read: after a pause of the process it says `lost` before any timer has run. */
  get state(): LeaseState {
    if (this.#loss !== undefined) return 'lost';
    if (this.#releasing !== undefined) return 'released';
    if (this.#tenure.remaining() <= 0) {
      this.#lose('expired');
      return 'lost';
    }
    return this.#tenure.doubtful ? 'doubtful' : 'held';
  }

  /**
   * Aborts, with a `LockLostError` as its reason, when the lease is lost, before the server lets anybody else have it.
   * A release does not abort it.
   *
   * It aborts from a timer: code that has just blocked the event loop should read `lease.signal.aborted`, which looks
   * at the clock, and not a signal that it put aside.
   */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.state === 'lost' && !this.#controller.signal.aborted) this.#controller.abort(this.#loss);
    return this.#controller.signal;
  }

  /**
   * Throws `LockLostError` when the lease is lost, and `StateError` when it was released. It compares clocks, without
   * a round trip. What it says is true when it is said: only `guard` holds until a write commits.
   */
  assertHeld(): void {
    const state = this.state;
    if (state === 'released') throw new StateError(`${this.key} was released`);
    if (this.#loss !== undefined) throw this.#loss;
  }

  /**
   * Stands in the caller's transaction before its writes. From then on until that transaction ends nobody else can be
   * granted this lease. When somebody else already was, or the lease was released, it throws `StaleTokenError` and
   * the transaction cannot commit any more.
   *
   * One round trip in the caller's transaction. A lease that is `lost` passes as long as nobody took it: Postgres
   * decides, not this process.
   *
   * The downside: while the transaction is open the next holder waits for it, so keep it short.
   *
   * @example
   * await db.transaction().execute(async (trx) => {
   *   await lease.guard(trx);
   *   await trx.updateTable('account').set({ balance: 7 }).where('id', '=', 1).execute();
   * });
   */
  async guard(transaction: CallerTransaction): Promise<void> {
    try {
      const statement = guardLease(this.#keeper.schema, this.#held);
      const [row] = await runIn('transaction', transaction, statement);
      if (row?.inside !== 'true') throw notInTransaction('transaction', 'a client outside of one');
    } catch (cause) {
      if (sqlStateOf(cause) === staleToken) throw new StaleTokenError(this.key, this.token, { cause });
      throw databaseFailure(`guard ${this.key}`, cause, this.#keeper.schema);
    }
  }

  /**
   * Renews now, and ends when the server has confirmed it. Not needed as long as the lease renews itself; with
   * `renew: false` this is what gives it another ttl.
   *
   * @throws LockLostError when it was lost, StateError when it was released, DatabaseError when the server cannot be
   * asked; the lease is then held until it expires, and the heartbeat goes on trying.
   */
  async renew(): Promise<void> {
    this.assertHeld();
    await this.#tenure.renew(this.#held);
    this.assertHeld();
  }

  /**
   * Gives the lease back; ends when the server has confirmed it, or when it has expired there. The second call and
   * those after it end with the first. A lost lease has nothing to release.
   */
  release(): Promise<void> {
    this.#releasing ??= this.state === 'lost' ? Promise.resolve() : this.#release();
    return this.#releasing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  #lose(reason: LossReason, cause?: unknown): void {
    if (this.#loss !== undefined || this.#releasing !== undefined) return;
    this.#loss = new LockLostError(this.key, reason, { cause });
    this.#tenure.drop(this.#holding);
    this.#keeper.ended(this);
    this.#controller?.abort(this.#loss);
  }

  get #held(): Held {
    return { resource: this.#resource, token: this.token };
  }

  async #release(): Promise<void> {
    this.#tenure.drop(this.#holding);
    await this.#keeper.giveBack(this.#tenure, this.#held);
    this.#keeper.ended(this);
  }
}
