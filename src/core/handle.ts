import type { Place } from './chain.ts';
import { LockLostError, type LossReason, StateError } from './errors.ts';
import { type HoldingSubject, points } from './events.ts';

/** What a tenure tells of its end: something that is held under it. */
export interface Holding {
  lose(reason: LossReason, cause?: unknown): void;
}

/** What keeps something held: a heartbeat, a fixed term, a server session. */
export interface Tenure {
  /** Milliseconds that it can still be trusted. Reads the clock each time; 0 or less means lost. */
  remaining(): number;
  /** True while the last renewal has not been answered as it should. */
  readonly doubtful: boolean;
  /** Tells the holding of its end, unless that has left before. */
  add(holding: Holding): Place<Holding>;
  /** Ends it as a crash of the process would. Only tests want that. */
  die(): Promise<void>;
}

/**
 * How much earlier than the server the client stops to believe, in milliseconds: for clocks that run at different
 * rates, and for the code that has to stop.
 */
export function marginOf(ttl: number): number {
  return Math.min(1_000, ttl / 10);
}

/**
 * - `held`: as far as this process knows, and the server has confirmed it recently enough.
 * - `doubtful`: still held, but the last heartbeat was not answered; it becomes `held` or `lost`.
 * - `lost`: for good. `signal` has aborted.
 * - `released`: by `release()`, by the end of an `await using` block, or by `fencepost.close()`.
 */
export type HandleState = 'held' | 'doubtful' | 'lost' | 'released';

/** What few handles have: somebody who listens for their loss, or a loss. */
interface Loss {
  controller: AbortController | undefined;
  reason: LossReason | undefined;
  cause: unknown;
  /** Made when somebody wants to see it: a stack trace for each of 100,000 would keep the process busy for a second. */
  error: LockLostError | undefined;
}

const nothingToRelease = Promise.resolve();

/**
 * What this process was granted, and the way to give it back. Every kind of lock has this shape.
 *
 * A process may hold 100,000 of them, which the garbage collector moves twice: so nothing is kept in two fields, and no
 * method is private, which would be a field as well.
 */
export abstract class Handle implements AsyncDisposable {
  /** The key in readable form. */
  abstract readonly key: string;
  readonly #place: Place<Holding>;
  #loss: Loss | undefined;
  #releasing: Promise<void> | undefined;

  /** @internal */
  constructor(tenure: Tenure) {
    this.#place = tenure.add(this);
  }

  /** What it was made with. @internal */
  protected abstract get tenure(): Tenure;

  /** Compares clocks each time it is read: after a pause of the process it says `lost` before any timer has run. */
  get state(): HandleState {
    if (this.lossReason !== undefined) return 'lost';
    if (this.#releasing !== undefined) return 'released';
    const { tenure } = this;
    if (tenure.remaining() <= 0) {
      this.lose('expired');
      return 'lost';
    }
    return tenure.doubtful ? 'doubtful' : 'held';
  }

  /**
   * Aborts, with a `LockLostError` as its reason, when the lock is lost. A release does not abort it.
   *
   * It aborts from a timer: code that has just blocked the event loop should read `signal` of the handle anew, which
   * looks at the clock, and not a signal that it put aside.
   */
  get signal(): AbortSignal {
    this.#loss ??= noLoss();
    const loss = this.#loss;
    loss.controller ??= new AbortController();
    const { signal } = loss.controller;
    if (this.state === 'lost' && !signal.aborted) loss.controller.abort(errorOf(this, loss));
    return signal;
  }

  /**
   * Throws `LockLostError` when the lock is lost, and `StateError` when it was released. It compares clocks, without
   * a round trip. What it says is true when it is said, and may be wrong by the time of the next write.
   */
  assertHeld(): void {
    const state = this.state;
    if (state === 'released') throw new StateError(`${this.key} was released`);
    if (state === 'lost') throw errorOf(this, this.#loss);
  }

  /**
   * Gives the lock back; ends when the server has confirmed it, or when it is free there anyway. The second call and
   * those after it end with the first. A lost lock has nothing to release, except that one that was revoked with a
   * grace is free at once.
   */
  release(): Promise<void> {
    const over = this.state === 'lost' && this.lossReason !== 'revoked';
    if (this.#releasing !== undefined) return this.#releasing;
    if (!over) this.#place.leave(this);
    this.#releasing = over ? nothingToRelease : this.return();
    return this.#releasing;
  }

  /** The end of an `await using` block: `release()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  /** Whether it is given back, or being so. @internal */
  protected get releasing(): boolean {
    return this.lossReason === undefined && this.#releasing !== undefined;
  }

  /** Why it was lost, if it was. @internal */
  protected get lossReason(): LossReason | undefined {
    return this.#loss?.reason;
  }

  /** What events say of it. @internal */
  abstract about(): HoldingSubject;

  /** Tells the server, once. @internal */
  protected abstract giveBack(): Promise<void>;

  /** This process has nothing to do with the lock any more. @internal */
  protected abstract ended(): void;

  /** It ends as by a release, of which the server knows already. @internal */
  protected given(): void {
    this.#releasing ??= nothingToRelease;
    this.#place.leave(this);
    this.ended();
  }

  /** What holds it dies, as in a crash. @internal */
  die(): Promise<void> {
    return this.tenure.die();
  }

  /** What holds it has ended. @internal */
  lose(reason: LossReason, cause?: unknown): void {
    if (this.lossReason !== undefined || this.#releasing !== undefined) return;
    this.#loss ??= noLoss();
    const loss = this.#loss;
    loss.reason = reason;
    loss.cause = cause;
    this.#place.leave(this);
    this.ended();
    if (points.loss.hasSubscribers) points.loss.publish({ ...this.about(), reason, cause });
    loss.controller?.abort(errorOf(this, loss));
  }

  /** Tells the server, and then that it has ended. @internal */
  protected async return(): Promise<void> {
    try {
      await this.giveBack();
    } finally {
      this.ended();
    }
  }
}

const noLoss = (): Loss => ({
  controller: undefined,
  reason: undefined,
  cause: undefined,
  error: undefined,
});

function errorOf({ key }: Handle, loss: Loss | undefined): LockLostError {
  if (loss === undefined) return new LockLostError(key, 'expired');
  const { reason = 'expired', cause } = loss;
  loss.error ??= new LockLostError(key, reason, { cause });
  return loss.error;
}
