import type { LossReason } from '../core/errors.ts';
import type { Claimant, Held } from '../sql/lease.ts';

/** What a tenure tells of its end: something that is held under it. */
export interface Holding {
  lose(reason: LossReason, cause?: unknown): void;
}

/** What keeps a lease alive: the process's heartbeat, or a fixed term of its own. */
export interface Tenure {
  /** Who holds, as the database knows it. */
  readonly claimant: Claimant;
  readonly ttl: number;
  /** Milliseconds that it can still be trusted. Reads the clock each time; 0 or less means lost. */
  remaining(): number;
  /** True while the last renewal has not been answered as it should. */
  readonly doubtful: boolean;
  add(holding: Holding): void;
  drop(holding: Holding): void;
  /** Ends when the server has confirmed it, or with the tenure; rejects when the server could not be asked. */
  renew(held: Held): Promise<void>;
}

/**
 * How much earlier than the server the client stops to believe, in milliseconds: for clocks that run at different
 * rates, and for the code that has to stop.
 */
export function marginOf(ttl: number): number {
  return Math.min(1_000, ttl / 10);
}
