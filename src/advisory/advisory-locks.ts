import { within } from '../core/abort.ts';
import { Acquisition } from '../core/acquisition.ts';
import { Chain } from '../core/chain.ts';
import type { Clock } from '../core/clock.ts';
import type { Duration } from '../core/duration.ts';
import { LockTimeoutError } from '../core/errors.ts';
import { points } from '../core/events.ts';
import type { Key } from '../core/key.ts';
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
import { fenceToken, ping } from '../sql/session-lock.ts';
import { AdvisoryLock, type Asked, aboutAsked, type LockKeeper } from './advisory-lock.ts';
import { Allowance, grant, tryFirst } from './granting.ts';
import { type NumberedSet, type Numbers, numberedKey, numberedKeys } from './keys.ts';
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
  readonly numbers: Numbers;
  readonly schema: string;
  readonly connections: LockConnections;
}

const lockOptions = {
  mode: withDefault(oneOf('exclusive', 'shared'), 'exclusive'),
  wait: optional(duration({ max: Infinity })),
  signal: optional(abortSignal()),
  fence: withDefault(boolean(), false),
};

/** Read once: most calls give none. */
const noOptions = validate('options', {}, lockOptions);

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
  readonly #numbers: Numbers;
  readonly #turns: Turns;
  /** Of all calls that wait or hold. */
  readonly #asked = new Chain<Asked>();
  readonly #closing = new AbortController();
  readonly #keeper: LockKeeper = {
    ended: (asked, connection) => this.#leave(asked, asked.hashes.length, connection),
  };
  #lastLeft = (): void => {};

  /** @internal */
  constructor(context: AdvisoryContext) {
    this.#context = context;
    this.#numbers = context.numbers;
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
  acquire<const Options extends AdvisoryLockOptions>(key: Key, options?: Options): Promise<LockFor<Options>> {
    return this.#ask([key], numberedKey, options, false) as Promise<LockFor<Options>>;
  }

  /**
   * As `acquire`, but answers `null` when the lock is not free, at once or within `wait`: as the database has said. One
   * that does not answer is a DatabaseError.
   */
  async tryAcquire<const Options extends AdvisoryLockOptions>(
    key: Key,
    options?: Options,
  ): Promise<LockFor<Options> | null> {
    return ((await this.#ask([key], numberedKey, options, true)) as LockFor<Options> | undefined) ?? null;
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
    return (await this.#ask(keys, numberedKeys, options, false)) as LockFor<Options>;
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
    return this.#asked.list().flatMap(({ keys }) => keys);
  }

  /** @internal */
  async close(): Promise<void> {
    const { clock, connections } = this.#context;
    this.#closing.abort(closedError());
    const left = new Promise<void>((resolve) => {
      this.#lastLeft = resolve;
      if (this.#asked.empty) resolve();
    });
    for (const { lock } of this.#asked.list()) void lock?.release();
    await within(clock, closeLimit, left);
    await within(clock, closeLimit, connections.close());
  }

  /** The lock; undefined when a call that only tries does not get it. */
  async #ask(
    keys: readonly Key[],
    numberedOf: (numbers: Numbers, keys: readonly Key[]) => NumberedSet,
    given: AdvisoryLockOptions | undefined,
    tries: boolean,
  ): Promise<AdvisoryLock | undefined> {
    const { clock, connections, schema } = this.#context;
    const { hashes, text } = numberedOf(this.#numbers, keys);
    const { mode, wait, signal, fence } =
      given === undefined ? noOptions : validate('options', given, lockOptions);
    const asked: Asked = {
      keys: [...keys],
      text,
      hashes,
      shared: mode === 'shared',
      lock: undefined,
      place: undefined,
    };
    const patience = wait ?? (tries ? 0 : Infinity);
    const allowance = new Allowance(clock, patience, signal, this.#closing.signal);
    allowance.check();
    if (Acquisition.wanted) allowance.acquisition = new Acquisition(clock, aboutAsked(asked), patience);
    asked.place = this.#asked.add(asked);
    let turns = 0;
    let connection: LockConnection | undefined;
    try {
      for (const hash of hashes) {
        const free = this.#turns.enter(hash, asked.shared, asked);
        if (!free && !(await this.#turn(hash, asked, allowance))) break;
        turns += 1;
      }
      if (turns === hashes.length) {
        const first = tryFirst(connections, asked, this.#turns.size);
        let granted = false;
        try {
          granted = first !== undefined && (await first.granted);
        } catch {
          // As below: whether that is the end is decided there.
        }
        connection = granted
          ? first?.connection
          : await grant(connections, clock, asked, allowance, this.#turns.size, first);
      }
      if (connection !== undefined) {
        const token = fence ? await drawToken(connection, schema) : undefined;
        // The grant may have been on its way when the call was ended.
        allowance.check();
        asked.lock = new AdvisoryLock(this.#keeper, connection, asked, token);
        this.#tellGrant(asked.lock, allowance);
        return asked.lock;
      }
    } catch (error) {
      await connection?.unlock(asked);
      this.#leave(asked, turns, connection);
      allowance.acquisition?.failed(error);
      throw error;
    }
    this.#leave(asked, turns);
    allowance.acquisition?.refused();
    if (tries) return undefined;
    throw new LockTimeoutError(text, allowance.used());
  }

  /**
   * Waits for those of this process who came first; false when the time has run out. That they have the lock, or wait for
   * somebody else's, is known from the server: when it does not answer them, it does not answer a question after theirs.
   */
  async #turn(hash: string, asked: Asked, allowance: Allowance): Promise<boolean> {
    const { connections } = this.#context;
    const left = allowance.left();
    const waited = left > 0 ? allowance.acquisition?.wait('process') : undefined;
    let begun = false;
    try {
      begun = await this.#turns.wait(hash, asked.shared, left, allowance.signal, asked);
      if (!begun && !this.#turns.granted(hash)) await (await connections.shared()).run(ping);
      return begun;
    } finally {
      waited?.(begun);
    }
  }

  #tellGrant(lock: AdvisoryLock, { acquisition }: Allowance): void {
    if (points.grant.hasSubscribers)
      points.grant.publish({ ...lock.about(), waited: acquisition?.waited ?? 0 });
    acquisition?.granted();
  }

  /** Ends the first so many turns, and the call. */
  #leave(asked: Asked, turns: number, connection?: LockConnection): void {
    if (connection !== undefined) this.#context.connections.giveBack(connection);
    for (let turn = 0; turn < turns; turn += 1) this.#turns.leave(asked.hashes[turn] as string);
    asked.place?.leave(asked);
    if (this.#asked.empty) this.#lastLeft();
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
