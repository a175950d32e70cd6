import type { Place } from '../core/chain.ts';
import { type Clock, elapsed, type Moment } from '../core/clock.ts';
import type { LossReason } from '../core/errors.ts';
import type { Holding, Tenure } from '../core/handle.ts';

/** What keeps one attempt: its holder, and no longer than its deadline or the worker that made it. */
export class Attempt implements Tenure {
  readonly #holder: Tenure;
  readonly #clock: Clock;
  readonly #limit: number;
  readonly #started: Moment;
  #holding: Holding | undefined;
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

  add(holding: Holding): Place<Holding> {
    this.#holding = holding;
    const place = this.#holder.add(holding);
    if (this.#limit !== Infinity) this.#watch();
    return {
      leave: () => {
        this.#cancel();
        this.#holding = undefined;
        place.leave(holding);
      },
    };
  }

  die(): Promise<void> {
    return this.#holder.die();
  }

  /** Ends it on this side, though its holder lives. */
  end(reason: LossReason): void {
    this.#holding?.lose(reason);
  }

  #watch(): void {
    const left = this.#limit - elapsed(this.#started, this.#clock.now());
    this.#cancel = this.#clock.after(Math.max(1, left), () => {
      if (elapsed(this.#started, this.#clock.now()) < this.#limit) this.#watch();
      else this.end('deadline');
    });
  }
}
