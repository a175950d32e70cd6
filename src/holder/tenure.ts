import type { Tenure } from '../core/handle.ts';
import type { Claimant, Held } from '../sql/lease.ts';

/** What keeps a lease alive: the process's heartbeat, or a fixed term of its own. */
export interface LeaseTenure extends Tenure {
  /** Who holds, as the database knows it. */
  readonly claimant: Claimant;
  readonly ttl: number;
  /** Ends when the server has confirmed it, or with the tenure; rejects when the server could not be asked. */
  renew(held: Held): Promise<void>;
}
