import type { Place } from '../core/chain.ts';
import { type Clock, elapsed, type Moment } from '../core/clock.ts';
import { type RenewEvent, spans } from '../core/events.ts';
import { type Holding, marginOf } from '../core/handle.ts';
import type { Holder, LeaseTenure } from '../holder/holder.ts';
import type { Held } from '../sql/lease.ts';
import { resourceText } from './resource.ts';

/** What a fixed term needs of its surroundings. */
export interface FixedTermContext {
  readonly clock: Clock;
  /** Asks the server for another term of so many milliseconds; answers whether it gave one. */
  renew(held: readonly Held[], ttl: number): Promise<boolean>;
}

/** The tenure of one lease with an expiry of its own, which no heartbeat moves. */
export class FixedTerm implements LeaseTenure, Place {
  readonly holder: Holder;
  readonly doubtful = false;
  #ttl: number;
  readonly #context: FixedTermContext;
  /** When the request was sent that the server confirmed last. */
  #since: Moment;
  #expired = false;
  #holding: Holding | undefined;
  #cancelDeadline = (): void => {};

  constructor(context: FixedTermContext, holder: Holder) {
    this.#context = context;
    this.holder = holder;
    this.#ttl = holder.ttl;
    this.#since = context.clock.now();
  }

  get ttl(): number {
    return this.#ttl;
  }

  /** Milliseconds since the last confirmed request was sent. */
  get age(): number {
    return elapsed(this.#since, this.#context.clock.now());
  }

  remaining(): number {
    const left = this.#left;
    if (left <= 0) this.#expire();
    return left;
  }

  add(holding: Holding): Place<Holding> {
    this.#holding = holding;
    this.#watchDeadline();
    return this;
  }

  leave(): void {
    this.#holding = undefined;
    this.#cancelDeadline();
  }

  die(): Promise<void> {
    return this.holder.die();
  }

  async renew(held: readonly Held[], ttl = this.#ttl): Promise<void> {
    if (!spans.renew.hasSubscribers) return this.#renew(held, ttl);
    const [first] = held;
    const key = first && resourceText(first.resource);
    const event: RenewEvent = {
      of: 'lease',
      holder: this.holder.id,
      key,
      ttl,
      since: this.age,
      lag: 0,
    };
    await spans.renew.tracePromise(async () => {
      await this.#renew(held, ttl);
      event.alive = !this.#expired;
    }, event);
  }

  async #renew(held: readonly Held[], ttl: number): Promise<void> {
    const sent = this.#context.clock.now();
    // A shorter term may have begun on the server though its answer is lost.
    if (ttl < this.#ttl - this.age) this.#begin(sent, ttl);
    if (!(await this.#context.renew(held, ttl))) return this.#expire();
    this.#begin(sent, ttl);
  }

  #begin(since: Moment, ttl: number): void {
    this.#since = since;
    this.#ttl = ttl;
    this.#watchDeadline();
  }

  #expire(): void {
    this.#expired = true;
    this.#cancelDeadline();
    this.#holding?.lose('expired');
  }

  #watchDeadline(): void {
    this.#cancelDeadline();
    if (this.#holding === undefined) return;
    this.#cancelDeadline = this.#context.clock.after(Math.max(1, this.#left), () => {
      if (this.remaining() > 0) this.#watchDeadline();
    });
  }

  get #left(): number {
    return this.#expired ? 0 : this.ttl - marginOf(this.ttl) - this.age;
  }
}
