import type { Held } from '../sql/lease.ts';

/** What was taken away from this process, until it is told to whoever holds it. */
export class Revocations {
  /** Leases that were granted together have one token: it alone does not tell which was taken away. */
  readonly #byToken = new Map<bigint, readonly Held[]>();

  get none(): boolean {
    return this.#byToken.size === 0;
  }

  add(taken: readonly Held[]): void {
    for (const held of taken) this.#byToken.set(held.token, [...this.#others(held), held]);
  }

  /** Whether this was taken away; forgotten then. */
  take(held: Held): boolean {
    const all = this.#byToken.get(held.token);
    if (all === undefined) return false;
    const others = this.#others(held);
    if (others.length > 0) this.#byToken.set(held.token, others);
    else this.#byToken.delete(held.token);
    return others.length < all.length;
  }

  #others(held: Held): readonly Held[] {
    return this.#byToken.get(held.token)?.filter((other) => !isSame(held, other)) ?? [];
  }
}

const isSame = (one: Held, other: Held): boolean =>
  one.slot === other.slot &&
  one.resource.name === other.resource.name &&
  one.resource.tenant === other.resource.tenant;
