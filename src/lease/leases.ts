import { randomUUID } from 'node:crypto';
import { within } from '../core/abort.ts';
import { Acquisition } from '../core/acquisition.ts';
import { elapsed } from '../core/clock.ts';
import type { Duration } from '../core/duration.ts';
import { ArgumentError, LockTimeoutError, StaleTokenError } from '../core/errors.ts';
import { type Check, duration, optional, validate, withDefault } from '../core/options.ts';
import { databaseFailure, hasState, staleToken } from '../core/sqlstate.ts';
import type { Holder } from '../holder/holder.ts';
import { closedError } from '../session/database.ts';
import { type Held, type Refusal, type Resource, readTokens, revokeLeases } from '../sql/lease.ts';
import { Call } from './call.ts';
import type { LeaseContext } from './context.ts';
import { Granting } from './granting.ts';
import { type ResumeOptions, readHandOver, readResumeOptions } from './hand-over.ts';
import type { Lease } from './lease.ts';
import { type LeaseOptions, readLeaseOptions } from './lease-options.ts';
import {
  aboutResource,
  election,
  type LeaseKey,
  lease as plain,
  resourceOf,
  resourceText,
  type Sort,
  sharedLease,
} from './resource.ts';
import { type SweepOptions, sweep } from './sweeping.ts';
import { Waiting } from './waiting.ts';

/** How a lease is revoked. */
export interface RevokeOptions {
  /** How long its holder has to stop, from when the call is answered on. 0 by default. */
  readonly grace?: Duration | undefined;
  /** Only a lease with this token: whoever has got it since is not hit. */
  readonly token?: bigint | undefined;
}

/** Longest time that `close` tries to tell a server that does not answer, in milliseconds. */
const closeLimit = 5_000;

/** Leases: locks that outlive connections and carry a fencing token. */
export class Leases {
  readonly #context: LeaseContext;
  readonly #granting: Granting;
  readonly #waiting: Waiting;
  #closed = false;

  /** @internal */
  constructor(context: LeaseContext) {
    this.#context = context;
    this.#granting = new Granting(context);
    this.#waiting = new Waiting(context.clock, context.notifications);
  }

  /**
   * Waits until the lease is free and takes it: in the order of the calls within a process; across processes in that
   * order with `fair`, else in no particular one.
   *
   * @throws LockTimeoutError when `wait` has run out, the signal's reason when it aborts, DatabaseError when the
   * database cannot be asked or has not answered when `wait` has run out, LockLostError when the answer came later than
   * the ttl, SchemaError when it has not been migrated, ArgumentError for wrong arguments
   *
   * @example
   * await using lease = await fencepost.leases.acquire({ tenant: 't1', name: 'billing-sync' }, { ttl: '30s' });
   */
  acquire(key: LeaseKey, options?: LeaseOptions): Promise<Lease> {
    return this.#ask(key, options, Infinity, true) as Promise<Lease>;
  }

  /** Waits for ever, for an election. @internal */
  elect(name: LeaseKey, options: Pick<LeaseOptions, 'ttl' | 'signal'>): Promise<Lease | undefined> {
    return this.#ask(name, options, Infinity, false, election);
  }

  /**
   * As `acquire`, but answers `null` when the lease is not free, at once or within `wait`: as the database has said. One
   * that does not answer is a DatabaseError.
   */
  async tryAcquire(key: LeaseKey, options?: LeaseOptions): Promise<Lease | null> {
    return (await this.#ask(key, options, 0, false)) ?? null;
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
   * Takes up a lease that another process has handed over, with the text that its `handOver` answered. It has a new and
   * greater token: what the other one still writes is refused. Waits for guarded transactions of the other one to end.
   *
   * @throws StaleTokenError when it was taken up before, revoked, or its time has run out; LockTimeoutError, the signal's
   * reason, DatabaseError and LockLostError as `acquire`; ArgumentError for a text that is none of `handOver`
   *
   * @example
   * await using lease = await fencepost.leases.resume(text, { ttl: '30s' });
   */
  async resume(text: string, options?: ResumeOptions): Promise<Lease> {
    const handed = readHandOver('text', text);
    const { ttl, wait = Infinity, signal, renew } = readResumeOptions(options);
    const [{ resource, token }] = handed.held;
    const acquisition = this.#acquisition(resource, plain, wait);
    const call = { ...handed, resource, nonce: randomUUID(), sort: plain, acquisition };
    const attempt = (): Promise<Lease | Refusal> => this.#granting.resume(call, ttl, renew);
    const wanted = { name: call.nonce, topics: () => [], width: 1, fair: false, attempt };
    // A late answer is not given back soon: the lease can be taken up only once.
    const patience = { wait, signal, acquisition, settling: 5_000 };
    const asked = this.#waiting.until(patience, wanted).catch((cause: unknown) => {
      if (!hasState(cause, staleToken)) throw cause;
      throw new StaleTokenError(resourceText(resource), token, { cause });
    });
    return this.#inTime(acquisition?.follow(asked) ?? asked, resource);
  }

  /**
   * Takes a lease away from whoever holds it, or all that are held of its slots. Their `signal` aborts with reason
   * `revoked`: at once where their process listens because something in it waits, otherwise with its next heartbeat, a
   * third of its `ttl` later at most. After `grace` the lease is free and the guard refuses them; a release in between
   * frees it earlier. Answers the tokens that were taken away.
   *
   * The downside: without a grace the next holder may begin while the old one has not been told yet. Its guarded writes
   * are refused from the first moment on, what it does outside of the database is not.
   *
   * @example
   * await fencepost.leases.revoke({ tenant: 't1', name: 'billing-sync' }, { grace: '10s' });
   */
  async revoke(key: LeaseKey, options?: RevokeOptions): Promise<bigint[]> {
    const resource = resourceOf('key', key);
    const { grace, token } = validate('options', options, {
      grace: withDefault(duration(), 0),
      token: optional(tokenCheck),
    });
    const { schema, commands } = this.#context;
    try {
      return readTokens(await commands.run(revokeLeases(schema, resource, grace, token)));
    } catch (error) {
      throw databaseFailure(`revoke ${resourceText(resource)}`, error, schema);
    }
  }

  /** An operator has taken leases away. @internal */
  revoked(taken: readonly Held[]): void {
    this.#granting.revoked(taken);
  }

  /** The server has failed over. @internal */
  moved(holder: Holder): Promise<void> {
    return this.#granting.moved(holder);
  }

  /**
   * Removes leases that nobody has held for a long time, and answers how many. Not needed as long as there are few
   * different keys; a key for each order or user grows the table for ever. Later leases of a removed key get greater
   * tokens all the same. Places in queues that processes left behind when they died go with them, uncounted. It does
   * not wait for anybody, and passes over what is in use. Call it from time to time, in one process.
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
    await this.#waiting.close();
    // Without the server they expire by themselves, as nothing renews them any more.
    await within(this.#context.clock, closeLimit, this.#granting.releaseAll());
  }

  /** `insists`: on a lease, so that it rejects when the wait is over. Not async, as most calls then cost one promise. */
  #ask(
    key: LeaseKey,
    given: LeaseOptions | undefined,
    defaultWait: number,
    insists: boolean,
    as?: Sort,
  ): Promise<Lease | undefined> {
    try {
      const resource = resourceOf('key', key);
      const terms = readLeaseOptions(given, resource, defaultWait);
      const { wait, signal } = terms;
      const sort = as ?? (terms.shared ? sharedLease : plain);
      const acquisition = this.#acquisition(resource, sort, wait);
      const call = new Call(this.#granting, resource, terms, sort, acquisition);
      const plainly = acquisition === undefined && signal === undefined && terms.renew;
      const lease =
        plainly && (wait === Infinity || wait === 0)
          ? this.#waiting.promptly(this.#granting, call)
          : this.#waiting.until({ wait, signal, acquisition }, call);
      const followed = acquisition?.follow(lease) ?? lease;
      return insists && wait !== Infinity ? this.#inTime(followed, resource) : followed;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async #inTime(asked: Promise<Lease | undefined>, resource: Resource): Promise<Lease> {
    const { clock } = this.#context;
    const started = clock.now();
    const lease = await asked;
    if (lease !== undefined) return lease;
    throw new LockTimeoutError(resourceText(resource), elapsed(started, clock.now()));
  }

  #acquisition(resource: Resource, sort: Sort, wait: number): Acquisition | undefined {
    if (!Acquisition.wanted) return undefined;
    return new Acquisition(this.#context.clock, aboutResource(resource, sort), wait);
  }
}

/** A token of a lease. */
const tokenCheck: Check<bigint> = (argument, value) => {
  if (typeof value === 'bigint') return value;
  throw new ArgumentError(argument, 'a bigint', value);
};
