import { Fencepost } from '../fencepost.ts';
import type { LockPeer } from './peer.ts';

/** Leases: durable, with tokens. */
export const leases: LockPeer = {
  name: 'fencepost leases',
  settings: 'as it comes; its own connections: one for heartbeats, two for batches',
  server: 'postgres',
  async open({ postgres }) {
    const fencepost = new Fencepost({ connection: postgres });
    return {
      acquire: (key) => fencepost.leases.acquire(key),
      hold: (key, ttl) => fencepost.leases.acquire(key, { ttl }),
      [Symbol.asyncDispose]: () => fencepost.close(),
    };
  },
};

/** Session locks: `pg_advisory_lock`. */
export const sessionLocks: LockPeer = {
  name: 'fencepost session locks',
  settings: 'as it comes; one connection that holds, up to four that wait',
  server: 'postgres',
  async open({ postgres }) {
    const fencepost = new Fencepost({ connection: postgres });
    const acquire = (key: string) => fencepost.advisory.acquire(key);
    return { acquire, hold: acquire, [Symbol.asyncDispose]: () => fencepost.close() };
  },
};
