import type { HandleState } from '../core/handle.ts';
import type { Lease } from '../lease/lease.ts';
import { type LeaseKey, resourceOf, resourceText } from '../lease/resource.ts';
import type { CallerTransaction } from '../session/transaction.ts';

/** A place that this process has in a gathering of several: it lives as long as its process, as a lease does. */
export class Participation implements AsyncDisposable {
  /** What it takes part in, in readable form. */
  readonly key: string;
  /** Greater than those of all who had this place before. */
  readonly token: bigint;
  /** @internal */
  protected readonly lease: Lease;

  /** @internal */
  constructor(name: LeaseKey, lease: Lease) {
    this.key = resourceText(resourceOf('name', name));
    this.token = lease.token;
    this.lease = lease;
  }

  /** Compares clocks each time it is read. */
  get state(): HandleState {
    return this.lease.state;
  }

  /** Aborts, with a `LockLostError` as its reason, when the place is lost. A release does not abort it. */
  get signal(): AbortSignal {
    return this.lease.signal;
  }

  /** Throws `LockLostError` when the place is lost, and `StateError` when it was given back. */
  assertHeld(): void {
    this.lease.assertHeld();
  }

  /** As `lease.guard`: nobody else gets this place until that transaction ends. Throws `StaleTokenError`. */
  guard(transaction: CallerTransaction): Promise<void> {
    return this.lease.guard(transaction);
  }

  /** Gives the place back, and waits for nobody. The second call ends with the first. */
  release(): Promise<void> {
    return this.lease.release();
  }

  /** The end of an `await using` block: `release()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }
}
