import { ArgumentError } from '../core/errors.ts';
import { Handle } from '../core/handle.ts';
import { StoppableClock } from '../core/stoppable-clock.ts';
import { Lease } from '../lease/lease.ts';
import { Term } from '../lease/term.ts';

/** What a process holds: a lease, a session lock, a claim, or the term of an election. */
export type Held = Handle | Term;

/**
 * Ends what holds a lease, a claim, a session lock or a term, as the death of its process would: the server forgets the
 * holder, or ends the session, and with it everything else that it held. Others can have it when the call has ended. On
 * this side it is `lost`: reason `'expired'` for leases and claims, `'connection'` for session locks and claims that are
 * held open. Works on handles of the double as well.
 *
 * The downside: a process holds its leases and claims of one `ttl` together, and most of its session locks. They all go.
 *
 * @throws ArgumentError for what is no handle, LockLostError and StateError for a lease that is not held any more,
 * DatabaseError when the server cannot be asked
 *
 * @example
 * await killHolder(lease);
 * const next = await other.leases.acquire('import'); // at once
 */
export async function killHolder(held: Held): Promise<void> {
  await handleOf(held).die();
}

/**
 * Lets one lease, or the lease of a term, expire at once, as if its holder had not been heard of for its `ttl`. Others
 * can have it when the call has ended, its guard is refused once somebody has, and on this side it is `lost`. What else
 * its process holds is not touched.
 *
 * @throws ArgumentError for what is no lease, LockLostError and StateError for one that is not held any more,
 * DatabaseError when the server cannot be asked
 *
 * @example
 * await expire(lease);
 * expect(lease.signal.aborted).toBe(true);
 */
export async function expire(lease: Lease | Term): Promise<void> {
  const handle = handleOf(lease);
  if (!(handle instanceof Lease)) throw new ArgumentError('lease', 'a lease or a term', lease);
  await handle.expire();
}

/** A process that stands still, until it is let go. */
export interface FrozenClock extends Disposable {
  /** Lets it go on. Its clocks show the time that has come meanwhile, and what was due in it runs at once. */
  thaw(): void;
}

/** Something with leases and locks: a `Fencepost` or a double. */
export interface Freezable {
  readonly leases: object;
}

/**
 * Stops the time of one Fencepost, as the others see a process that is frozen: by SIGSTOP, a debugger, a long pause of
 * the garbage collector or of its virtual machine. Its heartbeats stop, so its leases and claims expire after their
 * `ttl`, and its session locks after `sessions.ttl`; it goes on believing that it holds them, as a frozen process does,
 * and its guards are refused as soon as somebody else has the lease. After `thaw()`, or at the end of a `using` block, its
 * handles know that they are lost.
 *
 * It stops the timers of that Fencepost, and not the code of the test: calls that are made on it meanwhile are sent.
 *
 * @throws ArgumentError for what is neither a Fencepost nor a double
 *
 * @example
 * using frozen = freezeClock(fencepost);
 * const next = await other.leases.acquire('import'); // when the ttl of the frozen one is over
 * await expect(lease.guard(transaction)).rejects.toThrow(StaleTokenError);
 * frozen.thaw();
 */
export function freezeClock(fencepost: Freezable): FrozenClock {
  const clock: unknown = (fencepost as { clock?: unknown } | undefined)?.clock;
  if (!(clock instanceof StoppableClock))
    throw new ArgumentError('fencepost', 'a Fencepost, or what createMemoryFencepost has made', fencepost);
  clock.stop();
  const thaw = (): void => clock.goOn();
  return { thaw, [Symbol.dispose]: thaw };
}

function handleOf(held: Held): Handle {
  if (held instanceof Term) return held.lease;
  if (held instanceof Handle) return held;
  throw new ArgumentError('held', 'a lease, a session lock, a claim or a term', held);
}
