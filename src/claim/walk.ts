import { type Clock, elapsed, type Moment } from '../core/clock.ts';
import type { Position } from '../sql/claim-asked.ts';
import { hasPositions } from '../sql/claim-position.ts';
import type { ClaimTable } from '../sql/claim-table.ts';

/** A look from the start that took less is not worth a longer statement to be spared, in milliseconds. */
const quick = 10;
/** Longest time for which claims do not look from the start, in milliseconds. */
export const longest = 1_000;

/**
 * Where the claims of workers begin to look. What they claimed, and what is done and cannot be vacuumed because of some
 * open transaction, still stands first in the order: each claim would have to pass all of it. So they go on behind the
 * last one, and look from the start for as much of their time as a tenth, and once a second at least.
 */
export class Walk {
  readonly #clock: Clock;
  #position: Position | null = null;
  #tenant: unknown;
  /** When it looked from the start, and for how long it need not again. */
  #looked: Moment;
  #pause = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#looked = clock.now();
  }

  /** In how many milliseconds it looks from the start again; Infinity when nothing was left out since it did. */
  get rest(): number {
    if (this.#position === null) return Infinity;
    return Math.max(0, this.#pause - elapsed(this.#looked, this.#clock.now()));
  }

  /** Behind what the next claim looks; null is the start. */
  next(tenant: unknown): Position | null {
    return tenant === this.#tenant && this.rest > 0 ? this.#position : null;
  }

  /** A claim that began there, at that time, ended here; null when it found nothing, or all that there was. */
  ended(tenant: unknown, from: Position | null, began: Moment, position: Position | null): void {
    if (from === null) {
      const now = this.#clock.now();
      this.#looked = now;
      this.#pause = pauseAfter(elapsed(began, now));
      this.#tenant = tenant;
      this.#position = this.#pause > 0 ? position : null;
    } else if (tenant === this.#tenant && this.#position !== null)
      this.#position = position ?? this.#position;
  }
}

/** How long after a look from the start that took so long there need not be another. */
export function pauseAfter(took: number): number {
  return took < quick ? 0 : Math.min(10 * took, longest);
}

/** Whether claims of the table come one after the other in one order. */
export function walks(table: ClaimTable): boolean {
  return !table.fair && table.perKey === undefined && hasPositions(table);
}
