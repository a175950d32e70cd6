import { LockLostError, StaleTokenError } from '../core/errors.ts';
import type { CallerTransaction } from '../session/transaction.ts';
import type { Lease, LeaseState } from './lease.ts';

/** One time of leading: from the election to the loss or the resignation. */
export class Term {
  /** The election in readable form. */
  readonly key: string;
  /** Greater than the token of every earlier term of this election. */
  readonly token: bigint;
  /** What it is made of. @internal */
  readonly lease: Lease;
  readonly #campaign: AbortSignal;
  readonly #controller = new AbortController();
  readonly #lost = (): void => this.#controller.abort(this.lease.signal.reason);
  readonly #called = (): void => {
    // First the work is told to stop, then the next leader is let in.
    this.#controller.abort(this.#campaign.reason);
    this.lease.release().catch(() => {});
  };

  /** @internal */
  constructor(lease: Lease, campaign: AbortSignal) {
    this.key = lease.key;
    this.token = lease.token;
    this.lease = lease;
    this.#campaign = campaign;
    lease.signal.addEventListener('abort', this.#lost, { once: true });
    campaign.addEventListener('abort', this.#called, { once: true });
    if (lease.signal.aborted) this.#lost();
    else if (campaign.aborted) this.#called();
  }

  /** That of its lease: `released` once the campaign has resigned. */
  get state(): LeaseState {
    return this.lease.state;
  }

  /**
   * Aborts when the term is lost, with a `LockLostError` as its reason, or when the campaign is called off, with the
   * reason of the campaign's signal; by `fencepost.close()` with a `StateError`. Whatever `run` began has to stop then.
   *
   * It aborts from a timer: code that has just blocked the event loop should read `signal` of the term anew.
   */
  get signal(): AbortSignal {
    // Looks at the clock, and aborts ours when it is too late.
    void this.lease.signal;
    return this.#controller.signal;
  }

  /**
   * Throws the reason of `signal` when it has aborted, and `StateError` when `run` has ended. It compares clocks,
   * without a round trip. What it says is true when it is said, and may be wrong by the time of the next write.
   */
  assertHeld(): void {
    this.signal.throwIfAborted();
    this.lease.assertHeld();
  }

  /**
   * Stands in the caller's transaction before its writes, as `lease.guard`: nobody else can be elected until that
   * transaction ends. Throws `StaleTokenError` when somebody else was, or after the resignation.
   *
   * @example
   * await db.transaction().execute(async (trx) => {
   *   await term.guard(trx);
   *   await trx.updateTable('schedule').set({ next_run: tomorrow }).where('id', '=', 1).execute();
   * });
   */
  guard(transaction: CallerTransaction): Promise<void> {
    return this.lease.guard(transaction);
  }

  /** An operator has ended it. @internal */
  get revoked(): boolean {
    const { reason } = this.lease.signal;
    return reason instanceof LockLostError && reason.reason === 'revoked';
  }

  /** Ends when nobody is in the way of the next leader any more. @internal */
  async resign(): Promise<void> {
    this.lease.signal.removeEventListener('abort', this.#lost);
    this.#campaign.removeEventListener('abort', this.#called);
    await this.lease.release();
  }

  /** Whether `run` rejected with this because its term has ended, and for no other reason. @internal */
  endedBy(error: unknown): boolean {
    const cause = error instanceof Error ? error.cause : undefined;
    if (this.#refused(error) || this.#refused(cause)) return true;
    const { aborted, reason } = this.signal;
    if (!aborted) return false;
    return error === reason || cause === reason || (error instanceof Error && error.name === 'AbortError');
  }

  #refused(error: unknown): boolean {
    return error instanceof StaleTokenError && error.key === this.key && error.token === this.token;
  }
}
