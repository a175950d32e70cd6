import { advisoryLocks } from './advisory-lock.ts';
import { barePool } from './bare.ts';
import { leases, sessionLocks } from './fencepost.ts';
import { redisSemaphore, redisSemaphoreAlways } from './redis-semaphore.ts';
import { redlock, redlockAlways, redlockPipelined } from './redlock.ts';
import { redlockUniversal, redlockUniversalAlways } from './redlock-universal.ts';
import { verrou } from './verrou.ts';

/** Everybody who locks. */
export const lockPeers = [
  sessionLocks,
  leases,
  barePool,
  advisoryLocks,
  verrou,
  redlock,
  redlockPipelined,
  redlockAlways,
  redisSemaphore,
  redisSemaphoreAlways,
  redlockUniversal,
  redlockUniversalAlways,
] as const;

/** The same without second settings of one of them: for what is not a question of speed. */
export const plainPeers = [sessionLocks, leases, verrou, redlock, redisSemaphore, redlockUniversal] as const;

export function lockPeer(name: string): (typeof lockPeers)[number] {
  const peer = lockPeers.find((one) => one.name === name);
  if (peer === undefined) throw new Error(`no peer ${name}`);
  return peer;
}
