import type { Clock } from '../core/clock.ts';
import type { Holders } from '../holder/holders.ts';
import type { Commands } from '../session/commands.ts';
import type { Notifications } from '../session/notifications.ts';

/** What leases need of their surroundings. */
export interface LeaseContext {
  readonly schema: string;
  readonly clock: Clock;
  readonly commands: Commands;
  readonly holders: Holders;
  readonly notifications: Notifications;
}
