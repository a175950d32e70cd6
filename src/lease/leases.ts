import { within } from '../core/abort.ts';
import { elapsed } from '../core/clock.ts';
import type { Duration } from '../core/duration.ts';
import { LockTimeoutError } from '../core/errors.ts';
import { boolean, duration, optional, signal, validate, withDefault } from '../core/options.ts';
import { closedError } from '../session/database.ts';
import { Granting, type LeaseContext } from './granting.ts';
import type { Lease } from './lease.ts';
import { type LeaseKey, resourceOf, resourceText } from './resource.ts';
import { type SweepOptions, sweep } from './sweeping.ts';
import { untilGranted } from './waiting.ts';

/** How a lease is acquired. */
export interface LeaseOptions {
  /**
   * How long the lease outlives its process: the longest time others wait after a crash. A shorter ttl frees sooner
   * after a crash, and loses the lease sooner when the process or the network pauses. A process has one heartbeat for
   * each ttl in use, every third of it: prefer few different ones. From 50 ms to 24 days; 30 seconds by default.
   */
  readonly ttl?: Duration | undefined;
  /**
   * How long to wait while somebody else holds it. For ever by default for `acquire` and `using`, 0 for `tryAcquire`.
   */
  readonly wait?: Duration | undefined;
  /** Ends the wait: the call rejects with the signal's reason and holds nothing. Does not touch a granted lease. */
  readonly signal?: AbortSignal | undefined;
  /**
   * `false`: the lease expires after `ttl` unless `lease.renew()` is called, though the process is alive. Then each
   * renewal costs a statement. `true` by default: it lives as long as its process can reach the database.
   */
  readonly renew?: boolean | undefined;
}

const shortestTtl = 50;
/** Longest time that `close` tries to tell a server that does not answer, in milliseconds. */
const closeLimit = 5_000;

/** Leases: locks that outlive connections and carry a fencing token. */
export class Leases {
  readonly #context: LeaseContext;
  readonly #granting: Granting;
  readonly #acquiring = new Set<Promise<unknown>>();
  #closed = false;

  /** @internal */
  constructor(context: LeaseContext) {
    this.#context = context;
    this.#granting = new Granting(context);
  }

  /**
   * Waits until the lease is free and takes it. Across processes it is granted in no particular order.
   *
   * @throws LockTimeoutError when `wait` has run out, the signal's reason when it aborts, DatabaseError when the
   * database cannot be asked, LockLostError when the answer came later than the ttl, SchemaError when it has not been migrated, ArgumentError for wrong arguments
   *
   * @example
   * await using lease = await fencepost.leases.acquire({ tenant: 't1', name: 'billing-sync' }, { ttl: '30s' });
   */
  async acquire(key: LeaseKey, options?: LeaseOptions): Promise<Lease> {
    const started = this.#context.clock.now();
    const lease = await this.#acquire(key, options, Infinity);
    if (lease !== undefined) return lease;
    throw new LockTimeoutError(
      resourceText(resourceOf('key', key)),
      elapsed(started, this.#context.clock.now()),
    );
  }

  /** As `acquire`, but answers `null` when the lease is not free, at once or within `wait`. */
  async tryAcquire(key: LeaseKey, options?: LeaseOptions): Promise<Lease | null> {
    return (await this.#acquire(key, options, 0)) ?? null;
  }

  /**
   * Acquires, runs `work`, and releases whatever happened. Work that may not go on without the lease listens to
   * `lease.signal`.
   *
   * @example
   * await fencepost.leases.using('import', { ttl: '1m' }, async (lease) => {
   *   await importEverything({ signal: lease.signal });
   * });
   */
  async using<Result>(key: LeaseKey, work: (lease: Lease) => Promise<Result>): Promise<Result>;
  async using<Result>(
    key: LeaseKey,
    options: LeaseOptions,
    work: (lease: Lease) => Promise<Result>,
  ): Promise<Result>;
  async using<Result>(
    key: LeaseKey,
    ...rest: [(lease: Lease) => Promise<Result>] | [LeaseOptions, (lease: Lease) => Promise<Result>]
  ): Promise<Result> {
    const [options, work] = rest.length === 1 ? [undefined, rest[0]] : rest;
    await using lease = await this.acquire(key, options);
    return await work(lease);
  }

  /**
   * Removes leases that nobody has held for a long time, and answers how many. Not needed as long as there are few
   * different keys; a key for each order or user grows the table for ever. Later leases of a removed key get greater
   * tokens all the same. It does not wait for anybody, and passes over what is in use. Call it from time to time, in one process.
   *
   * @throws DatabaseError when the database cannot be asked; what was removed until then is gone. ArgumentError for
   * wrong arguments
   *
   * @example
   * const removed = await fencepost.leases.sweep({ olderThan: '30d' });
   */
  async sweep(options: SweepOptions): Promise<number> {
    const { commands, schema } = this.#context;
    return sweep(commands, schema, options, () => {
      if (this.#closed) throw closedError();
    });
  }

  /** @internal */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#acquiring);
    // Without the server they expire by themselves, as nothing renews them any more.
    await within(this.#context.clock, closeLimit, this.#granting.releaseAll());
  }

  #acquire(key: LeaseKey, given: LeaseOptions | undefined, defaultWait: number): Promise<Lease | undefined> {
    const acquiring = this.#untilGranted(key, given, defaultWait);
    this.#acquiring.add(acquiring);
    const done = (): boolean => this.#acquiring.delete(acquiring);
    acquiring.then(done, done);
    return acquiring;
  }

  async #untilGranted(
    key: LeaseKey,
    given: LeaseOptions | undefined,
    defaultWait: number,
  ): Promise<Lease | undefined> {
    const resource = resourceOf('key', key);
    const options = validate('options', given, {
      ttl: withDefault(duration({ min: shortestTtl }), 30_000),
      wait: withDefault(duration({ max: Infinity }), defaultWait),
      signal: optional(signal()),
      renew: withDefault(boolean(), true),
    });
    return untilGranted(this.#context.clock, options, () => {
      if (this.#closed) throw closedError();
      return this.#granting.try(resource, options.ttl, options.renew);
    });
  }
}
