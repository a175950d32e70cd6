import { elapsed } from '../core/clock.ts';
import type { Duration } from '../core/duration.ts';
import { LockTimeoutError } from '../core/errors.ts';
import {
  signal as abortSignal,
  duration,
  integer,
  optional,
  validate,
  withDefault,
} from '../core/options.ts';
import { databaseFailure } from '../core/sqlstate.ts';
import type { Lease } from '../lease/lease.ts';
import { shortestTtl } from '../lease/lease-options.ts';
import { type LeaseKey, resourceOf, resourceText } from '../lease/resource.ts';
import type { Held } from '../sql/lease.ts';
import { leftOfRound, lookAtBarrier, readGate } from '../sql/recipe.ts';
import { leaseOf, type RecipeContext, untilSo } from './context.ts';
import { Participation } from './participation.ts';

/** How long a call waits, and what ends that early. */
export interface WaitOptions {
  /** For ever by default. */
  readonly wait?: Duration | undefined;
  /** Ends the wait: the call rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** How a barrier is entered. */
export interface BarrierOptions extends WaitOptions {
  /** How many have to be there; the same for all who enter. From 1 to 10,000. */
  readonly parties: number;
  /** How long the place of a process that died counts as taken. From 50 ms; 30 seconds by default. */
  readonly ttl?: Duration | undefined;
}

/** How a barrier is raised. */
export interface RaiseOptions extends WaitOptions {
  /** How long it outlives the process that raised it. From 50 ms; 30 seconds by default. */
  readonly ttl?: Duration | undefined;
}

const waiting = { wait: withDefault(duration({ max: Infinity }), Infinity), signal: optional(abortSignal()) };
const ttlCheck = withDefault(duration({ min: shortestTtl }), 30_000);

/** Points where processes wait for each other. */
export class Barriers {
  readonly #context: RecipeContext;

  /** @internal */
  constructor(context: RecipeContext) {
    this.#context = context;
  }

  /**
   * A double barrier: waits until `parties` processes are there at the same time, all of them alive, and lets in exactly
   * those. Whoever comes later waits for the next round, which begins when these have left. One that dies while it waits
   * does not count, from its `ttl` on; another has to come in its place.
   *
   * @throws LockTimeoutError when `wait` has run out: then nobody counts on this call any more; the signal's reason when
   * it aborts; LockLostError when this process was cut off for longer than the ttl; StateError when Fencepost is closed;
   * ArgumentError for wrong arguments
   *
   * @example
   * await using entry = await fencepost.barriers.enter('load-test', { parties: 8, ttl: '10s' });
   * await runTheTest();
   * await entry.leave(); // waits for the others
   */
  async enter(name: LeaseKey, options: BarrierOptions): Promise<BarrierEntry> {
    const { key, resource } = leaseOf('barrier', 'name', name);
    const gate = leaseOf('barrier gate', 'name', name).resource.name;
    const { parties, ttl, wait, signal } = validate('options', options, {
      parties: integer({ min: 1, max: 10_000 }),
      ttl: ttlCheck,
      ...waiting,
    });
    const { clock, leases, closing } = this.#context;
    const started = clock.now();
    const ended = signal === undefined ? closing : AbortSignal.any([signal, closing]);
    const lease = await leases.tryAcquire(key, { ttl, wait, signal: ended, slots: parties });
    if (lease === null) throw timeout(name, elapsed(started, clock.now()));
    const held: Held = { resource, slot: lease.slot, token: lease.token };
    try {
      const left = wait === Infinity ? wait : Math.max(0, wait - elapsed(started, clock.now()));
      const look = (withdraw: boolean) => this.#look(held, gate, parties, withdraw);
      const until = { resource, wait: left, signal: AbortSignal.any([ended, lease.signal]) };
      const opened = (await untilSo(this.#context, until, () => look(false))) ?? (await look(true));
      if (opened === undefined) throw timeout(name, elapsed(started, clock.now()));
      return new BarrierEntry(this.#context, name, lease, held, opened);
    } catch (error) {
      await lease.release();
      throw error;
    }
  }

  /**
   * Raises a simple barrier, which lets nobody `pass` until it is released. It falls when its process dies, at its `ttl`.
   * One at a time has it: a second call waits.
   *
   * @throws what `leases.acquire` throws
   *
   * @example
   * await using barrier = await fencepost.barriers.raise('migration');
   */
  async raise(name: LeaseKey, options?: RaiseOptions): Promise<Participation> {
    const { wait, ...rest } = validate('options', options, { ttl: ttlCheck, ...waiting });
    const { clock, leases } = this.#context;
    const started = clock.now();
    const lease = await leases.tryAcquire(leaseOf('barrier bar', 'name', name).key, { ...rest, wait });
    if (lease === null) throw timeout(name, elapsed(started, clock.now()));
    return new Participation(name, lease);
  }

  /**
   * Waits until no barrier of this name is raised.
   *
   * @throws LockTimeoutError when `wait` has run out, the signal's reason when it aborts
   */
  async pass(name: LeaseKey, options?: WaitOptions): Promise<void> {
    const { wait, signal } = validate('options', options, waiting);
    const { clock, leases } = this.#context;
    const started = clock.now();
    const { key } = leaseOf('barrier bar', 'name', name);
    const lease = await leases.tryAcquire(key, { wait, signal, mode: 'shared' });
    if (lease === null) throw timeout(name, elapsed(started, clock.now()));
    await lease.release();
  }

  async #look(held: Held, gate: string, parties: number, withdraw: boolean): Promise<bigint | undefined> {
    const { commands, schema } = this.#context;
    try {
      return readGate(await commands.run(lookAtBarrier(schema, held, gate, parties, withdraw)));
    } catch (error) {
      throw databaseFailure('look at a barrier', error, schema);
    }
  }
}

/** A place in a round of a barrier that has begun. */
export class BarrierEntry extends Participation {
  readonly #context: RecipeContext;
  readonly #held: Held;
  readonly #gate: bigint;

  /** @internal */
  constructor(context: RecipeContext, name: LeaseKey, lease: Lease, held: Held, gate: bigint) {
    super(name, lease);
    this.#context = context;
    this.#held = held;
    this.#gate = gate;
  }

  /**
   * Gives the place back and waits until all of the round have left; one that has died counts as gone from its `ttl` on.
   *
   * @throws LockTimeoutError when `wait` has run out, the signal's reason when it aborts; the place is given back then
   */
  async leave(options?: WaitOptions): Promise<void> {
    const { wait, signal } = validate('options', options, waiting);
    const { clock, closing, commands, schema } = this.#context;
    const { resource } = this.#held;
    const started = clock.now();
    await this.release();
    const ended = signal === undefined ? closing : AbortSignal.any([signal, closing]);
    const gone = await untilSo(this.#context, { resource, wait, signal: ended }, async () => {
      const row = await commands.run(leftOfRound(schema, resource, this.#gate));
      return Number(row?.answer) === 0 ? true : undefined;
    });
    if (gone === undefined) throw timeout(this.key, elapsed(started, clock.now()));
  }
}

function timeout(name: LeaseKey, waited: number): LockTimeoutError {
  return new LockTimeoutError(resourceText(resourceOf('name', name)), waited);
}
