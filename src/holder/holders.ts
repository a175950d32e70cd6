import { LockLostError } from '../core/errors.ts';
import { hasState, holderExpired } from '../core/sqlstate.ts';
import { closedError } from '../session/database.ts';
import { Holder, type HolderContext } from './holder.ts';

/** The present holder of this process for each ttl in use. */
export class Holders {
  readonly #context: HolderContext;
  readonly #opening = new Map<number, Promise<Holder>>();
  /** Those that were opened last. */
  readonly #opened = new Map<number, Holder>();
  #closed = false;

  constructor(context: HolderContext) {
    this.#context = context;
  }

  /** A living holder; a new one when the last has died or was closed for want of use. */
  async use(ttl: number): Promise<Holder> {
    const present = this.#opening.get(ttl);
    if (present !== undefined) {
      const holder = await present;
      if (holder.live) return holder;
      // Whoever sees the dead one first opens the next; the others find that one in its place.
      if (this.#opening.get(ttl) !== present) return this.use(ttl);
    }
    return this.#open(ttl);
  }

  /**
   * The holder that was opened last, or is being opened: perhaps it is dead by now. All who wait for it fail together
   * when the server does not answer: one after the other, the last of a thousand would wait for three hours.
   */
  async opening(ttl: number): Promise<Holder> {
    return this.#opening.get(ttl) ?? this.#open(ttl);
  }

  async #open(ttl: number): Promise<Holder> {
    if (this.#closed) throw closedError();
    const opening = Holder.open(this.#context, ttl);
    this.#opening.set(ttl, opening);
    opening.then(
      (holder) => this.#opened.set(ttl, holder),
      () => {
        if (this.#opening.get(ttl) === opening) this.#opening.delete(ttl);
      },
    );
    return opening;
  }

  /** One that lives and is there already. */
  present(ttl: number): Holder | undefined {
    const opened = this.#opened.get(ttl);
    return opened?.live === true ? opened : undefined;
  }

  /**
   * Does something for a living holder, and again for a new one when the server says that it had died. When those die
   * as well, the server is slower than the ttl, and what was wanted, `what`, counts as lost. `first`: for which it was begun.
   */
  async living<Result>(
    ttl: number,
    what: () => string,
    work: (holder: Holder) => Promise<Result>,
    first?: Holder,
  ): Promise<Result> {
    for (let dead = 0; ; dead += 1) {
      const begun = dead === 0 ? first : undefined;
      const holder = begun ?? this.present(ttl) ?? (await this.use(ttl));
      holder.begin();
      try {
        return await work(holder);
      } catch (error) {
        if (!hasState(error, holderExpired)) throw error;
        holder.buried();
        if (dead === 2) throw new LockLostError(what(), 'expired', { cause: error });
      } finally {
        holder.end();
      }
    }
  }

  /** Sends a heartbeat of each, for what its answer says. */
  beat(): void {
    for (const opening of this.#opening.values()) opening.then((holder) => holder.renew()).catch(() => {});
  }

  async close(): Promise<void> {
    this.#closed = true;
    const opening = [...this.#opening.values()];
    this.#opening.clear();
    this.#opened.clear();
    await Promise.allSettled(opening.map(async (holder) => (await holder).close()));
  }
}
