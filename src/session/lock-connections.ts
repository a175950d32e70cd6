import { cancel } from '../sql/session-lock.ts';
import { closedError } from './database.ts';
import { LockConnection, type LockSessionOptions } from './lock-connection.ts';

/** How many of them there may be, and how each is made. */
export interface LockConnectionsOptions extends LockSessionOptions {
  readonly max: number;
}

/** The sessions for locks of one process: a shared one that tries, and others that wait for one caller each. */
export class LockConnections {
  readonly #options: LockConnectionsOptions;
  /** Those that wait, or hold what they waited for, or are being opened for it, or are idle. */
  readonly #lent = new Set<object>();
  readonly #idle: LockConnection[] = [];
  readonly #waiters = new WeakSet<LockConnection>();
  readonly #open = new Set<LockConnection>();
  #shared: Promise<LockConnection> | undefined;
  #closed = false;

  constructor(options: LockConnectionsOptions) {
    this.#options = options;
  }

  /** The one that never waits. */
  async shared(): Promise<LockConnection> {
    const present = this.#shared;
    if (present !== undefined) {
      const connection = await present.catch(() => undefined);
      if (connection !== undefined && !connection.lost) return connection;
      if (this.#shared !== present) return this.shared();
    }
    this.#shared = this.#connect(() => {});
    return this.#shared;
  }

  /** One that holds nothing, to wait on; undefined when there are as many as there may be. */
  lend(): Promise<LockConnection> | undefined {
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      if (!idle.lost) return Promise.resolve(idle);
    }
    // One place is kept for the shared one.
    if (this.#lent.size >= this.#options.max - 1) return undefined;
    const place = {};
    this.#lent.add(place);
    const leave = (): void => {
      this.#lent.delete(place);
    };
    const opening = this.#connect(leave);
    opening.then((connection) => this.#waiters.add(connection), leave);
    return opening;
  }

  /** What was done on it has ended. If it was lent and holds nothing any more, another caller can wait on it. */
  giveBack(connection: LockConnection): void {
    if (this.#waiters.has(connection) && connection.idle && !connection.lost) this.#idle.push(connection);
  }

  /** Interrupts the statement of another session. */
  async cancel(connection: LockConnection): Promise<void> {
    await (await this.shared()).run(cancel(connection.pid));
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#open].map((connection) => connection.close()));
  }

  async #connect(ended: () => void): Promise<LockConnection> {
    if (this.#closed) throw closedError();
    const connection: LockConnection = await LockConnection.open(this.#options, () => {
      this.#open.delete(connection);
      ended();
    });
    this.#open.add(connection);
    return connection;
  }
}
