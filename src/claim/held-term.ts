import type { Place } from '../core/chain.ts';
import { type Clock, elapsed, type Moment } from '../core/clock.ts';
import type { LossReason } from '../core/errors.ts';
import { type RenewEvent, spans } from '../core/events.ts';
import { type Holding, marginOf, type Tenure } from '../core/handle.ts';
import { stir } from '../sql/claim-held.ts';
import { endSession } from '../sql/session-lock.ts';
import type { Statement } from '../sql/statement.ts';

/**
 * How long an open transaction can be trusted that the server ends when it is silent: it says something every third of
 * that time, unless it is at work, when its own statements say how it is.
 */
export class HeldTerm implements Tenure, Place {
  readonly #clock: Clock;
  readonly #ttl: number;
  readonly #run: (statement: Statement) => Promise<unknown>;
  #sign: Moment;
  #holding: Holding | undefined;
  #state: 'idle' | 'working' | 'over' = 'idle';
  #stirring: Promise<void> | undefined;
  #cancel = (): void => {};

  constructor(clock: Clock, ttl: number, sign: Moment, run: (statement: Statement) => Promise<unknown>) {
    this.#clock = clock;
    this.#ttl = ttl;
    this.#sign = sign;
    this.#run = run;
    this.#plan();
  }

  readonly doubtful = false;

  get over(): boolean {
    return this.remaining() <= 0;
  }

  remaining(): number {
    if (this.#state !== 'idle') return this.#state === 'working' ? this.#ttl : 0;
    const left = this.#ttl - marginOf(this.#ttl) - elapsed(this.#sign, this.#clock.now());
    if (left <= 0) this.end('expired');
    return left;
  }

  add(holding: Holding): Place<Holding> {
    this.#holding = holding;
    return this;
  }

  leave(): void {
    this.#holding = undefined;
    this.#finish();
  }

  end(reason: LossReason, cause?: unknown): void {
    const holding = this.#holding;
    this.#finish();
    holding?.lose(reason, cause);
  }

  /** With the session that the row is locked in. */
  async die(): Promise<void> {
    await this.#run(endSession).catch(() => {});
    this.end('connection');
  }

  /** Ends when nothing of this is under way in the transaction. */
  async quiet(): Promise<void> {
    await this.#stirring;
  }

  /** Work in the transaction, once nothing else is under way in it. `stirred`: something is about to be said in it. */
  async work<Result>(work: (stirred: () => void) => Promise<Result>): Promise<Result> {
    this.#cancel();
    this.#state = 'working';
    await this.quiet();
    try {
      return await work(() => {
        this.#sign = this.#clock.now();
      });
    } finally {
      if (this.#state === 'working') {
        this.#state = 'idle';
        this.#plan();
      }
    }
  }

  #finish(): void {
    this.#state = 'over';
    this.#cancel();
  }

  #plan(): void {
    this.#cancel = this.#clock.after(Math.max(1, Math.min(this.#ttl / 3, this.remaining())), () => {
      // The deadline comes first: what slept past it is not asked any more.
      if (this.over) return;
      this.#stirring ??= this.#say();
      this.#plan();
    });
  }

  async #tell(sent: Moment): Promise<unknown> {
    if (!spans.renew.hasSubscribers) return this.#run(stir);
    const ttl = this.#ttl;
    const since = elapsed(this.#sign, sent);
    const facts = { holder: undefined, key: undefined, ttl, since, lag: Math.max(0, since - ttl / 3) };
    const event: RenewEvent = { of: 'claim', ...facts };
    return spans.renew.tracePromise(async () => {
      await this.#run(stir);
      event.alive = true;
    }, event);
  }

  async #say(): Promise<void> {
    const sent = this.#clock.now();
    try {
      await this.#tell(sent);
      if (elapsed(this.#sign, sent) > 0) this.#sign = sent;
    } catch (error) {
      if (this.#state !== 'over') this.end('connection', error);
    } finally {
      this.#stirring = undefined;
    }
  }
}
