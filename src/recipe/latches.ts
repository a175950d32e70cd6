import { elapsed } from '../core/clock.ts';
import { LockTimeoutError, StaleTokenError, StateError } from '../core/errors.ts';
import {
  signal as abortSignal,
  duration,
  integer,
  optional,
  validate,
  withDefault,
} from '../core/options.ts';
import { databaseFailure, hasState, staleToken } from '../core/sqlstate.ts';
import type { Lease } from '../lease/lease.ts';
import { shortestTtl } from '../lease/lease-options.ts';
import { type LeaseKey, resourceOf, resourceText } from '../lease/resource.ts';
import type { Held, Resource } from '../sql/lease.ts';
import { countDown, countedDown } from '../sql/recipe.ts';
import type { RaiseOptions, WaitOptions } from './barriers.ts';
import { leaseOf, type RecipeContext, untilSo } from './context.ts';
import { Participation } from './participation.ts';

/** How a part of a latch is taken. */
export interface LatchJoinOptions extends RaiseOptions {
  /** How many parts the latch has; the same for all. From 1 to 10,000. */
  readonly count: number;
}

/** How a latch is waited for. */
export interface LatchWaitOptions extends WaitOptions {
  /** How many parts have to be counted down. */
  readonly count: number;
}

const count = integer({ min: 1, max: 10_000 });
const waiting = { wait: withDefault(duration({ max: Infinity }), Infinity), signal: optional(abortSignal()) };

/** Count-down latches: work of so many parts, each done once, and those who wait until all are done. */
export class Latches {
  readonly #context: RecipeContext;

  /** @internal */
  constructor(context: RecipeContext) {
    this.#context = context;
  }

  /**
   * Takes one of the parts that nobody has and that is not done. The part of a process that dies before it has counted
   * down is free again at its `ttl`, so a latch neither opens early nor waits for the dead, as long as somebody comes to
   * do their part. Waits while others have all that is left.
   *
   * @throws StateError when all parts are done; LockTimeoutError when `wait` has run out; the signal's reason when it
   * aborts; ArgumentError for wrong arguments
   *
   * @example
   * await using part = await fencepost.latches.join('import-2024-05', { count: 4 });
   * await importShard(part.index);
   * await part.countDown();
   */
  async join(name: LeaseKey, options: LatchJoinOptions): Promise<LatchPart> {
    const { key, resource } = leaseOf('latch', 'name', name);
    const { wait, signal, ...wanted } = validate('options', options, {
      count,
      ttl: withDefault(duration({ min: shortestTtl }), 30_000),
      ...waiting,
    });
    const { clock, leases, closing } = this.#context;
    const started = clock.now();
    const terms = { ttl: wanted.ttl, slots: wanted.count };
    // The answer to both is looked for at once: a part that becomes free, or that none ever will.
    const done = new AbortController();
    const ended = AbortSignal.any(
      signal === undefined ? [closing, done.signal] : [closing, done.signal, signal],
    );
    let lease = await leases.tryAcquire(key, terms);
    if (lease === null) {
      const watching = this.#untilOpen(resource, wanted.count, Infinity, ended).then(
        () => done.abort(new StateError(`${textOf(name)}: all ${wanted.count} parts are done`)),
        () => {},
      );
      try {
        lease = await leases.tryAcquire(key, { ...terms, wait, signal: ended });
      } finally {
        done.abort();
        await watching;
      }
    }
    if (lease === null) throw new LockTimeoutError(textOf(name), elapsed(started, clock.now()));
    return new LatchPart(this.#context, name, lease, { resource, slot: lease.slot, token: lease.token });
  }

  /**
   * Waits until `count` parts have been counted down. Any number may wait, before and after.
   *
   * @throws LockTimeoutError when `wait` has run out; the signal's reason when it aborts
   *
   * @example
   * await fencepost.latches.wait('import-2024-05', { count: 4, wait: '10m' });
   */
  async wait(name: LeaseKey, options: LatchWaitOptions): Promise<void> {
    const { resource } = leaseOf('latch', 'name', name);
    const { wait, signal, ...wanted } = validate('options', options, { count, ...waiting });
    const { clock, closing } = this.#context;
    const started = clock.now();
    const ended = signal === undefined ? closing : AbortSignal.any([closing, signal]);
    const open = await this.#untilOpen(resource, wanted.count, wait, ended);
    if (open !== true) throw new LockTimeoutError(textOf(name), elapsed(started, clock.now()));
  }

  /** Makes all parts undone and free again; whoever has one loses it. */
  async reset(name: LeaseKey): Promise<void> {
    await this.#context.leases.revoke(leaseOf('latch', 'name', name).key);
  }

  #untilOpen(
    resource: Resource,
    parts: number,
    wait: number,
    signal: AbortSignal,
  ): Promise<true | undefined> {
    const { commands, schema } = this.#context;
    return untilSo(this.#context, { resource, wait, signal }, async () => {
      const row = await commands.run(countedDown(schema, resource)).catch((error: unknown) => {
        throw databaseFailure('look at a latch', error, schema);
      });
      return Number(row?.answer) >= parts ? true : undefined;
    });
  }
}

/** A part of a latch that this process does. Released without having been counted down it is for others. */
export class LatchPart extends Participation {
  /** Which of the parts this is, from 0 on. */
  readonly index: number;
  readonly #context: RecipeContext;
  readonly #held: Held;

  /** @internal */
  constructor(context: RecipeContext, name: LeaseKey, lease: Lease, held: Held) {
    super(name, lease);
    this.index = held.slot;
    this.#context = context;
    this.#held = held;
  }

  /**
   * Says that the part is done, for good: it needs this process no more. Counted once, however often it is called.
   *
   * @throws StaleTokenError when somebody else has got the part since; DatabaseError when the database cannot be asked:
   * call it again
   */
  async countDown(): Promise<void> {
    const { commands, schema } = this.#context;
    try {
      await commands.run(countDown(schema, this.#held));
    } catch (cause) {
      if (hasState(cause, staleToken)) throw new StaleTokenError(this.key, this.token, { cause });
      throw databaseFailure(`count down ${this.key}`, cause, schema);
    }
    // The server has nothing to release any more; this process has.
    await this.release();
  }
}

function textOf(name: LeaseKey): string {
  return resourceText(resourceOf('name', name));
}
