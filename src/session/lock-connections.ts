import { cancelWait, findWait } from '../sql/session-lock.ts';
import { closedError } from './database.ts';
import { LockConnection, type LockSessionOptions } from './lock-connection.ts';

/** How many of them there may be, and how each is made. */
export interface LockConnectionsOptions extends LockSessionOptions {
  readonly max: number;
}

/** The sessions for locks of one process: a shared one that tries, and others that wait for one caller each. */
export class LockConnections {
  readonly #options: LockConnectionsOptions;
  /** All that are open or being opened. */
  readonly #open = new Set<Promise<LockConnection>>();
  /** Of these the ones that wait, or hold what they waited for, or are idle. */
  readonly #lent = new Set<Promise<LockConnection>>();
  readonly #idle: LockConnection[] = [];
  readonly #waiters = new WeakSet<LockConnection>();
  #shared: Promise<LockConnection> | undefined;
  #present: LockConnection | undefined;
  #closed = false;

  constructor(options: LockConnectionsOptions) {
    this.#options = options;
  }

  /** The one that never waits, if it is open. */
  get present(): LockConnection | undefined {
    return this.#present;
  }

  /** The one that never waits. */
  shared(): Promise<LockConnection> {
    if (this.#shared !== undefined) return this.#shared;
    const opening = this.#connect(() => {
      this.#shared = undefined;
      this.#present = undefined;
    });
    this.#shared = opening;
    opening.then(
      (connection) => {
        if (this.#shared === opening) this.#present = connection;
      },
      () => {},
    );
    return opening;
  }

  /** One that holds nothing, to wait on; undefined when there are as many as there may be. */
  lend(): Promise<LockConnection> | undefined {
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      if (!idle.lost) return Promise.resolve(idle);
    }
    // One place is kept for the shared one.
    if (this.#lent.size >= this.#options.max - 1) return undefined;
    const opening = this.#connect(() => this.#lent.delete(opening));
    this.#lent.add(opening);
    opening.then(
      (connection) => this.#waiters.add(connection),
      () => {},
    );
    return opening;
  }

  /** What was done on it has ended. If it was lent and holds nothing any more, another caller can wait on it. */
  giveBack(connection: LockConnection): void {
    if (this.#waiters.has(connection) && connection.idle && !connection.lost) this.#idle.push(connection);
  }

  /** Interrupts the wait of a session. */
  async cancel(connection: LockConnection): Promise<void> {
    await (await this.shared()).run(cancelWait(connection.pid));
  }

  /** Whether the server still lets a session wait. */
  async finds(connection: LockConnection): Promise<boolean> {
    return (await (await this.shared()).run(findWait(connection.pid))) !== undefined;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled([...this.#open].map(async (opening) => (await opening).close()));
  }

  #connect(ended: () => void): Promise<LockConnection> {
    if (this.#closed) return Promise.reject(closedError());
    const gone = (): void => {
      if (this.#open.delete(opening)) ended();
    };
    const opening = LockConnection.open(this.#options, gone);
    this.#open.add(opening);
    opening.catch(gone);
    return opening;
  }
}
