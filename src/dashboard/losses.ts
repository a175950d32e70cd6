/** A holder as a look saw it: `left` are the milliseconds until it expires. */
export interface SeenHolder {
  readonly id: string;
  readonly application: string;
  readonly alive: boolean;
  readonly left: number;
}

/** Counts holders that died without a word: those that were alive, and were not when they would have expired. */
export class Losses {
  /** Those that were alive, and when they would expire, on the clock of who looks. */
  readonly #alive = new Map<string, { readonly end: number; readonly application: string }>();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** One that is gone before it would have expired was closed in order. */
  see(holders: readonly SeenHolder[], now: number): { id: string; application: string }[] {
    const known = new Map(holders.map((holder) => [holder.id, holder]));
    const lost: { id: string; application: string }[] = [];
    for (const [id, { end, application }] of this.#alive) {
      const holder = known.get(id);
      if (holder?.alive !== true && (end <= now || holder !== undefined)) lost.push({ id, application });
    }
    this.#alive.clear();
    for (const { id, alive, left, application } of holders)
      if (alive) this.#alive.set(id, { end: now + left, application });
    this.#count += lost.length;
    return lost;
  }
}
