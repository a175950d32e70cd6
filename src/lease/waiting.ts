import { pause, within } from '../core/abort.ts';
import { type Clock, elapsed } from '../core/clock.ts';
import type { Refusal } from './granting.ts';
import type { Lease } from './lease.ts';

/** How long a call waits for a lease, and what may end it early. */
export interface Patience {
  /** Milliseconds, or Infinity. */
  readonly wait: number;
  readonly signal: AbortSignal | undefined;
}

/** How long a rejection waits for the try under way, so that in the end nothing is held that nobody knows of. */
const settleLimit = 250;
const firstPoll = 10;
const longestPoll = 250;

/**
 * Tries until the lease is granted; undefined when `wait` has run out. When the signal aborts, it rejects with the
 * signal's reason, after the try under way has been settled and what it may have got given back. Without an answer
 * within a quarter of a second it rejects all the same, and gives back what still arrives.
 */
export async function untilGranted(
  clock: Clock,
  { wait, signal }: Patience,
  attempt: () => Promise<Lease | Refusal>,
): Promise<Lease | undefined> {
  signal?.throwIfAborted();
  const started = clock.now();
  for (let poll = firstPoll; ; poll = Math.min(poll * 2, longestPoll)) {
    const left = (): number => wait - elapsed(started, clock.now());
    const outcome = await settle(clock, attempt(), wait === 0 ? Infinity : left(), signal);
    if (outcome === undefined || !('heldFor' in outcome)) return outcome;
    if (left() <= 0) return undefined;
    // Half of it at random, so that waiters do not come in step; and look again when the holder may have expired.
    // When it has expired and the lease is not free all the same, something else is in the way, such as a guard.
    const { heldFor = 0 } = outcome;
    const expiry = heldFor > 0 ? heldFor : Infinity;
    const delay = Math.min(poll * (0.5 + Math.random() / 2), expiry, left());
    await pause(clock, Math.max(1, delay), signal);
  }
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
