import { within } from '../core/abort.ts';
import { type Clock, elapsed } from '../core/clock.ts';
import type { Duration } from '../core/duration.ts';
import { LockTimeoutError } from '../core/errors.ts';
import { type Key, keyHash } from '../core/key.ts';
import {
  signal as abortSignal,
  boolean,
  duration,
  oneOf,
  optional,
  validate,
  withDefault,
} from '../core/options.ts';
import { databaseFailure } from '../core/sqlstate.ts';
import { closedError } from '../session/database.ts';
import type { LockConnection } from '../session/lock-connection.ts';
import type { LockConnections } from '../session/lock-connections.ts';
import { fenceToken } from '../sql/session-lock.ts';
import { AdvisoryLock, type LockKeeper } from './advisory-lock.ts';
import { checkRoom, checkWanted, grant } from './granting.ts';
import { hashesOf, textOf } from './keys.ts';
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
export class AdvisoryLocks {
  readonly #context: AdvisoryContext;
  readonly #turns: Turns;
  /** What is held, with the way to let the next caller of this process have its turn. */
  readonly #held = new Map<AdvisoryLock, () => void>();
  /** The keys of the calls that wait or hold. */
  readonly #asked = new Set<readonly Key[]>();
  readonly #closing = new AbortController();
  readonly #keeper: LockKeeper = {
    giveBack: (connection, set) => this.#context.connections.unlock(connection, set),
    ended: (lock) => {
      const leave = this.#held.get(lock);
      this.#held.delete(lock);
      leave?.();
    },
  };
  #lastLeft = (): void => {};

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
    return this.#acquire([key], [keyHash('key', key, this.#context.namespace)], options);
  }

  /** As `acquire`, but answers `null` when the lock is not free, at once or within `wait`. */
  async tryAcquire<const Options extends AdvisoryLockOptions>(
    key: Key,
    options?: Options,
  ): Promise<LockFor<Options> | null> {
    const hash = keyHash('key', key, this.#context.namespace);
    return ((await this.#ask([key], [hash], options, 0)) as LockFor<Options> | undefined) ?? null;
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
    return this.#acquire(keys, hashesOf(keys, this.#context.namespace), options);
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
  async close(): Promise<void> {
    const { clock, connections } = this.#context;
    this.#closing.abort(closedError());
    const left = new Promise<void>((resolve) => {
      this.#lastLeft = resolve;
      if (this.#asked.size === 0) resolve();
    });
    for (const lock of this.#held.keys()) void lock.release();
    await within(clock, closeLimit, left);
    await within(clock, closeLimit, connections.close());
  }

  async #acquire<Options extends AdvisoryLockOptions>(
    keys: readonly Key[],
    hashes: readonly bigint[],
    options: Options | undefined,
  ): Promise<LockFor<Options>> {
    const { clock } = this.#context;
    const started = clock.now();
    const lock = await this.#ask(keys, hashes, options, Infinity);
    if (lock !== undefined) return lock as LockFor<Options>;
    throw new LockTimeoutError(textOf(keys), elapsed(started, clock.now()));
  }

  async #ask(
    keys: readonly Key[],
    hashes: readonly bigint[],
    given: AdvisoryLockOptions | undefined,
    defaultWait: number,
  ): Promise<AdvisoryLock | undefined> {
    const { clock, connections, schema } = this.#context;
    const { mode, wait, signal, fence } = validate('options', given, {
      mode: withDefault(oneOf('exclusive', 'shared'), 'exclusive'),
      wait: withDefault(duration({ max: Infinity }), defaultWait),
      signal: optional(abortSignal()),
      fence: withDefault(boolean(), false),
    });
    const set = { hashes, shared: mode === 'shared' };
    const started = clock.now();
    const left = (): number => Math.max(0, wait - elapsed(started, clock.now()));
    const allowance = { left, signal, closing: this.#closing.signal };
    checkWanted(allowance);
    const asked = [...keys];
    this.#asked.add(asked);
    const turns: (() => void)[] = [];
    const leave = (): void => {
      for (const turn of turns) turn();
      this.#asked.delete(asked);
      if (this.#asked.size === 0) this.#lastLeft();
    };
    let connection: LockConnection | undefined;
    try {
      for (const hash of hashes) {
        const turn = await this.#turns.take(hash, set.shared, { wait: left(), signal });
        if (turn === undefined) return void leave();
        turns.push(turn);
      }
      checkWanted(allowance);
      checkRoom(await connections.shared(), this.#turns.size);
      connection = await grant(connections, clock, set, allowance);
      if (connection === undefined) return void leave();
      const token = fence ? await drawToken(connection, schema) : undefined;
      // The grant may have been on its way when the call was ended.
      checkWanted(allowance);
      const lock = new AdvisoryLock(this.#keeper, connection, textOf(keys), set, token);
      this.#held.set(lock, leave);
      return lock;
    } catch (error) {
      if (connection !== undefined) await connections.unlock(connection, set);
      leave();
      throw error;
    }
  }
}

/** By the session that holds the lock: another one could still draw it after the lock was lost, and too great a one. */
async function drawToken(connection: LockConnection, schema: string): Promise<bigint> {
  try {
    return BigInt((await connection.run(fenceToken(schema)))?.answer ?? '');
  } catch (error) {
    throw databaseFailure('draw a fencing token', error, schema);
  }
}
