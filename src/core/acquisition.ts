import { type Clock, elapsed, type Moment } from './clock.ts';
import { type AcquireEvent, begin, finish, points, type Subject, spans, type WaitEvent } from './events.ts';

/** One call that wants a lock, as events tell of it. There is one only where somebody listens. */
export class Acquisition {
  readonly #clock: Clock;
  readonly #subject: Subject;
  readonly #event: AcquireEvent;
  #waitingSince: Moment | undefined;

  constructor(clock: Clock, subject: Subject, wait: number) {
    this.#clock = clock;
    this.#subject = subject;
    this.#event = { ...subject, wait, waited: 0 };
    begin(spans.acquire, this.#event);
  }

  /** Whether somebody wants to know. Asked for each lock, before anything is made. */
  static get wanted(): boolean {
    return spans.acquire.hasSubscribers || spans.wait.hasSubscribers || points.grant.hasSubscribers;
  }

  /** Milliseconds, up to now. */
  get waited(): number {
    const present = this.#waitingSince === undefined ? 0 : elapsed(this.#waitingSince, this.#clock.now());
    return this.#event.waited + present;
  }

  /** It has to wait from now on, until the answer is called. */
  wait(where: WaitEvent['where']): (granted: boolean) => void {
    const acquire = this.#event;
    const event: WaitEvent = { ...this.#subject, acquire, where };
    const started = this.#clock.now();
    this.#waitingSince = started;
    begin(spans.wait, event);
    return (granted) => {
      this.#waitingSince = undefined;
      event.waited = elapsed(started, this.#clock.now());
      event.granted = granted;
      acquire.waited += event.waited;
      finish(spans.wait, event);
    };
  }

  granted(): void {
    this.#event.outcome = 'granted';
    finish(spans.acquire, this.#event);
  }

  refused(): void {
    this.#event.outcome = this.#event.wait > 0 ? 'timeout' : 'refused';
    finish(spans.acquire, this.#event);
  }

  failed(error: unknown): void {
    this.#event.error = error;
    finish(spans.acquire, this.#event);
  }

  /** The outcome of the call, with its end told; what is undefined or false was not granted. */
  async follow<Outcome>(call: Promise<Outcome>): Promise<Outcome> {
    try {
      const outcome = await call;
      if (outcome === undefined || outcome === false) this.refused();
      else this.granted();
      return outcome;
    } catch (error) {
      this.failed(error);
      throw error;
    }
  }
}
