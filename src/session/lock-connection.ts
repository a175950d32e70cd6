import { type Clock, elapsed, type Moment } from '../core/clock.ts';
import { type LossReason, PoolerError } from '../core/errors.ts';
import { type Holding, marginOf, type Tenure } from '../core/handle.ts';
import { hasState, lockNotAvailable } from '../core/sqlstate.ts';
import {
  heldKeys,
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
import { Commands, type Kind } from './commands.ts';
import { Connection, type ConnectionSource } from './connection.ts';
import type { Session } from './link.ts';

/** How sessions that hold locks are made. */
export interface LockSessionOptions {
  readonly source: ConnectionSource;
  readonly clock: Clock;
  /** The server ends a session that was silent for so many milliseconds; a heartbeat keeps a living one from it. */
  readonly ttl: number;
  /** The pooler in between keeps one server connection for each client connection. */
  readonly pooledSessions: boolean;
}

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
  readonly #holdings = new Set<Holding>();
  /** When the last statement was sent that the server has answered. */
  #confirmed: Moment;
  #waiting = false;
  #doubtful = false;
  #idleBeats = 0;
  #cancelBeat = (): void => {};

  private constructor(connection: Connection, room: number, options: LockSessionOptions, sent: Moment) {
    this.#connection = connection;
    this.#options = options;
    this.#confirmed = sent;
    this.pid = connection.pid;
    this.room = room;
    this.#commands = new Commands(() => Promise.resolve(this.#session), 1);
    this.#planBeat();
  }

  /** `ended` is called once, when the session is lost or closed. */
  static async open(options: LockSessionOptions, ended: () => void): Promise<LockConnection> {
    let session: LockConnection | undefined;
    const sent = options.clock.now();
    const connection = await Connection.open(options.source, options.clock, (loss) => {
      if (session !== undefined) session.#end('connection', loss);
      ended();
    });
    try {
      if (connection.pooled && !options.pooledSessions) throw pooled();
      const [row] = await connection.query(prepareSession(options.ttl));
      session = new LockConnection(connection, Number(row?.room), options, sent);
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
    return this.#holdings.size === 0;
  }

  get doubtful(): boolean {
    return this.#doubtful;
  }

  remaining(): number {
    const { clock, ttl } = this.#options;
    const left = this.lost ? 0 : ttl - marginOf(ttl) - elapsed(this.#confirmed, clock.now());
    if (left <= 0) this.#end('expired');
    return left;
  }

  add(holding: Holding): void {
    this.#holdings.add(holding);
  }

  drop(holding: Holding): void {
    this.#holdings.delete(holding);
  }

  /** Takes all keys of the set that are free; true when that was all of them, otherwise it holds none. */
  async try(set: LockSet): Promise<boolean> {
    // Keeps the session from being closed for want of use meanwhile.
    const pending: Holding = { lose() {} };
    this.add(pending);
    try {
      const taken = await this.#commands.submit(this.#tries, set);
      if (taken.length === set.hashes.length) return true;
      if (taken.length > 0) await this.unlock({ hashes: taken, shared: set.shared });
      return false;
    } finally {
      this.drop(pending);
    }
  }

  async unlock(set: LockSet): Promise<void> {
    await this.#commands.submit(this.#unlocks, set);
  }

  /**
   * Waits in the server's queue, so many milliseconds or for ever, and tells whether it got the locks. Whatever goes wrong, nothing is held
   * afterwards: an error of the server does not say that, since a timeout or a cancel can come in the very moment of
   * the grant and leave the lock held (963 of 25,809 timeouts, 1,913 of 4,310 cancels).
   */
  async wait(set: LockSet, wait: number): Promise<boolean> {
    this.#waiting = true;
    try {
      await this.#connection.query(waitForLocks(set, wait === Infinity ? 0 : Math.max(1, wait)), Infinity);
      this.#confirmed = this.#options.clock.now();
      return true;
    } catch (error) {
      if (!this.lost) await this.#connection.query(unlockAll).catch(() => this.close());
      if (hasState(error, lockNotAvailable)) return false;
      throw error;
    } finally {
      this.#waiting = false;
    }
  }

  /** A statement that does not wait and has nothing to do with what is held. */
  async run(statement: Statement): Promise<Row | undefined> {
    return (await this.#connection.query(statement))[0];
  }

  async close(): Promise<void> {
    this.#end('closed');
    await this.#connection.close();
  }

  readonly #tries: Kind<LockSet, bigint[]> = {
    limit: 512,
    statement: tryLocks,
    read: ([row], sets) => readSets(row, sets),
    failed: (sets) => this.#settle(sets),
  };

  readonly #unlocks: Kind<LockSet, bigint[]> = {
    limit: 512,
    statement: unlock,
    read: ([row], sets) => readSets(row, sets),
  };

  /** A statement that fails half-way keeps the session locks that it took before: they are given back. */
  async #settle(sets: readonly LockSet[]): Promise<void> {
    if (this.lost) return;
    try {
      const hashes = sets.flatMap((set) => set.hashes);
      const rows = await this.#connection.query(heldKeys(hashes));
      const held = rows.map((row) => ({ hashes: [BigInt(row.key ?? 0)], shared: row.shared === 'true' }));
      // A shared lock may be held for another caller as well, and the server does not tell how often.
      if (held.some((set) => set.shared)) await this.close();
      else await this.#connection.query(unlock(held));
    } catch {
      await this.close();
    }
  }

  /** The session as batches use it: their answers confirm that it lives. */
  get #session(): Session {
    const { clock } = this.#options;
    const connection = this.#connection;
    return {
      get lost() {
        return connection.lost;
      },
      query: async (statement, limit) => {
        const sent = clock.now();
        const rows = await connection.query(statement, limit);
        this.#confirmed = sent;
        this.#doubtful = false;
        return rows;
      },
    };
  }

  /** Without an answer to the heartbeat the connection is given up, after two thirds of the ttl. */
  #planBeat(): void {
    const { clock, ttl } = this.#options;
    this.#cancelBeat = clock.after(ttl / 3, () => {
      if (this.lost || this.remaining() <= 0) return;
      this.#idleBeats = this.idle && !this.#waiting ? this.#idleBeats + 1 : 0;
      if (this.#idleBeats === 2) void this.close();
      if (this.#idleBeats === 2) return;
      this.#planBeat();
      if (this.#waiting) return;
      this.#doubtful = true;
      this.#session.query(ping, ttl / 3).catch(() => {});
    });
  }

  #end(reason: LossReason, cause?: Error): void {
    this.#cancelBeat();
    for (const holding of [...this.#holdings]) holding.lose(reason, cause);
    this.#holdings.clear();
  }
}

function pooled(): PoolerError {
  return new PoolerError(
    'a pooler stands between this process and the server: in transaction mode a session lock would stay with a server ' +
      'connection that others use. Connect directly, use transaction locks or leases, or set sessions.pooler to ' +
      "'session' when the pooler is in session mode",
  );
}
