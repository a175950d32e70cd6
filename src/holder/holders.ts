import { closedError } from '../session/database.ts';
import { Holder, type HolderContext } from './holder.ts';

/** The present holder of this process for each ttl in use. */
export class Holders {
  readonly #context: HolderContext;
  readonly #opening = new Map<number, Promise<Holder>>();
  #closed = false;

  constructor(context: HolderContext) {
    this.#context = context;
  }

  /** A living holder; a new one when the last has died or was closed for want of use. */
  async use(ttl: number): Promise<Holder> {
    const present = this.#opening.get(ttl);
    if (present !== undefined) {
      const holder = await present.catch(() => undefined);
      if (holder?.live) return holder;
      // Whoever sees the dead one first opens the next; the others find that one in its place.
      if (this.#opening.get(ttl) !== present) return this.use(ttl);
    }
    if (this.#closed) throw closedError();
    const opening = Holder.open(this.#context, ttl);
    this.#opening.set(ttl, opening);
    return opening;
  }

  /** Sends a heartbeat of each, for what its answer says. */
  beat(): void {
    for (const opening of this.#opening.values()) opening.then((holder) => holder.renew()).catch(() => {});
  }

  async close(): Promise<void> {
    this.#closed = true;
    const opening = [...this.#opening.values()];
    this.#opening.clear();
    await Promise.allSettled(opening.map(async (holder) => (await holder).close()));
  }
}
