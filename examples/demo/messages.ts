/** How far a worker is with one lease. The first comes with the grant, the last when it has nothing more to do with it. */
export type Step =
  | 'granted'
  | 'checked' // lease.assertHeld() did not throw
  | 'noticed' // it did: the worker found out by itself and writes nothing
  | 'writing' // its transaction begins
  | 'booked' // its transaction has committed
  | 'refused' // its guard threw StaleTokenError
  | 'released'
  | 'lost';

/** What a worker tells the conductor over the IPC channel. */
export type Report =
  | { readonly kind: 'ready' }
  | { readonly kind: 'step'; readonly step: Step; readonly tenant: string; readonly token: bigint }
  | { readonly kind: 'trouble'; readonly text: string };

/** What the conductor tells a worker: end with the transfer that is under way. */
export type Order = 'finish';
