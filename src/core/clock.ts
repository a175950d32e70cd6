/**
 * A moment on this process's clocks. Two are kept because each of them can stand still: the monotonic one while a
 * virtual machine is suspended, the wall clock when somebody sets it back.
 */
export interface Moment {
  readonly monotonic: number;
  readonly wall: number;
}

/** The clocks and timers of the process, replaceable as one so that a simulation can own time. */
export interface Clock {
  now(): Moment;
  /** Calls back once after so many milliseconds; the answer cancels it. Does not keep the process alive. */
  after(milliseconds: number, callback: () => void): () => void;
}

/** Node fires a timer of more than this at once. */
const longestTimer = 2 ** 31 - 1;

/** The only place that reads a clock of this process. */
export const systemClock: Clock = {
  now: () => ({ monotonic: performance.now(), wall: Date.now() }),
  after(milliseconds, callback) {
    // Node counts whole milliseconds of a clock that it reads now and then: its timers come up to one too early.
    const delay = Math.max(1, Math.min(Math.ceil(milliseconds) + 1, longestTimer));
    const timer = setTimeout(callback, delay).unref();
    return () => clearTimeout(timer);
  },
};

/** Milliseconds from one moment to another: the larger of what the two clocks say, never less than 0. */
export function elapsed(from: Moment, to: Moment): number {
  return Math.max(0, to.monotonic - from.monotonic, to.wall - from.wall);
}

/** A date as users know it, of so many milliseconds since 1970. */
export function dateOf(milliseconds: number): Date {
  return new Date(milliseconds);
}

/** Keeps the process alive, which our timers do not, until the answer is called. */
export function keepAlive(): () => void {
  const timer = setInterval(() => {}, longestTimer);
  return () => clearInterval(timer);
}
