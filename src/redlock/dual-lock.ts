import { EventEmitter } from 'node:events';
import { elapsed, systemClock } from '../core/clock.ts';
import { ArgumentError } from '../core/errors.ts';
import { type Check, validate } from '../core/options.ts';
import type { Fencepost } from '../fencepost.ts';
import type { CallerTransaction } from '../session/transaction.ts';
import type { Lock } from './lock.ts';
import { Redlock } from './redlock.ts';
import { readDuration, readSettings, type Settings } from './settings.ts';
import { type RedlockAbortSignal, useLock } from './using.ts';

const clock = systemClock;

/** A lock of the library that is left behind: of node-redlock 5, with `release`, or 4, with `unlock`. */
export interface OldLock {
  readonly expiration?: number;
  /** Gives it so many milliseconds from now on. */
  extend(duration: number): Promise<OldLock>;
  /** Gives it back, in version 5. */
  release?(): Promise<unknown>;
  /** Gives it back, in version 4. */
  unlock?(): Promise<unknown>;
}

/** The library that is left behind: node-redlock 5 or 4, or anything made to look like it. */
export interface OldLocks {
  /** All of the resources for so many milliseconds; rejects when it cannot have them. */
  acquire(resources: string[], duration: number): Promise<OldLock>;
}

/** What is left, and what is gone to. */
export interface DualLockOptions {
  readonly from: OldLocks;
  readonly to: Redlock;
}

/** What the event `refused` tells: the old lock was had, the new one was not. */
export interface Refusal {
  readonly resources: readonly string[];
  readonly error: unknown;
}

const oldLocks: Check<OldLocks> = (argument, value) => {
  if (typeof value === 'object' && value !== null && 'acquire' in value) return value as OldLocks;
  throw new ArgumentError(argument, 'a Redlock of node-redlock, or something with its acquire', value);
};
const newLocks: Check<Redlock> = (argument, value) => {
  if (value instanceof Redlock) return value;
  throw new ArgumentError(argument, 'a Redlock of fencepost/redlock', value);
};

/**
 * Takes the old lock and then the new one, always in that order, for as long as both versions of an application run: a
 * process with both excludes those that know only the old one and those that know only the new one. It has the face of
 * `Redlock`, so that only its making changes. Costs the time of both, and works only while both servers do.
 *
 * `docs/moving.md` says what to deploy when, what to watch and how to go back.
 *
 * @throws ArgumentError for wrong arguments
 *
 * @example
 * const redlock = dualLock({ from: new OldRedlock([redis]), to: new Redlock([fencepost]) });
 * redlock.on('refused', ({ resources }) => metrics.increment('dual-lock.refused'));
 * await redlock.using(['account:1'], 5_000, async (signal) => { ... });
 */
export function dualLock(options: DualLockOptions): DualLocks {
  const { from, to } = validate('options', options, { from: oldLocks, to: newLocks });
  return new DualLocks(from, to);
}

/** Both locks together, by the methods of node-redlock 5. */
export class DualLocks extends EventEmitter {
  readonly #from: OldLocks;
  readonly #to: Redlock;

  /** @internal */
  constructor(from: OldLocks, to: Redlock) {
    super();
    this.#from = from;
    this.#to = to;
  }

  /**
   * As `acquire` of both. When the new lock is not had, the old one is given back, and the event `refused` tells: that
   * somebody holds the new one who has not got the old one.
   *
   * @throws what either of them throws
   */
  async acquire(
    resources: readonly string[],
    duration: number,
    settings?: Partial<Settings>,
  ): Promise<DualLock> {
    const started = clock.now();
    const old = await this.#from.acquire([...resources], duration);
    let lock: Lock | undefined;
    try {
      lock = await this.#to.acquire(resources, duration, settings);
      // The wait for the new one has used up some of the old one.
      const both = elapsed(started, clock.now()) < duration / 4 ? old : await old.extend(duration);
      return new DualLock(both, lock);
    } catch (error) {
      if (lock === undefined) this.emit('refused', { resources, error } satisfies Refusal);
      await lock?.release().catch(() => {});
      await free(old).catch(() => {});
      throw error;
    }
  }

  /** As `lock.release`. */
  release(lock: DualLock): Promise<void> {
    return lock.release();
  }

  /** As `lock.extend`. */
  extend(lock: DualLock, duration: number): Promise<DualLock> {
    return lock.extend(duration);
  }

  /** As `using` of `Redlock`. */
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
    const settings = readSettings(given as Partial<Settings> | undefined, this.#to.settings);
    return useLock({
      clock,
      duration: readDuration(duration),
      settings,
      acquire: () => this.acquire(resources, duration, settings),
      routine: routine as (signal: RedlockAbortSignal) => Promise<Result>,
    });
  }
}

/** An old and a new lock of the same resources. */
export class DualLock {
  #old: OldLock;
  readonly #lock: Lock;

  /** @internal */
  constructor(old: OldLock, lock: Lock) {
    this.#old = old;
    this.#lock = lock;
  }

  /** What it locks. */
  get resources(): string[] {
    return this.#lock.resources;
  }

  /** Until when both may be believed in. */
  get expiration(): number {
    return Math.min(this.#old.expiration ?? Infinity, this.#lock.expiration);
  }

  /** That of the new lock. */
  get token(): bigint {
    return this.#lock.token;
  }

  /** As `guard` of the new lock: it fences against processes that have the new lock, and not against the old version. */
  guard(transaction: CallerTransaction, server?: Fencepost): Promise<void> {
    return this.#lock.guard(transaction, server);
  }

  /** Extends both. When it fails, both are still to be released. */
  async extend(duration: number): Promise<DualLock> {
    // Kept also when the new one is not extended: of node-redlock 5 the lock before has ended then.
    this.#old = await this.#old.extend(duration);
    return new DualLock(this.#old, await this.#lock.extend(duration));
  }

  /** Releases the new lock and then the old one, whatever becomes of the first. */
  async release(): Promise<void> {
    try {
      await this.#lock.release();
    } finally {
      await free(this.#old);
    }
  }

  /** As `release`, by the name of version 4. */
  unlock(): Promise<void> {
    return this.release();
  }
}

async function free(lock: OldLock): Promise<void> {
  await (lock.release === undefined ? lock.unlock?.() : lock.release());
}
