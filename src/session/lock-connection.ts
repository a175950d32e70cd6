import { Chain, type Place } from '../core/chain.ts';
import type { Clock, Moment } from '../core/clock.ts';
import { DatabaseError, type LossReason, PoolerError } from '../core/errors.ts';
import { type RenewEvent, spans } from '../core/events.ts';
import type { Holding, Tenure } from '../core/handle.ts';
import { hasState, lockNotAvailable } from '../core/sqlstate.ts';
import {
  endSession,
  type LockSet,
  ping,
  prepareSession,
  readSets,
  tryLocks,
  unlock,
  unlockAll,
  waitForLocks,
} from '../sql/session-lock.ts';
import type { Row, Statement } from '../sql/statement.ts';
import type { ConnectionSource } from './client.ts';
import { Commands, type Kind } from './commands.ts';
import { Connection } from './connection.ts';
import type { Session } from './link.ts';
import { Pulse } from './pulse.ts';

/** How sessions that hold locks are made. */
export interface LockSessionOptions {
  readonly source: ConnectionSource;
  readonly clock: Clock;
  /** The server ends a session that was silent for so many milliseconds; a heartbeat keeps a living one from it. */
  readonly ttl: number;
  /** The pooler in between keeps one server connection for each client connection. */
  readonly pooledSessions: boolean;
}

/** Longest time to be without an answer, in milliseconds, however long the ttl is. */
const longestAnswer = 10_000;

/** Asks another session whether the server still lets this one wait. */
export type FindWait = () => Promise<boolean>;

/**
 * A server session that holds locks. Everything on it is lost together when it ends.
 *
 * It either tries, for many callers at a time, and then never waits; or it waits for one caller, and then holds nothing.
 */
export class LockConnection implements Tenure {
  readonly pid: number;
  /** How many locks the server's lock table has room for, nominally. */
  readonly room: number;
  readonly #connection: Connection;
  readonly #options: LockSessionOptions;
  readonly #commands: Commands;
  readonly #holdings = new Chain<Holding>();
  /** The shared keys that it has or has asked for, as often as it has done so. */
  readonly #shared = new Set<LockSet>();
  readonly #pulse: Pulse;
  #findWait: FindWait | undefined;
  /** Heartbeats in a row at which it held nothing, or at which the wait was not found on the server. */
  #idleBeats = 0;

  private constructor(connection: Connection, room: number, options: LockSessionOptions, sent: Moment) {
    this.#connection = connection;
    this.#options = options;
    this.#pulse = new Pulse(options.clock, options.ttl, sent, () => this.#beat());
    this.pid = connection.pid;
    this.room = room;
    const session: Session = {
      get lost() {
        return connection.lost;
      },
      query: (statement) => this.#ask(statement),
      close: () => this.close(),
    };
    // Two statements under way: the server is at work on one while this process is at work on the answers to the other.
    this.#commands = new Commands(() => Promise.resolve(session), options.clock, 2);
  }

  /** `ended` is called when the session is lost or closed, also when that happens while it is opened. */
  static async open(options: LockSessionOptions, ended: () => void): Promise<LockConnection> {
    let session: LockConnection | undefined;
    const sent = options.clock.now();
    const lost = (loss: Error): void => {
      if (session !== undefined) session.#end('connection', loss);
      ended();
    };
    const connection = await Connection.open(options.source, options.clock, lost, { purpose: 'locks' });
    try {
      if (connection.pooled && !options.pooledSessions) throw pooled();
      const [row] = await connection.query(prepareSession(options.ttl));
      if (connection.lost) throw lostMeanwhile();
      session = new LockConnection(connection, Number(row?.room), options, sent);
      await session.#check(row);
      return session;
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  get lost(): boolean {
    return this.#connection.lost;
  }

  get idle(): boolean {
    return this.#holdings.empty;
  }

  get doubtful(): boolean {
    return this.#pulse.late;
  }

  remaining(): number {
    if (this.lost) return 0;
    const { remaining } = this.#pulse;
    if (remaining <= 0) {
      this.#end('expired');
      void this.#connection.close();
    }
    return remaining;
  }

  add(holding: Holding): Place<Holding> {
    return this.#holdings.add(holding);
  }

  /** Takes all keys of the set that are free; true when that was all of them, otherwise it holds none. */
  try(set: LockSet): Promise<boolean> {
    return this.#commands.submit(this.#tries, set);
  }

  /** Ends when the session does not have the locks any more, and be it because it was closed. */
  unlock(set: LockSet): Promise<void> {
    return this.#commands.submit(this.#unlocks, set);
  }

  /**
   * Waits in the server's queue, so many milliseconds or for ever, and tells whether it got the locks. Whatever goes
   * wrong, nothing is held afterwards: an error of the server does not say that, since a timeout or a cancel can come
   * in the very moment of the grant and leave the lock held (963 of 25,809 timeouts, 1,913 of 4,310 cancels).
   */
  async wait(set: LockSet, wait: number, findWait: FindWait): Promise<boolean> {
    this.#findWait = findWait;
    try {
      await this.#ask(waitForLocks(set, wait, this.pid), Infinity);
      // The grant can be as old as the wait: only a new answer says that the session is still there.
      if (this.doubtful) await this.#ask(ping);
      this.#checkTrusted();
      if (set.shared) this.#shared.add(set);
      return true;
    } catch (error) {
      if (!this.lost) await this.#ask(unlockAll).catch(() => this.#giveUp());
      if (hasState(error, lockNotAvailable)) return false;
      throw error;
    } finally {
      this.#findWait = undefined;
      this.#idleBeats = 0;
    }
  }

  /** A statement that does not wait and changes nothing of what is held, and the first row of its answer. */
  run(statement: Statement): Promise<Row | undefined> {
    return this.#commands.run(statement);
  }

  async die(): Promise<void> {
    await this.#connection.query(endSession).catch(() => {});
    if (!this.lost) await this.close();
  }

  async close(): Promise<void> {
    this.#end('closed');
    await this.#connection.close();
  }

  readonly #tries: Kind<LockSet, boolean | Promise<boolean>> = {
    limit: 512,
    statement: (sets) => {
      for (const set of sets) if (set.shared) this.#shared.add(set);
      return tryLocks(sets, this.pid);
    },
    read: ([row], sets) => {
      this.#checkTrusted();
      return readSets(row, sets).map((taken, place) => {
        const set = sets[place] as LockSet;
        if (taken.length === set.hashes.length) return true;
        this.#shared.delete(set);
        return taken.length > 0 && this.unlock({ hashes: taken, shared: set.shared }).then(() => false);
      });
    },
    failed: (_, sets) => this.#undo(sets),
  };

  readonly #unlocks: Kind<LockSet, void> = {
    limit: 512,
    statement: (sets) => unlock(sets, this.pid),
    read: (_, sets) => this.#hasNot(sets),
    failed: async (_, sets) => {
      await this.#giveUp();
      return this.#hasNot(sets);
    },
  };

  /**
   * A statement that fails half-way keeps the session locks that it took before: all of its keys are unlocked. Of a
   * shared one that this session had already, or gets by the next statement, which may be under way, the server does
   * not tell how often it has it.
   */
  async #undo(sets: readonly LockSet[]): Promise<undefined> {
    this.#hasNot(sets);
    const had = new Set([...this.#shared].flatMap(({ hashes }) => hashes));
    const unclear = sets.some(({ shared, hashes }) => shared && hashes.some((hash) => had.has(hash)));
    if (unclear) await this.#giveUp();
    else if (!this.lost) await this.#ask(unlock(sets, this.pid)).catch(() => this.#giveUp());
  }

  /** With the session goes all that is held on it. */
  async #giveUp(): Promise<void> {
    if (!this.lost) await this.close();
  }

  /** What was granted may have been lost before the answer came. */
  #checkTrusted(): void {
    if (this.remaining() <= 0) throw lostMeanwhile();
  }

  #hasNot(sets: readonly LockSet[]): [] {
    for (const set of sets) if (set.shared) this.#shared.delete(set);
    return [];
  }

  /** What does not wait is answered soon, or never. */
  async #ask(statement: Statement, limit = Math.min(this.#options.ttl / 3, longestAnswer)): Promise<Row[]> {
    const sent = this.#pulse.now();
    const rows = await this.#connection.query(statement, limit);
    await this.#check(rows[0]);
    this.#pulse.confirm(sent);
    return rows;
  }

  /** Behind a pooler that is in session mode all answers come from one server process. */
  async #check(row: Row | undefined): Promise<void> {
    if (row?.pid === undefined || Number(row.pid) === this.pid) return;
    const error = pooled();
    this.#end('connection', error);
    await this.#connection.close();
    throw error;
  }

  /** A heartbeat that is not answered within a third of the ttl is the end, two thirds after the last answer. */
  #beat(): void {
    if (this.#findWait !== undefined) return void this.#lookAfter(this.#findWait);
    if (this.remaining() <= 0) return;
    this.#idleBeats = this.idle && this.#commands.idle ? this.#idleBeats + 1 : 0;
    if (this.#idleBeats === 2) void this.close();
    else this.#ping().catch(() => {});
  }

  async #ping(): Promise<void> {
    if (!spans.renew.hasSubscribers) return void (await this.run(ping));
    const { ttl } = this.#options;
    const { age } = this.#pulse;
    const lag = Math.max(0, age - ttl / 3);
    const holder = String(this.pid);
    const event: RenewEvent = { of: 'session', holder, key: undefined, ttl, since: age, lag };
    await spans.renew.tracePromise(async () => {
      await this.run(ping);
      event.alive = !this.lost;
    }, event);
  }

  /** A session that waits cannot answer. When the server has none that waits, its answer is lost, or on its way. */
  async #lookAfter(findWait: FindWait): Promise<void> {
    const found = await findWait().catch(() => false);
    if (findWait !== this.#findWait) return;
    this.#idleBeats = found ? 0 : this.#idleBeats + 1;
    if (this.#idleBeats === 2) await this.close();
  }

  #end(reason: LossReason, cause?: Error): void {
    this.#pulse.stop();
    for (const holding of this.#holdings.list()) holding.lose(reason, cause);
  }
}

function pooled(): PoolerError {
  return new PoolerError(
    'a pooler stands between this process and the server: in transaction mode a session lock would stay with a server ' +
      'connection that others use. Connect directly, use transaction locks or leases, or set sessions.pooler to ' +
      "'session' when the pooler is in session mode",
  );
}

function lostMeanwhile(): DatabaseError {
  return new DatabaseError('the connection to the database was lost before the answer came', {
    cause: undefined,
    retriable: true,
    sqlState: undefined,
    inDoubt: true,
  });
}
