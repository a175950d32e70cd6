import { pause } from '../core/abort.ts';
import type { Acquisition } from '../core/acquisition.ts';
import { type Clock, elapsed, type Moment } from '../core/clock.ts';
import { DatabaseError, LimitError } from '../core/errors.ts';
import { untilAborted } from '../session/interruption.ts';
import type { LockConnection } from '../session/lock-connection.ts';
import type { LockConnections } from '../session/lock-connections.ts';
import type { LockSet } from '../sql/session-lock.ts';

/** How long a call may wait, in milliseconds or for ever, and what may end it early. */
export class Allowance {
  readonly #clock: Clock;
  readonly #wait: number;
  /** Only where it counts. */
  readonly #started: Moment | undefined;
  /** The caller's. */
  readonly signal: AbortSignal | undefined;
  /** Aborts when this Fencepost is closed. */
  readonly closing: AbortSignal;
  /** Where somebody wants to be told of it. */
  acquisition: Acquisition | undefined;

  constructor(clock: Clock, wait: number, signal: AbortSignal | undefined, closing: AbortSignal) {
    this.#clock = clock;
    this.#wait = wait;
    this.#started = wait === Infinity ? undefined : clock.now();
    this.signal = signal;
    this.closing = closing;
    this.acquisition = undefined;
  }

  used(): number {
    return this.#started === undefined ? 0 : elapsed(this.#started, this.#clock.now());
  }

  left(): number {
    return Math.max(0, this.#wait - this.used());
  }

  /** Throws the reason for which the call ends early. */
  check(): void {
    this.signal?.throwIfAborted();
    this.closing.throwIfAborted();
  }
}

const firstPoll = 10;
const longestPoll = 250;

/** A try on the shared connection that is under way. */
export interface FirstTry {
  readonly connection: LockConnection;
  readonly granted: Promise<boolean>;
}

/** Begins one, where that connection is open. Most calls need no more. */
export function tryFirst(connections: LockConnections, set: LockSet, keys: number): FirstTry | undefined {
  const connection = connections.present;
  if (connection === undefined) return undefined;
  checkRoom(connection, keys);
  return { connection, granted: connection.try(set) };
}

/**
 * Gets the locks of a set for one caller, with which the process has to do with so many `keys`; undefined when the time
 * has run out. Whatever else happens, it rejects after the server holds nothing of it any more. It may succeed although
 * the caller has lost interest meanwhile.
 *
 * A connection that holds never waits, and one that waits holds nothing: the shared connection only tries; who has to
 * wait gets a connection of its own, in the server's queue; and when there are no more of those, tries again and again.
 */
export async function grant(
  connections: LockConnections,
  clock: Clock,
  set: LockSet,
  allowance: Allowance,
  keys: number,
  begun: FirstTry | undefined,
): Promise<LockConnection | undefined> {
  let first = begun;
  let waited: ((granted: boolean) => void) | undefined;
  let granted: LockConnection | undefined;
  try {
    for (let poll = firstPoll, lost = 0; ; ) {
      allowance.check();
      const shared = first?.connection ?? connections.present ?? (await connections.shared());
      const trying = first?.granted;
      first = undefined;
      if (trying === undefined) checkRoom(shared, keys);
      try {
        if (await (trying ?? shared.try(set))) {
          granted = shared;
          return granted;
        }
      } catch (error) {
        // A session that the server ended while nobody looked shows only when it is used: nothing was sent on it.
        const sent = !(error instanceof DatabaseError) || error.inDoubt;
        if (!sent && shared.lost && lost++ === 0) continue;
        // Closing has ended the session.
        allowance.check();
        throw error;
      }
      if (allowance.left() <= 0) return undefined;
      waited ??= allowance.acquisition?.wait('server');
      const lent = connections.lend();
      if (lent !== undefined) {
        granted = await waitOn(connections, clock, await lent, set, allowance);
        return granted;
      }
      // Half of it at random, so that waiters do not come in step.
      await pause(clock, Math.min(poll * (0.5 + Math.random() / 2), allowance.left()), allowance.signal);
      poll = Math.min(poll * 2, longestPoll);
      lost = 0;
    }
  } finally {
    waited?.(granted !== undefined);
  }
}

/** Half of the server's lock table at most: a full one fails every other session too, and every new connection. */
function checkRoom({ room }: LockConnection, keys: number): void {
  const limit = Math.floor(room / 2);
  if (keys <= limit) return;
  throw new LimitError(
    `this process would hold or wait for ${keys} advisory locks, more than ${limit}: half of the server's lock table ` +
      '(max_locks_per_transaction x (max_connections + max_prepared_transactions))',
  );
}

async function waitOn(
  connections: LockConnections,
  clock: Clock,
  connection: LockConnection,
  set: LockSet,
  allowance: Allowance,
): Promise<LockConnection | undefined> {
  const cancel = (): Promise<void> => connections.cancel(connection);
  const waiting = connection.wait(set, allowance.left(), () => connections.finds(connection));
  try {
    const { signal, closing } = allowance;
    const wanted = signal === undefined ? waiting : untilAborted(clock, waiting, signal, cancel);
    if (await untilAborted(clock, wanted, closing, cancel)) return connection;
    connections.giveBack(connection);
    return undefined;
  } catch (error) {
    // An abort may have come in the moment of the grant.
    if (await waiting.catch(() => false)) await connection.unlock(set);
    connections.giveBack(connection);
    throw error;
  }
}
