import { Chain, type Place } from '../../core/chain.ts';
import { type Clock, keepAlive, systemClock } from '../../core/clock.ts';
import { DatabaseError, type LossReason } from '../../core/errors.ts';
import type { Holding, Tenure } from '../../core/handle.ts';
import { closedError } from '../../session/database.ts';
import type { LockConnection } from '../../session/lock-connection.ts';
import type { LockConnections } from '../../session/lock-connections.ts';
import { Pulse } from '../../session/pulse.ts';
import type { LockSet } from '../../sql/session-lock.ts';
import type { Row } from '../../sql/statement.ts';
import type { LockTable } from './lock-table.ts';

/** What sessions need of their surroundings. */
export interface SessionContext {
  readonly table: LockTable;
  /** Of the process. The server has its own, which nobody stops. */
  readonly clock: Clock;
  readonly ttl: number;
  /** Draws a token for `fence: true`. */
  drawToken(): bigint;
}

/** Has the face of a `LockConnection`: all that is held on it is lost together when it ends. */
class MemorySession implements Tenure {
  readonly pid = 0;
  readonly room = Infinity;
  readonly #context: SessionContext;
  readonly #ended: () => void;
  readonly #holdings = new Chain<Holding>();
  readonly #pulse: Pulse;
  /** As a socket does. */
  readonly #rest = keepAlive();
  #lost = false;
  /** The server has ended it, and it does not know yet. */
  #gone = false;
  #cancelWait = (): void => {};
  #cancelEnd = (): void => {};

  constructor(context: SessionContext, ended: () => void) {
    this.#context = context;
    this.#ended = ended;
    this.#pulse = new Pulse(context.clock, context.ttl, context.clock.now(), () => this.#beat());
    this.#beat();
  }

  get lost(): boolean {
    return this.#lost;
  }

  get idle(): boolean {
    return this.#holdings.empty;
  }

  get doubtful(): boolean {
    return this.#pulse.late;
  }

  remaining(): number {
    const left = this.#lost ? 0 : this.#pulse.remaining;
    if (left <= 0) this.end('expired');
    return left;
  }

  add(holding: Holding): Place<Holding> {
    return this.#holdings.add(holding);
  }

  async try(set: LockSet): Promise<boolean> {
    await this.#answer();
    return this.#context.table.take(this, set);
  }

  async unlock(set: LockSet): Promise<void> {
    await Promise.resolve();
    this.#context.table.free(this, set);
  }

  /** In the server's queue, so many milliseconds or for ever. */
  async wait(set: LockSet, limit: number): Promise<boolean> {
    await this.#answer();
    const { table } = this.#context;
    const { promise, resolve, reject } = Promise.withResolvers<boolean>();
    const leave = table.wait(this, set, () => resolve(true));
    const stop = limit === Infinity ? () => {} : systemClock.after(limit, () => resolve(false));
    this.#cancelWait = () => reject(canceled());
    try {
      const granted = await promise;
      if (this.#lost) throw lostMeanwhile();
      return granted;
    } finally {
      stop();
      leave();
      this.#cancelWait = () => {};
    }
  }

  cancel(): void {
    this.#cancelWait();
  }

  /** There is one statement that sessions are asked for: a token. */
  async run(): Promise<Row> {
    await this.#answer();
    return { answer: String(this.#context.drawToken()) };
  }

  async die(): Promise<void> {
    this.end('connection');
  }

  async close(): Promise<void> {
    this.end('closed');
  }

  end(reason: LossReason): void {
    if (this.#lost) return;
    this.#lost = true;
    this.#pulse.stop();
    this.#rest();
    this.#cancelEnd();
    for (const holding of this.#holdings.list()) holding.lose(reason);
    this.#context.table.freeAll(this);
    this.#cancelWait();
    this.#ended();
  }

  /** As what it stands for: that class has private parts, which no other can have. */
  get face(): LockConnection {
    return this as unknown as LockConnection;
  }

  async #answer(): Promise<void> {
    await Promise.resolve();
    if (this.#gone) this.end('connection');
    if (this.#lost) throw lostMeanwhile();
    this.#beat();
  }

  /** A sign of life. The server ends a session that gives none for so long, on its own clock. */
  #beat(): void {
    // The deadline comes first: what slept past it is not there any more.
    if (this.remaining() <= 0) return;
    this.#pulse.confirm(this.#context.clock.now());
    this.#cancelEnd();
    this.#cancelEnd = systemClock.after(this.#context.ttl, () => {
      this.#gone = true;
      this.#context.table.freeAll(this);
    });
  }
}

/** Has the face of `LockConnections`: one session that tries, and one for each caller that waits. */
export class MemorySessions {
  readonly #context: SessionContext;
  readonly #open = new Set<MemorySession>();
  #shared: MemorySession | undefined;
  #closed = false;

  constructor(context: SessionContext) {
    this.#context = context;
  }

  async shared(): Promise<LockConnection> {
    if (this.#shared === undefined || this.#shared.lost) this.#shared = this.#session();
    return this.#shared.face;
  }

  async lend(): Promise<LockConnection> {
    return this.#session().face;
  }

  giveBack(connection: LockConnection): void {
    const session = connection as unknown as MemorySession;
    if (session !== this.#shared && session.idle) void session.close();
  }

  async cancel(connection: LockConnection): Promise<void> {
    (connection as unknown as MemorySession).cancel();
  }

  async finds(): Promise<boolean> {
    return true;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const session of [...this.#open]) await session.close();
  }

  /** As what it stands for. */
  get face(): LockConnections {
    return this as unknown as LockConnections;
  }

  #session(): MemorySession {
    if (this.#closed) throw closedError();
    const session: MemorySession = new MemorySession(this.#context, () => this.#open.delete(session));
    this.#open.add(session);
    return session;
  }
}

function lostMeanwhile(): DatabaseError {
  return failed('the session was lost before the answer came');
}

function canceled(): DatabaseError {
  return failed('the wait was cancelled');
}

function failed(message: string): DatabaseError {
  return new DatabaseError(message, {
    cause: undefined,
    retriable: true,
    sqlState: undefined,
    inDoubt: false,
  });
}
