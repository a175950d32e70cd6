import { type Clock, elapsed, type Moment } from '../core/clock.ts';
import type { Claim } from './claim.ts';

/** What happened to a row that a pool works on. `duration`: milliseconds that its handler has run. */
export type WorkEvent<Row, DB> =
  /** A handler begins with it. */
  | { readonly type: 'started'; readonly claim: Claim<Row, DB> }
  /** It is done. */
  | { readonly type: 'completed'; readonly claim: Claim<Row, DB>; readonly duration: number }
  /** It was given back without a fault: by its handler, or because the pool stopped before one began. */
  | { readonly type: 'released'; readonly claim: Claim<Row, DB>; readonly duration: number }
  /** This attempt failed: the row waits for another one, or is set aside. */
  | {
      readonly type: 'failed';
      readonly claim: Claim<Row, DB>;
      readonly duration: number;
      readonly error: unknown;
    }
  /** The claim was lost before it was settled: the row is somebody else's, or free. */
  | {
      readonly type: 'stale';
      readonly claim: Claim<Row, DB>;
      readonly duration: number;
      readonly error: unknown;
    };

/** What a pool of workers has done since it was made, and does at the moment. */
export interface WorkStats {
  /** Rows that it has claimed: the other numbers that are not of the moment add up to no more. */
  readonly claimed: number;
  /** Rows that a handler began with. */
  readonly started: number;
  readonly completed: number;
  readonly failed: number;
  readonly released: number;
  /** Lost before they were settled. */
  readonly stale: number;
  /** Rows that handlers work on at the moment. */
  readonly running: number;
  /** Rows that are claimed and wait for a handler at the moment. */
  readonly waiting: number;
  /** Rows completed a second, over the last ten seconds. */
  readonly rate: number;
}

type Outcome = 'completed' | 'failed' | 'released' | 'stale';

/** Seconds that a rate is taken over. */
const span = 10;

/** What a pool has done so far. */
export class Tally {
  readonly #clock: Clock;
  readonly #begun: Moment;
  readonly #counts = { claimed: 0, started: 0, completed: 0, failed: 0, released: 0, stale: 0 };
  /** How many were completed in a second, counted from the beginning, for the seconds of the span. */
  readonly #seconds = new Map<number, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#begun = clock.now();
  }

  count(what: 'claimed' | 'started' | Outcome, rows = 1): void {
    this.#counts[what] += rows;
    if (what !== 'completed') return;
    const second = Math.floor(this.#age());
    this.#seconds.set(second, (this.#seconds.get(second) ?? 0) + rows);
    if (this.#seconds.size > span) this.#forget(second);
  }

  stats(load: { readonly running: number; readonly waiting: number }): WorkStats {
    const age = this.#age();
    this.#forget(Math.floor(age));
    const recent = [...this.#seconds.values()].reduce((sum, rows) => sum + rows, 0);
    // The second that is under way is not over: the span reaches from its end back.
    const seconds = Math.min(Math.max(age, 1), span - 1 + (age % 1));
    return { ...this.#counts, ...load, rate: recent / seconds };
  }

  #age(): number {
    return elapsed(this.#begun, this.#clock.now()) / 1_000;
  }

  #forget(second: number): void {
    for (const old of this.#seconds.keys()) if (old <= second - span) this.#seconds.delete(old);
  }
}
