import { within } from '../core/abort.ts';
import type { Acquisition } from '../core/acquisition.ts';
import { type Clock, elapsed } from '../core/clock.ts';
import { DatabaseError } from '../core/errors.ts';
import type { Holder } from '../holder/holder.ts';
import { closedError } from '../session/database.ts';
import type { Notifications } from '../session/notifications.ts';
import type { Refusal } from '../sql/lease.ts';
import type { Call, Wanted } from './call.ts';
import { type Begun, FirstTry } from './first-try.ts';
import type { Granting } from './granting.ts';
import type { Lease } from './lease.ts';
import { Lines, type Place } from './lines.ts';

/** How long a call waits for a lease, and what may end it early. */
export interface Patience {
  /** Milliseconds, or Infinity. */
  readonly wait: number;
  readonly signal: AbortSignal | undefined;
  /** Where somebody wants to be told of it. */
  readonly acquisition: Acquisition | undefined;
  /** Milliseconds that a rejection waits for the try under way; a quarter of a second by default. */
  readonly settling?: number;
}

/** How long a rejection waits for the try under way, so that in the end nothing is held that nobody knows of. */
const settleLimit = 250;
/** While a lease is being changed, by a commit that waits for its disk, nobody can say that it wants it. */
const firstLook = 1;
const firstPoll = 10;
const longestPoll = 250;
/** How often a waiter looks again that should be told, in milliseconds: a message can get lost. */
const floor = 5_000;

/** The calls of this process that get leases, each in its line as long as it has to wait. */
export class Waiting {
  readonly #clock: Clock;
  readonly #notifications: Notifications;
  readonly #lines: Lines;
  #calls = 0;
  #lastEnded = (): void => {};
  #closed = false;

  constructor(clock: Clock, notifications: Notifications) {
    this.#clock = clock;
    this.#notifications = notifications;
    this.#lines = new Lines(notifications);
  }

  /**
   * Tries until the lease is granted; undefined when `wait` has run out. When the signal aborts, it rejects with the
   * signal's reason, after the try under way has been settled and what it may have got given back. Without an answer
   * within a quarter of a second it rejects all the same, and gives back what still arrives.
   */
  async until(patience: Patience, wanted: Wanted, begun?: Begun): Promise<Lease | undefined> {
    patience.signal?.throwIfAborted();
    this.#calls += 1;
    try {
      if (patience.wait > 0) return await this.#inLine(patience, wanted, begun);
      const unanswered = begun?.outcome ?? this.#try(wanted);
      return leaseOf(await settle(this.#clock, unanswered, Infinity, patience.signal, patience.settling));
    } finally {
      this.ended();
    }
  }

  /** As `until`, for a call that nothing ends early, nobody listens to, and whose lease lives on a heartbeat. */
  promptly(granting: Granting, call: Call): Promise<Lease | undefined> {
    if (this.#closed) return Promise.reject(closedError());
    const place = call.waits ? this.#lines.enter(call) : undefined;
    const holder = granting.present(call.ttl);
    return holder === undefined
      ? this.#onceOpen(granting, call, place)
      : this.#send(granting, call, place, holder);
  }

  /** The first calls of a process wait together for its holder. */
  async #onceOpen(granting: Granting, call: Call, place: Place | undefined): Promise<Lease | undefined> {
    this.#calls += 1;
    try {
      await granting.opening(call.ttl);
      if (this.#closed) throw closedError();
    } catch (error) {
      place?.leave(false);
      throw error;
    } finally {
      this.ended();
    }
    const holder = granting.present(call.ttl);
    // One that was long in opening has to be renewed while the server is asked, not after that.
    return this.#send(granting, call, place, holder?.fresh === true ? holder : undefined);
  }

  #send(
    granting: Granting,
    call: Call,
    place: Place | undefined,
    holder: Holder | undefined,
  ): Promise<Lease | undefined> {
    if (holder === undefined || place?.mayTry === false)
      return this.goOn(call, { place, listening: false, outcome: undefined });
    place?.asks();
    const { listening } = this.#notifications;
    if (listening) place?.hear();
    this.#calls += 1;
    return new Promise((settle) => {
      granting.send(new FirstTry(this, granting, call, holder, place, listening, settle), holder);
    });
  }

  goOn(call: Call, begun: Begun): Promise<Lease | undefined> {
    const wait = call.waits ? Infinity : 0;
    return this.until({ wait, signal: undefined, acquisition: undefined }, call, begun);
  }

  /** A call has ended. */
  ended(): void {
    this.#calls -= 1;
    if (this.#calls === 0) this.#lastEnded();
  }

  /** Nothing is tried any more; ends when the calls under way have ended. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#lines.wakeAll();
    await new Promise<void>((resolve) => {
      this.#lastEnded = resolve;
      if (this.#calls === 0) resolve();
    });
  }

  async #inLine(
    { wait, signal, acquisition, settling }: Patience,
    wanted: Wanted,
    begun: Begun | undefined,
  ): Promise<Lease | undefined> {
    const clock = this.#clock;
    const notifications = this.#notifications;
    const started = clock.now();
    const left = (): number => (wait === Infinity ? Infinity : wait - elapsed(started, clock.now()));
    const place = begun?.place ?? this.#lines.enter(wanted);
    let lease: Lease | undefined;
    let queued = false;
    let unanswered = begun?.outcome;
    let waited = place.mayTry ? undefined : acquisition?.wait('process');
    try {
      for (let poll = firstPoll, look = firstLook; ; poll = Math.min(poll * 2, longestPoll)) {
        while (!place.mayTry && left() > 0) {
          // Whoever is in front may get the lease yet, and nobody would ring before its release.
          if (this.#closed) throw closedError();
          await place.heard(clock, left(), signal);
        }
        if (!place.mayTry) return await this.#tooLate(place, elapsed(started, clock.now()));
        let listening = begun?.listening ?? false;
        if (unanswered === undefined) {
          place.asks();
          listening = notifications.listening;
          // Whoever finds it free needs no messages, and as long as nobody waits there are none.
          if (listening) place.hear();
          unanswered = this.#try(wanted);
        }
        const outcome = await settle(clock, unanswered, left(), signal, settling);
        if (outcome === undefined) return await this.#tooLate(place, elapsed(started, clock.now()), 0);
        unanswered = undefined;
        place.answered();
        lease = leaseOf(outcome);
        if (lease !== undefined) return lease;
        const refusal = outcome as Refusal;
        queued ||= refusal.queued;
        if (left() <= 0) return undefined;
        waited ??= acquisition?.wait('server');
        // Only what is asked after the beginning of listening cannot miss a message.
        place.hear();
        if (!listening && (await within(clock, longestPoll, notifications.listen()))) continue;
        look = refusal.heldFor === undefined ? Math.min(look * 2, longestPoll) : firstLook;
        const pause = pauseOf(refusal.heldFor ?? 0, listening, refusal.heldFor === undefined ? look : poll);
        await place.heard(clock, Math.max(1, Math.min(pause, left())), signal);
      }
    } finally {
      place.leave(lease !== undefined);
      waited?.(lease !== undefined);
      if (lease === undefined) withdraw(wanted, queued, unanswered);
    }
  }

  /** The time has run out: that somebody has it is known from the server, or not at all. */
  async #tooLate(place: Place, waited: number, settling = settleLimit): Promise<undefined> {
    if (await place.unanswered(this.#clock, settling)) throw noAnswer(waited);
    return undefined;
  }

  #try(wanted: Wanted): Promise<Lease | Refusal> {
    if (this.#closed) throw closedError();
    return wanted.attempt();
  }
}

function noAnswer(waited: number): DatabaseError {
  const facts = { cause: undefined, retriable: true, sqlState: undefined, inDoubt: false };
  return new DatabaseError(`the database has not answered within ${Math.round(waited)} ms`, facts);
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

/** A try without an answer may still get a place in a queue: that is given up after it. */
function withdraw(wanted: Wanted, queued: boolean, unanswered: Promise<Lease | Refusal> | undefined): void {
  if (unanswered === undefined) {
    if (queued) wanted.inVain?.();
    return;
  }
  unanswered.then(
    (late) => {
      if ('queued' in late && (queued || late.queued)) wanted.inVain?.();
    },
    () => {
      if (queued) wanted.inVain?.();
    },
  );
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
  limit = settleLimit,
): Promise<Lease | Refusal | undefined> {
  if (patience === Infinity && signal === undefined) return attempt;
  const interrupted = Promise.withResolvers<undefined>();
  const interrupt = (): void => interrupted.resolve(undefined);
  const cancel = patience === Infinity ? (): void => {} : clock.after(Math.max(1, patience), interrupt);
  signal?.addEventListener('abort', interrupt, { once: true });
  try {
    const prompt = await Promise.race([attempt, interrupted.promise]);
    const outcome = prompt ?? (await within(clock, limit, attempt));
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
