import type { Clock, Moment } from './clock.ts';

/**
 * A clock that can be stopped: for whoever uses it time stands still and no timer runs, as in a process that the system
 * has stopped. When it goes on it shows the time that has come meanwhile, and what was due runs at once.
 */
export class StoppableClock implements Clock {
  readonly #clock: Clock;
  #stopped: Moment | undefined;
  readonly #due = new Set<() => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get stopped(): boolean {
    return this.#stopped !== undefined;
  }

  now(): Moment {
    return this.#stopped ?? this.#clock.now();
  }

  after(milliseconds: number, callback: () => void): () => void {
    const cancel = this.#clock.after(milliseconds, () => {
      if (this.#stopped === undefined) callback();
      else this.#due.add(callback);
    });
    return () => {
      cancel();
      this.#due.delete(callback);
    };
  }

  stop(): void {
    this.#stopped ??= this.#clock.now();
  }

  goOn(): void {
    this.#stopped = undefined;
    for (const callback of [...this.#due]) if (this.#due.delete(callback)) callback();
  }
}
