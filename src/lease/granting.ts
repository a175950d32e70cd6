import { pause } from '../core/abort.ts';
import type { Clock } from '../core/clock.ts';
import { DatabaseError, FencepostError, LockLostError } from '../core/errors.ts';
import { hasState, holderFenced } from '../core/sqlstate.ts';
import type { Holder, LeaseTenure } from '../holder/holder.ts';
import type { Holders } from '../holder/holders.ts';
import type { Commands, Kind } from '../session/commands.ts';
import type { Notifications } from '../session/notifications.ts';
import type { Answer, Ask, Held } from '../sql/lease.ts';
import { FixedTerm } from './fixed-term.ts';
import { type Kinds, kindsOf, type Reply } from './kinds.ts';
import { Lease, type LeaseKeeper } from './lease.ts';
import { resourceText, topicOf } from './resource.ts';

/** What leases need of their surroundings. */
export interface LeaseContext {
  readonly schema: string;
  readonly clock: Clock;
  readonly commands: Commands;
  readonly holders: Holders;
  readonly notifications: Notifications;
}

/** How many leases are released at a time: two statements full of them. */
const portion = 1_024;

/** A try that did not get the lease. `heldFor`: until its holder expires unless it is renewed, where known. */
export interface Refusal {
  readonly heldFor: number | undefined;
}

/** One try to get a lease, the way back, and what happens when an answer is lost. */
export class Granting implements LeaseKeeper {
  readonly schema: string;
  readonly #context: LeaseContext;
  readonly #kinds = new WeakMap<Holder, Kinds>();
  /** What this process holds and has not given back. */
  readonly #leases = new Set<Lease>();
  /** Tokens that were taken away before this process knew that it had them. */
  readonly #revoked = new Set<bigint>();

  constructor(context: LeaseContext) {
    this.#context = context;
    this.schema = context.schema;
  }

  /** One try. With `renew` the lease lives on this process's heartbeat, otherwise it expires by itself after `ttl`. */
  try(ask: Ask, ttl: number, renew: boolean): Promise<Lease | Refusal> {
    return this.#context.holders.living(
      ttl,
      () => resourceText(ask.resource),
      (holder) => (renew ? this.#tryLiving(holder, ask) : this.#tryFixed(holder, ask)),
    );
  }

  async #tryLiving(holder: Holder, ask: Ask): Promise<Lease | Refusal> {
    const { acquire } = this.#kindsOf(holder);
    const [answer] = await Promise.all([this.#ask(holder, acquire, ask), holder.freshen()]);
    if ('heldFor' in answer) return answer;
    await holder.freshen();
    if (holder.live) return this.#lease(holder, answer);
    throw new LockLostError(resourceText(ask.resource), 'expired');
  }

  async #tryFixed(holder: Holder, ask: Ask): Promise<Lease | Refusal> {
    const { clock, commands } = this.#context;
    const { acquireFixed, renewFixed } = this.#kindsOf(holder);
    const renew = async (all: readonly Held[]): Promise<boolean> =>
      (await Promise.all(all.map((one) => commands.submit(renewFixed, one)))).every(Boolean);
    const context = { clock, renew };
    const first = new FixedTerm(context, holder);
    const held = await this.#ask(holder, acquireFixed, ask);
    if ('heldFor' in held) return held;
    if (first.age < first.ttl / 20) return this.#lease(first, held);
    // The answer came late, and the term counts from when it was asked for: the lease gets a new one.
    const second = new FixedTerm(context, holder);
    const renewed = await context.renew(held).catch((error: unknown) => error);
    if (renewed === true && second.remaining() > 0) return this.#lease(second, held);
    this.giveBack(second, held).catch(() => {});
    throw typeof renewed === 'boolean' ? new LockLostError(resourceText(ask.resource), 'expired') : renewed;
  }

  async giveBack(tenure: LeaseTenure, held: readonly Held[]): Promise<void> {
    const { release } = this.#kindsOf(tenure.holder);
    await Promise.all(held.map((one) => this.#insist(release, one, tenure)));
  }

  /** A call has stopped to wait: it must not stand in the way of those behind it. */
  async withdraw(ask: Ask, ttl: number): Promise<void> {
    const holder = await this.#context.holders.use(ttl);
    await this.#insist(this.#kindsOf(holder).withdraw, ask.nonce, holder);
  }

  ended(lease: Lease): void {
    this.#leases.delete(lease);
    for (const { resource } of lease.held) this.#context.notifications.tell(topicOf(resource));
  }

  /** An operator has taken leases away. */
  revoked(tokens: ReadonlySet<bigint>): void {
    for (const token of tokens) this.#revoked.add(token);
    for (const lease of this.#leases) this.#checkRevoked(lease);
  }

  #checkRevoked(lease: Lease): void {
    const taken = lease.held.filter(({ token }) => this.#revoked.delete(token));
    if (taken.length > 0) lease.lose('revoked');
  }

  /** Sends it until the server has answered, or until nothing is left to tell because the tenure is over. */
  async #insist<Call, Answered>(kind: Kind<Call, Answered>, call: Call, tenure: LeaseTenure): Promise<void> {
    const { clock, commands } = this.#context;
    for (let pausing = 0; ; pausing = Math.min(tenure.ttl / 20, 500)) {
      try {
        await commands.submit(kind, call);
        return;
      } catch (error) {
        if (tenure.remaining() <= 0) return;
        if (!(error instanceof FencepostError) || !error.retriable) throw error;
        if (pausing > 0) await pause(clock, pausing);
      }
    }
  }

  /** In portions, so that the process can do something else in between. */
  async releaseAll(): Promise<void> {
    let releasing: Promise<void>[] = [];
    for (const lease of this.#leases) {
      releasing.push(lease.release());
      if (releasing.length < portion) continue;
      await Promise.all(releasing);
      releasing = [];
    }
    await Promise.all(releasing);
  }

  #lease(tenure: LeaseTenure, held: readonly [Held, ...Held[]]): Lease {
    const lease = new Lease(this, tenure, held);
    this.#leases.add(lease);
    if (this.#revoked.size > 0) this.#checkRevoked(lease);
    return lease;
  }

  async #ask(holder: Holder, kind: Kind<Ask, Reply>, ask: Ask): Promise<Answer> {
    const answer = await this.#untilKnown(holder, kind, ask);
    if (!('unreplicated' in answer)) return answer;
    // After a failover it may never have been: nobody may believe in it.
    this.giveBack(holder, answer.granted).catch(() => {});
    throw answer.unreplicated;
  }

  async #untilKnown(holder: Holder, kind: Kind<Ask, Reply>, ask: Ask): Promise<Reply> {
    for (;;) {
      const { epoch } = holder;
      try {
        return await this.#context.commands.submit(kind, ask);
      } catch (error) {
        // The answer was lost, or the call was refused for being older than such a loss. Once the server has let
        // everything older end, the same nonce gets the truth: the token that was granted, or a grant now.
        if (!isInDoubt(error) && !hasState(error, holderFenced)) throw error;
        await holder.settled();
        // A fence of ours that arrived after we had given it up has moved the server on alone.
        if (holder.epoch === epoch) holder.distrust();
        await holder.settled();
        if (!holder.live) throw error;
      }
    }
  }

  #kindsOf(holder: Holder): Kinds {
    let kinds = this.#kinds.get(holder);
    if (kinds === undefined) {
      kinds = kindsOf(this.schema, holder);
      this.#kinds.set(holder, kinds);
    }
    return kinds;
  }
}

const isInDoubt = (error: unknown): boolean => error instanceof DatabaseError && error.inDoubt;
