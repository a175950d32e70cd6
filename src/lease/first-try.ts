import type { Holder } from '../holder/holder.ts';
import type { Pending } from '../session/commands.ts';
import type { Refusal } from '../sql/lease.ts';
import type { Call } from './call.ts';
import type { Reply } from './kinds.ts';
import type { Lease } from './lease.ts';
import type { Place } from './lines.ts';

/** A first try that did not get the lease, and where its call stands. */
export interface Begun {
  readonly place: Place | undefined;
  /** Whether messages came when it asked. */
  readonly listening: boolean;
  readonly outcome: Promise<Lease | Refusal> | undefined;
}

/** Who looks at the answer. */
export interface Granter {
  /** The lease, when it is simply granted. */
  granted(call: Call, holder: Holder, epoch: number, reply: Reply): Lease | undefined;
  /** What becomes of it otherwise. */
  goOn(call: Call, holder: Holder, epoch: number, reply: Promise<Reply>): Promise<Lease | Refusal>;
}

/** Who knows of the calls under way. */
export interface Waiters {
  /** The call goes on as any other one. */
  goOn(call: Call, begun: Begun): Promise<Lease | undefined>;
  /** It has ended, or goes on. */
  ended(): void;
}

/**
 * The first try of a call that nothing ends early and nobody listens to. When it gets the lease, as most do, this and
 * one promise is all that the call costs: 13 kB were made for a call and its release before, and are 4 since.
 */
export class FirstTry implements Pending<Call, Reply> {
  readonly call: Call;
  readonly #waiters: Waiters;
  readonly #granter: Granter;
  readonly #holder: Holder;
  readonly #epoch: number;
  readonly #place: Place | undefined;
  readonly #listening: boolean;
  readonly #settle: (outcome: Lease | undefined | Promise<Lease | undefined>) => void;

  constructor(
    waiters: Waiters,
    granter: Granter,
    call: Call,
    holder: Holder,
    place: Place | undefined,
    listening: boolean,
    settle: (outcome: Lease | undefined | Promise<Lease | undefined>) => void,
  ) {
    this.call = call;
    this.#waiters = waiters;
    this.#granter = granter;
    this.#holder = holder;
    this.#epoch = holder.epoch;
    this.#place = place;
    this.#listening = listening;
    this.#settle = settle;
    holder.begin();
  }

  resolve(reply: Reply): void {
    const lease = this.#granter.granted(this.call, this.#holder, this.#epoch, reply);
    const over = lease !== undefined || (this.#place === undefined && 'heldFor' in reply);
    if (!over) {
      this.#goOn(Promise.resolve(reply));
      return;
    }
    this.#place?.leave(lease !== undefined);
    this.#settle(lease);
    this.#end();
  }

  reject(error: unknown): void {
    this.#goOn(Promise.reject(error));
  }

  #goOn(reply: Promise<Reply>): void {
    const begun = {
      place: this.#place,
      listening: this.#listening,
      outcome: this.#granter.goOn(this.call, this.#holder, this.#epoch, reply),
    };
    this.#settle(this.#waiters.goOn(this.call, begun));
    this.#end();
  }

  #end(): void {
    this.#holder.end();
    this.#waiters.ended();
  }
}
