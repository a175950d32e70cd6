import type { Clock, Moment } from '../../src/core/clock.ts';

/** A clock that a test moves. Timers run by monotonic time, as those of Node do. */
export class ManualClock implements Clock {
  #monotonic = 1_000;
  #wall = 1_700_000_000_000;
  readonly #timers = new Set<{ due: number; callback: () => void }>();

  now(): Moment {
    return { monotonic: this.#monotonic, wall: this.#wall };
  }

  after(milliseconds: number, callback: () => void): () => void {
    const timer = { due: this.#monotonic + milliseconds, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Both clocks go on, and the timers that become due run, each at its own time. */
  pass(milliseconds: number): void {
    const end = this.#monotonic + milliseconds;
    for (;;) {
      const [next] = [...this.#timers].filter(({ due }) => due <= end).sort((a, b) => a.due - b.due);
      this.#advance((next?.due ?? end) - this.#monotonic);
      if (next === undefined) return;
      this.#timers.delete(next);
      next.callback();
    }
  }

  /** Only the wall clock goes on, as while a virtual machine is suspended; or somebody sets it, back as well. */
  moveWall(milliseconds: number): void {
    this.#wall += milliseconds;
  }

  /** Only the monotonic clock goes on: the wall clock was set back meanwhile. No timer runs. */
  moveMonotonic(milliseconds: number): void {
    this.#monotonic += milliseconds;
  }

  #advance(milliseconds: number): void {
    this.#monotonic += Math.max(0, milliseconds);
    this.#wall += Math.max(0, milliseconds);
  }
}
