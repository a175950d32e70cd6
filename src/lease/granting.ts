import { randomUUID } from 'node:crypto';
import { pause } from '../core/abort.ts';
import type { Clock } from '../core/clock.ts';
import { DatabaseError, FencepostError, LockLostError } from '../core/errors.ts';
import type { Holding } from '../core/handle.ts';
import { hasState, holderExpired, holderFenced } from '../core/sqlstate.ts';
import type { Holder } from '../holder/holder.ts';
import type { Holders } from '../holder/holders.ts';
import type { LeaseTenure } from '../holder/tenure.ts';
import type { Commands } from '../session/commands.ts';
import type { Answer, Ask, Claimant, Held, Resource } from '../sql/lease.ts';
import { FixedTerm } from './fixed-term.ts';
import { type Kinds, kindsOf } from './kinds.ts';
import { Lease, type LeaseKeeper } from './lease.ts';
import { resourceText } from './resource.ts';

/** What leases need of their surroundings. */
export interface LeaseContext {
  readonly schema: string;
  readonly clock: Clock;
  readonly commands: Commands;
  readonly holders: Holders;
}

/** A try that did not get the lease. `heldFor`: until its holder expires unless it is renewed, where known. */
export interface Refusal {
  readonly heldFor: number | undefined;
}

/** One try to get a lease, the way back, and what happens when an answer is lost. */
export class Granting implements LeaseKeeper {
  readonly schema: string;
  readonly #context: LeaseContext;
  readonly #kinds = new WeakMap<Claimant, Kinds>();
  /** Who holds leases with a fixed term, for each term. */
  readonly #fixed = new Map<number, Claimant>();
  readonly #name = randomUUID();
  /** What this process holds and has not given back. */
  readonly #leases = new Set<Lease>();

  constructor(context: LeaseContext) {
    this.#context = context;
    this.schema = context.schema;
  }

  /** A lease that lives on this process's heartbeat. */
  async tryLiving(resource: Resource, ttl: number): Promise<Lease | Refusal> {
    const ask = { resource, nonce: randomUUID() };
    // Keeps the holder from being closed for want of use while the acquire is under way.
    const pending: Holding = { lose() {} };
    for (let dead = 0; ; dead += 1) {
      const holder = await this.#context.holders.use(ttl);
      holder.add(pending);
      try {
        const [answer] = await Promise.all([this.#ask(holder, ask), holder.freshen()]);
        if (!('token' in answer)) return answer;
        await holder.freshen();
        if (holder.live) return this.#lease(holder, { resource, token: answer.token });
        throw new LockLostError(resourceText(resource), 'expired');
      } catch (error) {
        // A new holder for the next try. When those die as well, the server is slower than the ttl.
        if (!hasState(error, holderExpired) || dead === 2) throw error;
        holder.buried();
      } finally {
        holder.drop(pending);
      }
    }
  }

  /** A lease that expires by itself after `ttl`. */
  async tryFixed(resource: Resource, ttl: number): Promise<Lease | Refusal> {
    let claimant = this.#fixed.get(ttl);
    if (claimant === undefined) {
      claimant = { id: this.#name, epoch: 0, term: ttl };
      this.#fixed.set(ttl, claimant);
    }
    const { clock, commands } = this.#context;
    const { acquire, renew } = this.#kindsOf(claimant);
    const context = { clock, renew: (one: Held) => commands.submit(renew, one) };
    const ask = { resource, nonce: randomUUID() };
    const first = new FixedTerm(context, claimant, ttl);
    const answer = await this.#repeat(first, isInDoubt, () => commands.submit(acquire, ask));
    if (!('token' in answer)) return answer;
    const held = { resource, token: answer.token };
    if (first.age < ttl / 20) return this.#lease(first, held);
    // The answer came late, and the term counts from when it was asked for: the lease gets a new one.
    const second = new FixedTerm(context, claimant, ttl);
    try {
      if ((await context.renew(held)) && second.remaining() > 0) return this.#lease(second, held);
    } catch (error) {
      this.giveBack(second, held).catch(() => {});
      throw error;
    }
    this.giveBack(second, held).catch(() => {});
    throw new LockLostError(resourceText(resource), 'expired');
  }

  async giveBack(tenure: LeaseTenure, held: Held): Promise<void> {
    const { release } = this.#kindsOf(tenure.claimant);
    try {
      await this.#repeat(tenure, isRetriable, () => this.#context.commands.submit(release, held));
    } catch (error) {
      // Once it has expired nothing is left to give back.
      if (tenure.remaining() > 0) throw error;
    }
  }

  ended(lease: Lease): void {
    this.#leases.delete(lease);
  }

  async releaseAll(): Promise<void> {
    await Promise.all([...this.#leases].map((lease) => lease.release()));
  }

  #lease(tenure: LeaseTenure, held: Held): Lease {
    const lease = new Lease(this, tenure, held);
    this.#leases.add(lease);
    return lease;
  }

  async #ask(holder: Holder, ask: Ask): Promise<Answer> {
    const { acquire } = this.#kindsOf(holder, holder);
    for (;;) {
      const { epoch } = holder;
      try {
        return await this.#context.commands.submit(acquire, ask);
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

  #kindsOf(claimant: Claimant, holder?: Holder): Kinds {
    let kinds = this.#kinds.get(claimant);
    if (kinds === undefined) {
      kinds = kindsOf(this.schema, claimant, holder);
      this.#kinds.set(claimant, kinds);
    }
    return kinds;
  }

  /** Repeats what may be repeated for as long as the tenure lasts. */
  async #repeat<T>(
    tenure: LeaseTenure,
    may: (error: unknown) => boolean,
    send: () => Promise<T>,
  ): Promise<T> {
    for (;;) {
      try {
        return await send();
      } catch (error) {
        if (!may(error) || tenure.remaining() <= 0) throw error;
        await pause(this.#context.clock, Math.min(tenure.ttl / 20, 500));
      }
    }
  }
}

const isInDoubt = (error: unknown): boolean => error instanceof DatabaseError && error.inDoubt;
const isRetriable = (error: unknown): boolean => error instanceof FencepostError && error.retriable;
