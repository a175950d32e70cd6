import { randomUUID } from 'node:crypto';
import { pause } from '../core/abort.ts';
import type { Acquisition } from '../core/acquisition.ts';
import { Chain } from '../core/chain.ts';
import { DatabaseError, isRetriable, LockLostError } from '../core/errors.ts';
import { points } from '../core/events.ts';
import { hasState, holderFenced } from '../core/sqlstate.ts';
import type { Holder, LeaseTenure } from '../holder/holder.ts';
import type { Kind } from '../session/commands.ts';
import { type HandOver, handOver, type Resumption } from '../sql/hand-over.ts';
import type { Answer, Ask, Held, Refusal, Resource } from '../sql/lease.ts';
import { channelOf, notify } from '../sql/notification.ts';
import type { Call } from './call.ts';
import type { LeaseContext } from './context.ts';
import { reconcile } from './failover.ts';
import type { FirstTry } from './first-try.ts';
import { FixedTerm } from './fixed-term.ts';
import { type Grants, type Kinds, kindsOf, type Reply } from './kinds.ts';
import { Lease, type LeaseKeeper, type LeaseOrigin, TotalLease } from './lease.ts';
import { resourceText, type Sort, topicOf } from './resource.ts';
import { Returning } from './returning.ts';
import { Revocations } from './revocations.ts';

/** How many leases are released at a time: two statements full of them. */
const portion = 1_024;

/** A call that wants a lease. */
interface Calling {
  readonly resource: Resource;
}

/** A try that has been sent. */
interface First {
  /** Of the holder, when it was. */
  readonly epoch: number;
  readonly reply: Promise<Reply>;
}

/** What events tell of it. */
interface Told {
  readonly sort: Sort;
  /** Where somebody wants to be told of it. */
  readonly acquisition: Acquisition | undefined;
}

/** One try to get a lease, the way back, and what happens when an answer is lost. */
export class Granting implements LeaseKeeper {
  readonly schema: string;
  readonly #context: LeaseContext;
  readonly #kinds = new WeakMap<Holder, Kinds>();
  readonly #origins = new Map<Sort, LeaseOrigin>();
  readonly #returning: Returning;
  /** What this process holds and has not given back. */
  readonly #leases = new Chain<Lease>();
  /** Those that nobody gives back at the end. */
  readonly #kept = new WeakSet<Lease>();
  /** What was taken away, perhaps before this process knew that it had it. */
  readonly #revoked = new Revocations();

  constructor(context: LeaseContext) {
    this.#context = context;
    this.schema = context.schema;
    this.#returning = new Returning(context, (holder) => this.#kindsOf(holder));
  }

  /**
   * One try. With `renew` the lease lives on this process's heartbeat, otherwise it expires by itself after `ttl`; with
   * `keep` not before, though this process has closed.
   */
  try(ask: Ask & Told, ttl: number, renew: boolean, keep: boolean): Promise<Lease | Refusal> {
    const trying = this.#try(({ acquire }) => acquire, ask, ttl, renew);
    if (!keep) return trying;
    return trying.then((answer) => {
      if (answer instanceof Lease) this.#kept.add(answer);
      return answer;
    });
  }

  /** One try to take up what another process has handed over; refused while a guard of that one is open. */
  resume(call: Resumption & Told, ttl: number, renew: boolean): Promise<Lease | Refusal> {
    return this.#try((kinds) => kinds.resume, call, ttl, renew);
  }

  /** A holder that lives, if there is one, for a first try. */
  present(ttl: number): Holder | undefined {
    return this.#context.holders.present(ttl);
  }

  /** Ends when a holder has been opened. */
  opening(ttl: number): Promise<unknown> {
    return this.#context.holders.opening(ttl);
  }

  send(first: FirstTry, holder: Holder): void {
    this.#context.commands.enqueue(this.#kindsOf(holder).acquire.living, first);
  }

  /** The lease that a first try was granted; undefined when there is none, or something to be done before. */
  granted(call: Call, holder: Holder, epoch: number, reply: Reply): Lease | undefined {
    if ('heldFor' in reply || 'unreplicated' in reply) return undefined;
    return holder.epoch === epoch && holder.fresh ? this.#lease(holder, reply, call) : undefined;
  }

  /** What becomes of a first try that was not simply granted. */
  goOn(call: Call, holder: Holder, epoch: number, reply: Promise<Reply>): Promise<Lease | Refusal> {
    let first: First | undefined = { epoch, reply };
    const work = (living: Holder): Promise<Lease | Refusal> => {
      const asked = first;
      first = undefined;
      return this.#tryLiving(living, this.#kindsOf(living).acquire.living, call, asked);
    };
    return this.#context.holders.living(call.ttl, () => resourceText(call.resource), work, holder);
  }

  #try<Sent extends Calling>(
    of: (kinds: Kinds) => Grants<Sent>,
    call: Sent & Told,
    ttl: number,
    renew: boolean,
  ): Promise<Lease | Refusal> {
    const what = (): string => resourceText(call.resource);
    return this.#context.holders.living(ttl, what, (holder) => {
      const kinds = this.#kindsOf(holder);
      const grants = of(kinds);
      return renew
        ? this.#tryLiving(holder, grants.living, call)
        : this.#tryFixed(holder, grants.fixed, kinds, call);
    });
  }

  async #tryLiving<Sent extends Calling>(
    holder: Holder,
    kind: Kind<Sent, Reply>,
    call: Sent & Told,
    first?: First,
  ): Promise<Lease | Refusal> {
    for (let asked = first; ; asked = undefined) {
      const { epoch } = asked ?? holder;
      const asking = this.#ask(holder, kind, call, asked);
      const prompt = asked !== undefined || holder.fresh;
      const answer = prompt ? await asking : (await Promise.all([asking, holder.freshen()]))[0];
      if ('heldFor' in answer) return answer;
      if (!holder.fresh) await holder.freshen();
      if (!holder.live) throw lostMeanwhile(call);
      // A fence of meanwhile may have found the grant unknown here, and given it back: the same nonce gets the truth.
      if (holder.epoch === epoch) return this.#lease(holder, answer, call);
    }
  }

  async #tryFixed<Sent extends Calling>(
    holder: Holder,
    grants: Kind<Sent, Reply>,
    { renewFixed }: Kinds,
    call: Sent & Told,
  ): Promise<Lease | Refusal> {
    const { clock, commands } = this.#context;
    const renew = async (all: readonly Held[], ttl: number): Promise<boolean> => {
      const kind = renewFixed(ttl);
      return (await Promise.all(all.map((one) => commands.submit(kind, one)))).every(Boolean);
    };
    const context = { clock, renew };
    const first = new FixedTerm(context, holder);
    const held = await this.#ask(holder, grants, call);
    if ('heldFor' in held) return held;
    if (first.age < first.ttl / 20) return this.#lease(first, held, call);
    for (;;) {
      // The answer came late, and the term counts from when it was asked for: the lease gets a new one.
      const second = new FixedTerm(context, holder);
      const renewed = await context.renew(held, second.ttl).catch((error: unknown) => error);
      if (renewed === true && second.remaining() > 0) return this.#lease(second, held, call);
      // That answer was lost. The server gives another term as long as the one before has not ended there.
      if (isInDoubt(renewed) && first.remaining() > 0) continue;
      this.giveBack(second, held).catch(() => {});
      throw typeof renewed === 'boolean' ? lostMeanwhile(call) : renewed;
    }
  }

  giveBack(tenure: LeaseTenure, held: readonly Held[], lease?: Lease): Promise<void> {
    return this.#returning.giveBack(tenure, held, lease);
  }

  takeBack(tenure: LeaseTenure, lease: Lease): Promise<void> | undefined {
    return this.#returning.takeBack(tenure, lease);
  }

  withdraw(nonce: string, ttl: number): Promise<void> {
    return this.#returning.withdraw(nonce, ttl);
  }

  ended(lease: Lease): void {
    this.#returning.ended(lease);
  }

  /** Puts it where whoever knows the secret can take it up; false when the server does not know it as held any more. */
  async handOver(tenure: LeaseTenure, handed: HandOver, term: number): Promise<boolean> {
    const { clock, commands, schema } = this.#context;
    for (;;) {
      try {
        return (await commands.run(handOver(schema, tenure.holder.id, term, handed)))?.answer === 't';
      } catch (error) {
        // The answer was lost: asked again with the same secret the server answers the same.
        if (!isRetriable(error) || tenure.remaining() <= 0) throw error;
        await pause(clock, Math.min(tenure.ttl / 20, 500));
      }
    }
  }

  /** Handed over to nobody, for no time: a guard passes until somebody has taken it, as after any expiry. */
  async expire(tenure: LeaseTenure, held: readonly [Held, ...Held[]]): Promise<void> {
    const { commands, schema } = this.#context;
    await commands.run(handOver(schema, tenure.holder.id, 0, { held, secret: randomUUID() }));
    const topics = held.map(({ resource }) => topicOf(resource));
    await commands.run(notify(channelOf(schema), topics.join()));
  }

  /** An operator has taken leases away. */
  revoked(taken: readonly Held[]): void {
    this.#revoked.add(taken);
    for (const lease of this.#leases.list()) this.#checkRevoked(lease);
  }

  /** The server has failed over. */
  moved(holder: Holder): Promise<void> {
    return reconcile(this.#context, this.#kindsOf(holder), holder, () => this.#leases.list());
  }

  #checkRevoked(lease: Lease): void {
    const taken = lease.held.filter((held) => this.#revoked.take(held));
    if (taken.length > 0) lease.lose('revoked');
  }

  /** In portions, so that the process can do something else in between. */
  async releaseAll(): Promise<void> {
    let releasing: Promise<void>[] = [];
    for (const lease of this.#leases.list()) {
      if (this.#kept.has(lease)) continue;
      releasing.push(lease.release());
      if (releasing.length < portion) continue;
      await Promise.all(releasing);
      releasing = [];
    }
    await Promise.all(releasing);
  }

  #lease(tenure: LeaseTenure, [held, total]: readonly [Held, ...Held[]], { sort, acquisition }: Told): Lease {
    const origin = this.#origins.get(sort) ?? { keeper: this, sort };
    this.#origins.set(sort, origin);
    const lease =
      total === undefined ? new Lease(origin, tenure, held) : new TotalLease(origin, tenure, held, total);
    lease.place = this.#leases.add(lease);
    if (points.grant.hasSubscribers)
      points.grant.publish({ ...lease.about(), waited: acquisition?.waited ?? 0 });
    if (!this.#revoked.none) this.#checkRevoked(lease);
    return lease;
  }

  async #ask<Sent extends Calling>(
    holder: Holder,
    kind: Kind<Sent, Reply>,
    call: Sent,
    first?: First,
  ): Promise<Answer> {
    for (let asked = first; ; asked = undefined) {
      const { epoch } = asked ?? holder;
      let answer: Reply;
      try {
        answer = await (asked?.reply ?? this.#context.commands.submit(kind, call));
      } catch (error) {
        // The answer was lost, or the call was refused for being older than such a loss. Once the server has let
        // everything older end, the same nonce gets the truth: the token that was granted, or a grant now.
        if (!isInDoubt(error) && !hasState(error, holderFenced)) throw error;
        await holder.settled();
        // A fence of ours that arrived after we had given it up has moved the server on alone.
        if (holder.epoch === epoch) holder.distrust();
        await holder.settled();
        if (!holder.live) throw hasState(error, holderFenced) ? lostMeanwhile(call, error) : error;
        continue;
      }
      if (!('unreplicated' in answer)) return answer;
      // After a failover it may never have been: nobody may believe in it.
      this.giveBack(holder, answer.granted).catch(() => {});
      throw answer.unreplicated;
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

const lostMeanwhile = ({ resource }: Calling, cause?: unknown): LockLostError =>
  new LockLostError(resourceText(resource), 'expired', { cause });
