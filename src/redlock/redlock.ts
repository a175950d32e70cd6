import { randomBytes } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { pause } from '../core/abort.ts';
import { elapsed, keepAlive, type Moment, systemClock } from '../core/clock.ts';
import { ArgumentError } from '../core/errors.ts';
import { Fencepost } from '../fencepost.ts';
import { type Ballot, ballot, type ExecutionResult, type ExecutionStats } from './ballot.ts';
import { ExecutionError, LockError, ResourceLockedError } from './errors.ts';
import { failure, lostError } from './failure.ts';
import { Grants } from './grants.ts';
import { type Callback, called, LegacyLock } from './legacy-lock.ts';
import { Lock } from './lock.ts';
import {
  expirationOf,
  patienceOf,
  readDuration,
  readResources,
  readSettings,
  retryDelayOf,
  type Settings,
  termOf,
  validityOf,
} from './settings.ts';
import { type RedlockAbortSignal, useLock } from './using.ts';

const clock = systemClock;

/** One server, or a majority of several that know nothing of each other, keeps locks by the face of node-redlock. */
export class Redlock extends EventEmitter {
  // What CommonJS programs take from the module: require() gives them this class.
  static readonly default = Redlock;
  static readonly Lock = Lock;
  static readonly LockError = LockError;
  static readonly ExecutionError = ExecutionError;
  static readonly ResourceLockedError = ResourceLockedError;

  readonly clients: ReadonlySet<Fencepost>;
  readonly settings: Settings;

  /**
   * `clients`: one Fencepost for each independent server. The resource `'a'` is the lease of the key `'a'` there.
   *
   * @example
   * const redlock = new Redlock([new Fencepost({ connection: process.env.DATABASE_URL })], { retryCount: 3 });
   */
  constructor(clients: Iterable<Fencepost>, settings?: Partial<Settings>) {
    super();
    // Without a listener an emitted 'error' ends the process, and here one is told of what is worked around.
    this.on('error', () => {});
    this.clients = new Set(clients);
    const stranger = [...this.clients].find((client) => !(client instanceof Fencepost));
    if (this.clients.size === 0 || stranger !== undefined)
      throw new ArgumentError('clients', 'at least one Fencepost, and nothing else', stranger ?? clients);
    this.settings = readSettings(settings);
  }

  /**
   * Locks all of the resources, or none, for so many milliseconds, with as many attempts as `settings` allow. The
   * duration counts from when the attempt began that succeeded.
   *
   * With a string or with a callback it is `lock` of version 4.
   *
   * @throws ExecutionError with the `reason` `locked` or `unreachable`; ArgumentError for wrong arguments
   */
  acquire(resources: readonly string[], duration: number, settings?: Partial<Settings>): Promise<Lock>;
  acquire(
    resource: string | readonly string[],
    duration: number,
    callback?: Callback<LegacyLock>,
  ): Promise<LegacyLock>;
  acquire(
    resources: string | readonly string[],
    duration: number,
    last?: Partial<Settings> | Callback<LegacyLock>,
  ): Promise<Lock | LegacyLock> {
    if (typeof last === 'function') return this.lock(resources, duration, last);
    if (typeof resources === 'string') return this.lockWithOptions(resources, duration, last ?? {});
    return this.#acquire(resources, duration, last);
  }

  /**
   * Frees the resources on all servers; ends when a majority has confirmed it. Harmless when it was released before.
   * What cannot be reached is told again until it answers or the lock has expired there.
   *
   * @throws ExecutionError at once, with the reason `lost`, when the lock was lost meanwhile; with the reason
   * `unreachable` when the servers have not answered for `retryCount` times `retryDelay`
   */
  release(lock: LegacyLock, callback?: Callback<void>): Promise<void>;
  release(lock: Lock, settings?: Partial<Settings>): Promise<ExecutionResult>;
  release(lock: Lock | LegacyLock, last?: Partial<Settings> | Callback<void>): Promise<unknown> {
    if (lock instanceof LegacyLock) return lock.unlock(typeof last === 'function' ? last : undefined);
    return this.#release(lock, typeof last === 'function' ? undefined : last);
  }

  /**
   * The lock with so many milliseconds from now on, as a new object; the old one has ended. A lock of version 4 stays
   * the same object. Tries again as `settings` allow, and no longer than the lock is valid.
   *
   * @throws ExecutionError with the reason `lost`, at once, or `unreachable`
   */
  extend(lock: LegacyLock, duration: number, callback?: Callback<LegacyLock>): Promise<LegacyLock>;
  extend(lock: Lock, duration: number, settings?: Partial<Settings>): Promise<Lock>;
  extend(
    lock: Lock | LegacyLock,
    duration: number,
    last?: Partial<Settings> | Callback<LegacyLock>,
  ): Promise<Lock | LegacyLock> {
    if (lock instanceof LegacyLock)
      return lock.extend(duration, typeof last === 'function' ? last : undefined);
    return this.#extend(lock, duration, typeof last === 'function' ? undefined : last);
  }

  /**
   * Runs a routine under a lock that is extended each time that `automaticExtensionThreshold` milliseconds of it are
   * left, and releases it. When it can be extended no more, `signal` aborts, with the error as `signal.error` and as its
   * reason. What the routine throws comes out, whatever the release says.
   *
   * @throws what `acquire` and `release` throw, and ArgumentError when the duration is not 100 ms longer than the threshold
   *
   * @example
   * await redlock.using(['account:1', 'account:2'], 5_000, async (signal) => {
   *   await something();
   *   if (signal.aborted) throw signal.error;
   * });
   */
  using<Result>(
    resources: readonly string[],
    duration: number,
    settings: Partial<Settings>,
    routine?: (signal: RedlockAbortSignal) => Promise<Result>,
  ): Promise<Result>;
  using<Result>(
    resources: readonly string[],
    duration: number,
    routine: (signal: RedlockAbortSignal) => Promise<Result>,
  ): Promise<Result>;
  async using<Result>(resources: readonly string[], duration: number, ...rest: unknown[]): Promise<Result> {
    const [given, routine] = rest.length === 1 ? [undefined, rest[0]] : rest;
    const settings = readSettings(given as Partial<Settings> | undefined, this.settings);
    return useLock({
      clock,
      duration: readDuration(duration),
      settings,
      acquire: () => this.acquire(resources, duration, settings),
      routine: routine as (signal: RedlockAbortSignal) => Promise<Result>,
    });
  }

  /** Closes the clients. As with a client of Redis, what was not released stays locked until it expires. */
  async quit(): Promise<void> {
    await Promise.all([...this.clients].map((client) => client.close()));
  }

  /** `acquire` of version 4. */
  lock(
    resource: string | readonly string[],
    duration: number,
    callback?: Callback<LegacyLock>,
  ): Promise<LegacyLock> {
    return this.lockWithOptions(resource, duration, {}, callback);
  }

  /** `acquire` of version 4, with settings of its own. */
  lockWithOptions(
    resource: string | readonly string[],
    duration: number,
    options: Partial<Settings>,
    callback?: Callback<LegacyLock>,
  ): Promise<LegacyLock> {
    const { retryCount = this.settings.retryCount } = options;
    const locking = this.#acquire(resource, duration, options).then(
      (lock) => new LegacyLock(lock, retryCount),
    );
    return called(locking, callback);
  }

  /** As `lockWithOptions`. */
  acquireWithOptions(
    resource: string | readonly string[],
    duration: number,
    options: Partial<Settings>,
    callback?: Callback<LegacyLock>,
  ): Promise<LegacyLock> {
    return this.lockWithOptions(resource, duration, options, callback);
  }

  /** `release` of version 4. */
  unlock(lock: LegacyLock | Lock, callback?: Callback<void>): Promise<void> {
    return lock instanceof LegacyLock ? lock.unlock(callback) : called(lock.unlock(), callback);
  }

  async #acquire(
    given: string | readonly string[],
    wanted: number,
    settings: Partial<Settings> | undefined,
  ): Promise<Lock> {
    const resources = readResources(given);
    const duration = readDuration(wanted);
    const rules = readSettings(settings, this.settings);
    const validity = validityOf(duration, rules);
    const patience = patienceOf(validity, this.clients.size);
    const attempts: Promise<ExecutionStats>[] = [];
    const letGo = keepAlive();
    try {
      for (;;) {
        const grants = new Grants();
        const started = clock.now();
        const round = this.#ballot(patience, (client) => grants.take(client, resources, termOf(validity)));
        attempts.push(round.stats);
        // A majority that took longer than the lock is valid is none.
        if ((await round.passed) && elapsed(started, clock.now()) < validity) {
          const names = typeof given === 'string' ? [given] : [...given];
          const value = randomBytes(16).toString('hex');
          const expiration = expirationOf(started, validity);
          return new Lock({ redlock: this, resources: names, value, attempts, expiration, grants });
        }
        await grants.abandon(clock, patience);
        if (attempts.length > rules.retryCount && rules.retryCount !== -1)
          throw failure(`lock ${resources.join(', ')}`, attempts, round, 'locked');
        await pause(clock, retryDelayOf(rules));
      }
    } finally {
      letGo();
    }
  }

  async #release(lock: Lock, settings: Partial<Settings> | undefined): Promise<ExecutionResult> {
    const { retryCount, retryDelay } = readSettings(settings, this.settings);
    const patience = retryCount === -1 ? Infinity : Math.max(1_000, retryCount * retryDelay);
    lock.expiration = 0;
    lock.grants.close();
    const round = this.#ballot(patience, (client) => lock.grants.release(client));
    if (await round.passed) return { attempts: [round.stats] };
    throw failure(`release ${lock.resources.join(', ')}`, [round.stats], round, 'lost');
  }

  async #extend(lock: Lock, wanted: number, settings: Partial<Settings> | undefined): Promise<Lock> {
    const duration = readDuration(wanted);
    const rules = readSettings(settings, this.settings);
    const validity = validityOf(duration, rules);
    const { resources, grants } = lock;
    const doing = `extend ${resources.join(', ')}`;
    const attempts: Promise<ExecutionStats>[] = [];
    const letGo = keepAlive();
    try {
      for (let round: Ballot | undefined; ; ) {
        const started: Moment = clock.now();
        const left = lock.expiration - started.wall;
        if (left <= 0) throw lostError(doing, attempts, round);
        const patience = Math.min(left, patienceOf(validity, this.clients.size));
        round = this.#ballot(patience, (client) => grants.extend(client, termOf(validity)));
        attempts.push(round.stats);
        const expiration = expirationOf(started, validity);
        if ((await round.passed) && elapsed(started, clock.now()) < validity) {
          lock.expiration = 0;
          return new Lock({ redlock: this, resources, value: lock.value, attempts, expiration, grants });
        }
        // Some servers may have given a shorter term than there was.
        lock.expiration = Math.min(lock.expiration, expiration);
        const lost = grants.alive < round.tally.quorumSize;
        if (lost || (attempts.length > rules.retryCount && rules.retryCount !== -1))
          throw lost ? lostError(doing, attempts, round) : failure(doing, attempts, round, 'lost');
        await pause(clock, Math.max(1, Math.min(retryDelayOf(rules), lock.expiration - clock.now().wall)));
      }
    } finally {
      letGo();
    }
  }

  #ballot(patience: number, vote: (client: Fencepost) => Promise<void>): Ballot {
    const against = (error: Error): void => {
      this.emit('error', error);
      if (!(error instanceof ResourceLockedError)) this.emit('clientError', error);
    };
    return ballot({ clock, voters: this.clients, patience, against }, vote);
  }
}
