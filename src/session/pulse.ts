import { type Clock, elapsed, type Moment } from '../core/clock.ts';
import { marginOf } from '../core/handle.ts';

/**
 * How long a session can be trusted after its last sign of life, which counts from when the statement was sent that it
 * answered; and the beat, every third of the ttl, at which a new one is asked for.
 */
export class Pulse {
  readonly #clock: Clock;
  readonly #ttl: number;
  #sign: Moment;
  #cancelBeat = (): void => {};

  constructor(clock: Clock, ttl: number, sign: Moment, beat: () => void) {
    this.#clock = clock;
    this.#ttl = ttl;
    this.#sign = sign;
    this.#plan(beat);
  }

  now(): Moment {
    return this.#clock.now();
  }

  /** It answered what was sent then. */
  confirm(sent: Moment): void {
    this.#sign = sent;
  }

  /** Milliseconds since the last sign of life. */
  get age(): number {
    return elapsed(this.#sign, this.now());
  }

  /** Milliseconds of trust that are left. */
  get remaining(): number {
    return this.#ttl - marginOf(this.#ttl) - this.age;
  }

  /** A beat was due a while ago and has not been answered. */
  get late(): boolean {
    return this.age > this.#ttl / 2;
  }

  stop(): void {
    this.#cancelBeat();
  }

  #plan(beat: () => void): void {
    this.#cancelBeat = this.#clock.after(this.#ttl / 3, () => {
      this.#plan(beat);
      beat();
    });
  }
}
