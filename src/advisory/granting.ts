import { pause } from '../core/abort.ts';
import type { Clock } from '../core/clock.ts';
import { LimitError } from '../core/errors.ts';
import type { LockConnection } from '../session/lock-connection.ts';
import type { LockConnections } from '../session/lock-connections.ts';
import type { LockSet } from '../sql/session-lock.ts';

/** How long a call may still wait, in milliseconds or for ever, and what may end it early. */
export interface Allowance {
  left(): number;
  readonly signal: AbortSignal | undefined;
}

const firstPoll = 10;
const longestPoll = 250;
/** A cancel that comes before its statement has begun is lost, so it is sent again until the statement has ended. */
const cancelInterval = 20;

/**
 * Gets the locks of a set for one caller; undefined when the time has run out. Whatever else happens, it rejects after
 * the server holds nothing of it any more.
 *
 * A connection that holds never waits, and one that waits holds nothing: the shared connection only tries; who has to
 * wait gets a connection of its own, in the server's queue; and when there are no more of those, tries again and again.
 */
export async function grant(
  connections: LockConnections,
  clock: Clock,
  set: LockSet,
  allowance: Allowance,
): Promise<LockConnection | undefined> {
  for (let poll = firstPoll; ; poll = Math.min(poll * 2, longestPoll)) {
    allowance.signal?.throwIfAborted();
    const shared = await connections.shared();
    if (await shared.try(set)) return unlessAborted(shared, set, allowance);
    if (allowance.left() <= 0) return undefined;
    const lent = connections.lend();
    if (lent !== undefined) return waitOn(connections, clock, await lent, set, allowance);
    // Half of it at random, so that waiters do not come in step.
    await pause(clock, Math.min(poll * (0.5 + Math.random() / 2), allowance.left()), allowance.signal);
    if (allowance.left() <= 0) return undefined;
  }
}

/** Half of the server's lock table at most: a full one fails every other session too, and every new connection. */
export function checkRoom(connection: LockConnection, held: number, asked: number): void {
  const limit = Math.floor(connection.room / 2);
  if (held + asked <= limit) return;
  throw new LimitError(
    `${held} advisory locks are held and ${asked} more were asked for, but a process may hold ${limit}: half of the ` +
      "server's lock table (max_locks_per_transaction x (max_connections + max_prepared_transactions))",
  );
}

async function waitOn(
  connections: LockConnections,
  clock: Clock,
  connection: LockConnection,
  set: LockSet,
  allowance: Allowance,
): Promise<LockConnection | undefined> {
  const { signal } = allowance;
  let ended = false;
  let cancelling: Promise<void> | undefined;
  const abort = (): void => {
    cancelling = (async () => {
      while (!ended) {
        await connections.cancel(connection).catch(() => {});
        if (!ended) await pause(clock, cancelInterval);
      }
    })();
  };
  signal?.addEventListener('abort', abort, { once: true });
  if (signal?.aborted === true) abort();
  let granted = false;
  try {
    granted = await connection.wait(set, allowance.left()).finally(() => {
      ended = true;
    });
    // A cancel names a session, not a statement: the session is not used again before the last one has come back.
    await cancelling;
    if (granted) return await unlessAborted(connection, set, allowance);
    signal?.throwIfAborted();
    return undefined;
  } catch (error) {
    granted = false;
    await cancelling;
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener('abort', abort);
    if (!granted) connections.giveBack(connection);
  }
}

/** The grant, or its return when nobody wants it any more. */
async function unlessAborted(
  connection: LockConnection,
  set: LockSet,
  { signal }: Allowance,
): Promise<LockConnection> {
  if (signal?.aborted !== true) return connection;
  // If it cannot be told to give the lock up, the session itself is.
  await connection.unlock(set).catch(() => connection.close());
  throw signal.reason;
}
