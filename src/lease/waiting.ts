import { within } from '../core/abort.ts';
import { type Clock, elapsed } from '../core/clock.ts';
import type { Notifications } from '../session/notifications.ts';
import type { Refusal } from './granting.ts';
import type { Lease } from './lease.ts';
import type { Lines, Width } from './lines.ts';

/** How long a call waits for a lease, and what may end it early. */
export interface Patience {
  /** Milliseconds, or Infinity. */
  readonly wait: number;
  readonly signal: AbortSignal | undefined;
}

/** What waiting needs of its surroundings. */
export interface WaitingContext {
  readonly clock: Clock;
  readonly notifications: Notifications;
  readonly lines: Lines;
}

/** What is waited for. */
export interface Wanted {
  /** By what messages and releases of this process name it. */
  readonly topics: readonly [string, ...string[]];
  readonly width: Width;
  /** One try. `waits`: who releases it is to tell. */
  attempt(waits: boolean): Promise<Lease | Refusal>;
}

/** How long a rejection waits for the try under way, so that in the end nothing is held that nobody knows of. */
const settleLimit = 250;
const firstPoll = 10;
const longestPoll = 250;
/** How often a waiter looks again that should be told, in milliseconds: a message can get lost. */
const floor = 5_000;

/**
 * Tries until the lease is granted; undefined when `wait` has run out. When the signal aborts, it rejects with the
 * signal's reason, after the try under way has been settled and what it may have got given back. Without an answer
 * within a quarter of a second it rejects all the same, and gives back what still arrives.
 */
export async function untilGranted(
  { clock, notifications, lines }: WaitingContext,
  { wait, signal }: Patience,
  { topics, width, attempt }: Wanted,
): Promise<Lease | undefined> {
  signal?.throwIfAborted();
  const started = clock.now();
  const left = (): number => (wait === Infinity ? Infinity : wait - elapsed(started, clock.now()));
  if (wait === 0) return leaseOf(await settle(clock, attempt(false), Infinity, signal));
  const place = lines.enter(topics, width);
  let lease: Lease | undefined;
  try {
    for (let poll = firstPoll; ; poll = Math.min(poll * 2, longestPoll)) {
      while (!place.mayTry && left() > 0) await place.bell.heard(clock, left(), signal);
      if (!place.mayTry) return undefined;
      place.bell.reset();
      const { listening } = notifications;
      const outcome = await settle(clock, attempt(true), left(), signal);
      lease = leaseOf(outcome);
      if (lease !== undefined || outcome === undefined || left() <= 0) return lease;
      // Only what is asked after the beginning of listening cannot miss a message.
      if (!listening && (await within(clock, longestPoll, notifications.listen()))) continue;
      const { heldFor = 0 } = outcome as Refusal;
      await place.bell.heard(clock, Math.max(1, Math.min(pauseOf(heldFor, listening, poll), left())), signal);
    }
  } finally {
    place.leave(lease !== undefined);
  }
}

/**
 * How long to wait for a message. Never beyond the present expiry of the holder: then it may be dead. When it has expired
 * and the lease is not free all the same, something is in the way of which no message tells, such as a guard.
 */
function pauseOf(heldFor: number, listening: boolean, poll: number): number {
  // Half of it at random, so that waiters do not come in step.
  const jitter = 0.5 + Math.random() / 2;
  if (heldFor <= 0) return poll * jitter;
  return Math.min(heldFor, (listening ? floor : poll) * jitter);
}

function leaseOf(outcome: Lease | Refusal | undefined): Lease | undefined {
  return outcome !== undefined && 'release' in outcome ? outcome : undefined;
}
/** The outcome of a try; undefined when it did not come in time. What comes later is given back. */
async function settle(
  clock: Clock,
  attempt: Promise<Lease | Refusal>,
  patience: number,
  signal: AbortSignal | undefined,
): Promise<Lease | Refusal | undefined> {
  const interrupted = Promise.withResolvers<undefined>();
  const interrupt = (): void => interrupted.resolve(undefined);
  const cancel = patience === Infinity ? (): void => {} : clock.after(Math.max(1, patience), interrupt);
  signal?.addEventListener('abort', interrupt, { once: true });
  try {
    const prompt = await Promise.race([attempt, interrupted.promise]);
    const outcome = prompt ?? (await within(clock, settleLimit, attempt));
    if (outcome === undefined) attempt.then(giveBack).catch(() => {});
    if (signal?.aborted !== true) return outcome;
    if (outcome !== undefined) await giveBack(outcome);
    throw signal.reason;
  } catch (error) {
    throw signal?.aborted === true ? signal.reason : error;
  } finally {
    cancel();
    signal?.removeEventListener('abort', interrupt);
  }
}

async function giveBack(outcome: Lease | Refusal): Promise<void> {
  if ('release' in outcome) await outcome.release();
}
