import { type Clock, elapsed, type Moment } from '../core/clock.ts';
import type { Holding, Tenure } from '../core/handle.ts';

/** What keeps one attempt: its holder, and no longer than its deadline. */
export class Deadline implements Tenure {
  readonly #holder: Tenure;
  readonly #clock: Clock;
  readonly #limit: number;
  readonly #started: Moment;
  #cancel = (): void => {};

  constructor(holder: Tenure, clock: Clock, limit: number) {
    this.#holder = holder;
    this.#clock = clock;
    this.#limit = limit;
    this.#started = clock.now();
  }

  get doubtful(): boolean {
    return this.#holder.doubtful;
  }

  remaining(): number {
    return this.#holder.remaining();
  }

  add(holding: Holding): void {
    this.#holder.add(holding);
    if (this.#limit !== Infinity) this.#watch(holding);
  }

  drop(holding: Holding): void {
    this.#cancel();
    this.#holder.drop(holding);
  }

  #watch(holding: Holding): void {
    const left = this.#limit - elapsed(this.#started, this.#clock.now());
    this.#cancel = this.#clock.after(Math.max(1, left), () => {
      if (elapsed(this.#started, this.#clock.now()) < this.#limit) this.#watch(holding);
      else holding.lose('deadline');
    });
  }
}
