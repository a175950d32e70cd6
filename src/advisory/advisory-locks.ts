import { within } from '../core/abort.ts';
import { type Clock, elapsed } from '../core/clock.ts';
import type { Duration } from '../core/duration.ts';
import { ArgumentError, LockTimeoutError } from '../core/errors.ts';
import { type Key, keyHash, keyText } from '../core/key.ts';
import { boolean, duration, oneOf, optional, signal, validate, withDefault } from '../core/options.ts';
import { databaseFailure } from '../core/sqlstate.ts';
import { closedError } from '../session/database.ts';
import type { LockConnection } from '../session/lock-connection.ts';
import type { LockConnections } from '../session/lock-connections.ts';
import { fenceToken, type LockSet } from '../sql/session-lock.ts';
import { AdvisoryLock, type LockKeeper } from './advisory-lock.ts';
import { checkRoom, grant } from './granting.ts';
import { Turns } from './turns.ts';

/** How a session lock is acquired. */
export interface AdvisoryLockOptions {
  /** `'shared'`: with others who also ask for it shared, and nobody exclusive. `'exclusive'` by default. */
  readonly mode?: 'exclusive' | 'shared' | undefined;
  /** How long to wait. For ever by default for `acquire`, `acquireAll` and `using`, 0 for `tryAcquire`. */
  readonly wait?: Duration | undefined;
  /** Ends the wait: the call rejects with the signal's reason once the server holds nothing of it. */
  readonly signal?: AbortSignal | undefined;
  /**
   * `true`: draws a fencing token for `lock.token`, to write into fenced columns. It needs the schema of `migrate` and
   * one more round trip. It is weaker than a lease with its guard: the server frees a session lock when it loses the
   * connection, and nothing keeps the next holder waiting while an old one still writes to rows that are not fenced
   * or that the new one has not written yet. `false` by default.
   */
  readonly fence?: boolean | undefined;
}

/** The lock that a call with these options gives: with a token for sure when it asks for one. */
export type LockFor<Options> = Options extends { readonly fence: true }
  ? AdvisoryLock & { readonly token: bigint }
  : AdvisoryLock;

/** What session locks need of their surroundings. */
export interface AdvisoryContext {
  readonly clock: Clock;
  readonly namespace: string;
  readonly schema: string;
  readonly connections: LockConnections;
}

/** Longest time that `close` waits for a server that does not answer, in milliseconds. */
const closeLimit = 5_000;

/**
 * Session advisory locks: critical sections of any length, freed by the server within milliseconds when the process
 * dies. They need nothing installed. They share their keys with transaction locks: the same key excludes across both.
 *
 * The downsides: no fencing, so a process that was cut off may go on writing after it lost the lock; and they need
 * connections straight to the server, or through a pooler in session mode.
 */
export class AdvisoryLocks implements LockKeeper {
  readonly #context: AdvisoryContext;
  readonly #turns: Turns;
  /** What is held, with the way to let the next caller of this process have its turn. */
  readonly #held = new Map<AdvisoryLock, () => void>();
  /** The keys of the calls that wait or hold. */
  readonly #asked = new Set<readonly Key[]>();
  #keys = 0;
  #closed = false;

  /** @internal */
  constructor(context: AdvisoryContext) {
    this.#context = context;
    this.#turns = new Turns(context.clock);
  }

  /**
   * Waits until the lock is free and takes it: in the order of the calls within a process, and in the order of the
   * server's queue across processes as far as there are connections to wait on (`sessions.max`).
   *
   * @throws LockTimeoutError when `wait` has run out, the signal's reason when it aborts, DatabaseError when the
   * database cannot be reached, PoolerError behind a pooler, StandbyError on a standby, LimitError when the lock table
   * would fill up, ArgumentError for wrong arguments
   *
   * @example
   * await using lock = await fencepost.advisory.acquire('nightly-report', { wait: '10s' });
   */
  async acquire<const Options extends AdvisoryLockOptions>(
    key: Key,
    options?: Options,
  ): Promise<LockFor<Options>> {
    return this.acquireAll([key], options);
  }

  /** As `acquire`, but answers `null` when the lock is not free, at once or within `wait`. */
  async tryAcquire<const Options extends AdvisoryLockOptions>(
    key: Key,
    options?: Options,
  ): Promise<LockFor<Options> | null> {
    return ((await this.#acquire([key], options, 0)) as LockFor<Options> | undefined) ?? null;
  }

  /**
   * All of the keys or none, under one handle. They are locked in one order whatever the order given, so that calls
   * with several keys never wait for each other in a circle.
   *
   * @example
   * await using both = await fencepost.advisory.acquireAll([['account', from], ['account', to]]);
   */
  async acquireAll<const Options extends AdvisoryLockOptions>(
    keys: readonly Key[],
    options?: Options,
  ): Promise<LockFor<Options>> {
    const started = this.#context.clock.now();
    const lock = await this.#acquire(keys, options, Infinity);
    if (lock !== undefined) return lock as LockFor<Options>;
    throw new LockTimeoutError(textOf(keys), elapsed(started, this.#context.clock.now()));
  }

  /**
   * Acquires, runs `work`, and releases whatever happened.
   *
   * @example
   * await fencepost.advisory.using('nightly-report', { mode: 'shared' }, async (lock) => {
   *   await report({ signal: lock.signal });
   * });
   */
  async using<Result>(key: Key, work: (lock: AdvisoryLock) => Promise<Result>): Promise<Result>;
  async using<Result, const Options extends AdvisoryLockOptions>(
    key: Key,
    options: Options,
    work: (lock: LockFor<Options>) => Promise<Result>,
  ): Promise<Result>;
  async using<Result, Lock extends AdvisoryLock>(
    key: Key,
    ...rest: [(lock: Lock) => Promise<Result>] | [AdvisoryLockOptions, (lock: Lock) => Promise<Result>]
  ): Promise<Result> {
    const [options, work] = rest.length === 1 ? [undefined, rest[0]] : rest;
    await using lock = await this.acquire(key, options);
    return await work(lock as Lock);
  }

  /** The keys that this process holds or waits for at the moment. */
  get keys(): Key[] {
    return [...this.#asked].flat();
  }

  /** @internal */
  async giveBack(connection: LockConnection, set: LockSet): Promise<void> {
    await connection.unlock(set).catch((error: unknown) => {
      // With the session the lock is gone as well.
      if (!connection.lost) throw error;
    });
    this.#context.connections.giveBack(connection);
  }

  /** @internal */
  ended(lock: AdvisoryLock): void {
    const leave = this.#held.get(lock);
    this.#held.delete(lock);
    leave?.();
  }

  /** @internal */
  async close(): Promise<void> {
    this.#closed = true;
    const releases = [...this.#held.keys()].map((lock) => lock.release());
    await within(this.#context.clock, closeLimit, Promise.allSettled(releases));
    await this.#context.connections.close();
  }

  async #acquire(
    keys: readonly Key[],
    given: AdvisoryLockOptions | undefined,
    defaultWait: number,
  ): Promise<AdvisoryLock | undefined> {
    const { clock, connections, namespace } = this.#context;
    if (!Array.isArray(keys) || keys.length === 0) throw new ArgumentError('keys', 'an array of keys', keys);
    const hashes = [...new Set(keys.map((key) => keyHash('key', key, namespace)))].sort((a, b) =>
      a < b ? -1 : 1,
    );
    const options = validate('options', given, {
      mode: withDefault(oneOf('exclusive', 'shared'), 'exclusive'),
      wait: withDefault(duration({ max: Infinity }), defaultWait),
      signal: optional(signal()),
      fence: withDefault(boolean(), false),
    });
    const set = { hashes, shared: options.mode === 'shared' };
    const started = clock.now();
    const allowance = {
      left: () => Math.max(0, options.wait - elapsed(started, clock.now())),
      signal: options.signal,
    };
    options.signal?.throwIfAborted();
    const turns: (() => void)[] = [];
    const asked = [...keys];
    this.#asked.add(asked);
    const leave = (): void => {
      this.#asked.delete(asked);
      this.#keys -= turns.length;
      for (const turn of turns.splice(0)) turn();
    };
    try {
      for (const hash of hashes) {
        const turn = await this.#turns.take(hash, set.shared, {
          wait: allowance.left(),
          signal: options.signal,
        });
        if (turn === undefined) return void leave();
        turns.push(turn);
        this.#keys += 1;
      }
      if (this.#closed) throw closedError();
      checkRoom(await connections.shared(), this.#keys - hashes.length, hashes.length);
      const connection = await grant(connections, clock, set, allowance);
      if (connection === undefined) return void leave();
      const token = options.fence ? await this.#draw(connection, set) : undefined;
      const lock = new AdvisoryLock(this, connection, textOf(keys), set, token);
      this.#held.set(lock, leave);
      return lock;
    } catch (error) {
      leave();
      throw error;
    }
  }

  /** A token drawn under the lock; without one the lock is given back. */
  async #draw(connection: LockConnection, set: LockSet): Promise<bigint> {
    const { schema } = this.#context;
    try {
      return BigInt((await connection.run(fenceToken(schema)))?.answer ?? '');
    } catch (error) {
      await this.giveBack(connection, set).catch(() => connection.close());
      throw databaseFailure('draw a fencing token', error, schema);
    }
  }
}

function textOf(keys: readonly Key[]): string {
  return keys.map((key) => keyText('key', key)).join(', ');
}
