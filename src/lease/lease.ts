import { randomUUID } from 'node:crypto';
import type { Place } from '../core/chain.ts';
import type { Duration } from '../core/duration.ts';
import { LockLostError, StaleTokenError, StateError } from '../core/errors.ts';
import { type HoldingSubject, spans } from '../core/events.ts';
import { Handle, type HandleState } from '../core/handle.ts';
import { duration, optional, validate } from '../core/options.ts';
import { databaseFailure, isOlderThanTakeover, sqlStateOf, staleToken } from '../core/sqlstate.ts';
import type { Holder, LeaseTenure } from '../holder/holder.ts';
import { type CallerTransaction, notInTransaction, runIn } from '../session/transaction.ts';
import type { HandOver } from '../sql/hand-over.ts';
import { guardLease, type Held, type Resource } from '../sql/lease.ts';
import { type HandOverOptions, readWithin, textOfHandOver } from './hand-over.ts';
import { shortestTtl } from './lease-options.ts';
import { aboutResource, resourceText, type Sort } from './resource.ts';

/** The state of a lease. */
export type LeaseState = HandleState;

/** How a lease is renewed. */
export interface RenewOptions {
  /** Of the next term, with `renew: false`: that of the term before by default. */
  readonly ttl?: Duration | undefined;
}

/** What a lease asks of those who made it. */
export interface LeaseKeeper {
  readonly schema: string;
  /** Tells the server; ends when the lease is free there, or expired. */
  giveBack(tenure: LeaseTenure, held: readonly Held[], lease?: Lease): Promise<void>;
  /** As that, and then it has ended; undefined where there is more to be done. */
  takeBack(tenure: LeaseTenure, lease: Lease): Promise<void> | undefined;
  /** False when the server does not know it as held any more. */
  handOver(tenure: LeaseTenure, handed: HandOver, term: number): Promise<boolean>;
  /** Its term is over there, though its holder lives; whoever waits is told. */
  expire(tenure: LeaseTenure, held: readonly [Held, ...Held[]]): Promise<void>;
  ended(lease: Lease): void;
}

/**
 * A lease that this process was granted. `signal` aborts before the server lets anybody else have it. What
 * `assertHeld` says may be over by the time of the next write: only `guard` holds until that commits.
 */
export class Lease extends Handle {
  readonly tenant: string;
  readonly name: string;
  /** Greater than the token of every earlier lease of the same key. */
  readonly token: bigint;
  /** Which of its slots this is: with `slots: 5` one of 0 to 4. 0 for an exclusive lease. */
  readonly slot: number;
  /** With a limit over all tenants, the row of that. @internal */
  readonly total: Held | undefined;
  /** Among what its process holds. @internal */
  place: Place<Lease> | undefined;
  readonly #keeper: LeaseKeeper;
  readonly #tenure: LeaseTenure;
  readonly #sort: Sort;

  /** @internal */
  constructor(keeper: LeaseKeeper, tenure: LeaseTenure, held: readonly [Held, ...Held[]], sort: Sort) {
    const [{ resource, slot, token }, total] = held;
    super(tenure);
    this.#keeper = keeper;
    this.#tenure = tenure;
    this.#sort = sort;
    this.total = total;
    this.tenant = resource.tenant;
    this.name = resource.name;
    this.slot = slot;
    this.token = token;
  }

  get key(): string {
    return resourceText(this);
  }

  /** @internal */
  get resource(): Resource {
    return this;
  }

  /** The rows that it is made of: its own, which is the lease itself, and that of the total. @internal */
  get held(): readonly [Held, ...Held[]] {
    return this.total === undefined ? [this] : [this, this.total];
  }

  /**
   * Stands in the caller's transaction before its writes. From then on until that transaction ends nobody else can be
   * granted this lease. When somebody else already was, or the lease was released, it throws `StaleTokenError` and
   * the transaction cannot commit any more.
   *
   * In REPEATABLE READ and SERIALIZABLE a transaction sees the lease as of its snapshot: a takeover since then is still
   * refused, a mere release is not seen.
   *
   * One round trip in the caller's transaction. A lease that is `lost` passes as long as nobody took it: Postgres
   * decides, not this process.
   *
   * The downside: while the transaction is open the next holder waits for it, so keep it short.
   *
   * @example
   * await db.transaction().execute(async (trx) => {
   *   await lease.guard(trx);
   *   await trx.updateTable('account').set({ balance: 7 }).where('id', '=', 1).execute();
   * });
   */
  guard(transaction: CallerTransaction): Promise<void> {
    if (!spans.guard.hasSubscribers) return this.#guard(transaction);
    return spans.guard.tracePromise(() => this.#guard(transaction), this.about());
  }

  async #guard(transaction: CallerTransaction): Promise<void> {
    try {
      const statement = guardLease(this.#keeper.schema, this.held);
      const [row] = await runIn('transaction', transaction, statement);
      if (row?.inside !== 'true') throw notInTransaction('transaction', 'a client outside of one');
    } catch (cause) {
      if (sqlStateOf(cause) === staleToken || isOlderThanTakeover(cause))
        throw new StaleTokenError(this.key, this.token, { cause });
      throw databaseFailure(`guard ${this.key}`, cause, this.#keeper.schema);
    }
  }

  /**
   * Renews now, and ends when the server has confirmed it. Not needed as long as the lease renews itself; with
   * `renew: false` this is what gives it another ttl: the one before, or the `ttl` given here, from 50 ms to 24 days.
   *
   * @throws LockLostError when it was lost, StateError when it was released, DatabaseError when the server cannot be
   * asked; the lease is then held until it expires, and the heartbeat goes on trying. ArgumentError for a `ttl` of a lease
   * that renews itself.
   */
  async renew(options?: RenewOptions): Promise<void> {
    const { ttl } = validate('options', options, { ttl: optional(duration({ min: shortestTtl })) });
    this.assertHeld();
    await this.#tenure.renew(this.held, ttl);
    this.assertHeld();
  }

  /**
   * Gives the lease to whoever calls `leases.resume` with the text that this answers, in whatever process: once. Until
   * then, and for `within` at most, nobody else can get it. On this side the lease is `released` from then on. Its guard
   * passes until the lease is taken up, which waits for guarded transactions that are still open.
   *
   * The downsides: whoever sees the text can take the lease; and if nobody does, it stays taken for the rest of `within`.
   *
   * @throws LockLostError when it was lost, StateError when it was released, DatabaseError when the server could not be
   * asked as long as the lease was held; it may then have been handed over all the same, to nobody.
   *
   * @example
   * const text = await lease.handOver({ within: '1m' }); // for the process that replaces this one
   */
  async handOver(options?: HandOverOptions): Promise<string> {
    const within = readWithin(options);
    this.assertHeld();
    if (!spans.release.hasSubscribers) return this.#handOver(within);
    return spans.release.tracePromise(() => this.#handOver(within), { ...this.about(), how: 'handed over' });
  }

  async #handOver(within: number): Promise<string> {
    const handed = { held: this.held, secret: randomUUID() };
    if (await this.#keeper.handOver(this.#tenure, handed, within)) {
      this.given();
      return textOfHandOver(handed);
    }
    this.lose('expired');
    if (this.state === 'released') throw new StateError(`${this.key} was released`);
    throw new LockLostError(this.key, this.lossReason ?? 'expired');
  }

  /** Whether it lives, or ends, with this holder. @internal */
  isOf(holder: Holder): boolean {
    return this.#tenure.holder === holder;
  }

  /** Its term ends now, as if nobody had renewed it. @internal */
  async expire(): Promise<void> {
    this.assertHeld();
    await this.#keeper.expire(this.#tenure, this.held);
    this.lose('expired');
  }

  /** @internal */
  override async die(): Promise<void> {
    await this.expire();
    await super.die();
  }

  /** @internal */
  about(): HoldingSubject {
    const { token } = this;
    return {
      ...aboutResource(this, this.#sort),
      handle: this,
      token,
      holder: this.#tenure.holder.id,
    };
  }

  /** @internal */
  protected override return(): Promise<void> {
    if (spans.release.hasSubscribers) return super.return();
    return this.#keeper.takeBack(this.#tenure, this) ?? super.return();
  }

  /** @internal */
  protected giveBack(): Promise<void> {
    if (!spans.release.hasSubscribers) return this.#keeper.giveBack(this.#tenure, this.held, this);
    const event = { ...this.about(), how: 'released' as const };
    return spans.release.tracePromise(() => this.#keeper.giveBack(this.#tenure, this.held, this), event);
  }

  /** @internal */
  protected ended(): void {
    this.#keeper.ended(this);
  }
}
