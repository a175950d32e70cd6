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

/** Where leases come from: what all of one sort have in common. */
export interface LeaseOrigin {
  readonly keeper: LeaseKeeper;
  readonly sort: Sort;
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
  /** Among what its process holds. @internal */
  place: Place<Lease> | undefined;
  readonly #origin: LeaseOrigin;
  readonly #tenure: LeaseTenure;

  /** @internal */
  constructor(origin: LeaseOrigin, tenure: LeaseTenure, { resource, slot, token }: Held) {
    super(tenure);
    this.#origin = origin;
    this.#tenure = tenure;
    this.tenant = resource.tenant;
    this.name = resource.name;
    this.slot = slot;
    this.token = token;
  }

  get key(): string {
    return resourceText(this);
  }

  /** @internal */
  protected get tenure(): LeaseTenure {
    return this.#tenure;
  }

  /** @internal */
  get resource(): Resource {
    return this;
  }

  /** With a limit over all tenants, the row of that. @internal */
  get total(): Held | undefined {
    return undefined;
  }

  /** The rows that it is made of: its own, which is the lease itself, and that of the total. @internal */
  get held(): readonly [Held, ...Held[]] {
    const { total } = this;
    return total === undefined ? [this] : [this, total];
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
    const { schema } = this.#origin.keeper;
    if (!spans.guard.hasSubscribers) return guardIn(transaction, this, schema);
    return spans.guard.tracePromise(() => guardIn(transaction, this, schema), this.about());
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
    const hand = async (): Promise<string> => {
      const handed = { held: this.held, secret: randomUUID() };
      if (await this.#origin.keeper.handOver(this.#tenure, handed, within)) {
        this.given();
        return textOfHandOver(handed);
      }
      this.lose('expired');
      if (this.state === 'released') throw new StateError(`${this.key} was released`);
      throw new LockLostError(this.key, this.lossReason ?? 'expired');
    };
    if (!spans.release.hasSubscribers) return hand();
    return spans.release.tracePromise(hand, { ...this.about(), how: 'handed over' });
  }

  /** Whether it lives, or ends, with this holder. @internal */
  isOf(holder: Holder): boolean {
    return this.#tenure.holder === holder;
  }

  /** Its term ends now, as if nobody had renewed it. @internal */
  async expire(): Promise<void> {
    this.assertHeld();
    await this.#origin.keeper.expire(this.#tenure, this.held);
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
      ...aboutResource(this, this.#origin.sort),
      handle: this,
      token,
      holder: this.#tenure.holder.id,
    };
  }

  /** @internal */
  protected override return(): Promise<void> {
    if (spans.release.hasSubscribers) return super.return();
    return this.#origin.keeper.takeBack(this.#tenure, this) ?? super.return();
  }

  /** @internal */
  protected giveBack(): Promise<void> {
    if (!spans.release.hasSubscribers) return this.#origin.keeper.giveBack(this.#tenure, this.held, this);
    const event = { ...this.about(), how: 'released' as const };
    return spans.release.tracePromise(
      () => this.#origin.keeper.giveBack(this.#tenure, this.held, this),
      event,
    );
  }

  /** @internal */
  protected ended(): void {
    this.#origin.keeper.ended(this);
  }
}

/** With a limit over all tenants. */
export class TotalLease extends Lease {
  readonly #total: Held;

  /** @internal */
  constructor(origin: LeaseOrigin, tenure: LeaseTenure, held: Held, total: Held) {
    super(origin, tenure, held);
    this.#total = total;
  }

  override get total(): Held {
    return this.#total;
  }
}

async function guardIn(transaction: CallerTransaction, lease: Lease, schema: string): Promise<void> {
  const { held, key, token } = lease;
  try {
    const [row] = await runIn('transaction', transaction, guardLease(schema, held));
    if (row?.inside !== 'true') throw notInTransaction('transaction', 'a client outside of one');
  } catch (cause) {
    if (sqlStateOf(cause) === staleToken || isOlderThanTakeover(cause))
      throw new StaleTokenError(key, token, { cause });
    throw databaseFailure(`guard ${key}`, cause, schema);
  }
}
