import { type Clock, elapsed, type Moment } from '../core/clock.ts';
import { StaleTokenError } from '../core/errors.ts';
import type { Claim } from './claim.ts';
import { Completion } from './completion.ts';
import type { Tally, WorkEvent } from './tally.ts';

/** What is done with a claimed row. When it returns, the row is completed; when it throws, it is given back. */
export type Handler<Row, DB> = (claim: Claim<Row, DB>) => Promise<unknown>;

/** The pool that handlers are in. */
export interface HandlerPool<Row, DB> {
  readonly clock: Clock;
  readonly tally: Tally;
  readonly concurrency: number;
  /** No handler begins any more. */
  readonly stopped: boolean;
  readonly onEvent: ((event: WorkEvent<Row, DB>) => void) | undefined;
  readonly onError: ((error: unknown) => void) | undefined;
  /** Gives a row back for a later attempt, unless it is settled. */
  giveBack(claim: Claim<Row, DB>, error: unknown): Promise<void>;
  /** A handler has ended: another one has begun in its place, if a row waited for it. */
  handled(): void;
  /** A row that a handler has begun with is settled. */
  settled(): void;
}

/** Rows that wait for a handler, those that one is at work on, and those that are being settled. */
export class Handlers<Row, DB> {
  readonly #pool: HandlerPool<Row, DB>;
  readonly #handler: Handler<Row, DB>;
  #queue: Claim<Row, DB>[] = [];
  /** Where the next one stands in it. */
  #next = 0;
  /** What has begun and is not settled yet, in no order. */
  readonly #begun: Work<Row, DB>[] = [];
  readonly #idle: Place<Row, DB>[] = [];
  /** How many were completed since they were counted last. */
  #completed = 0;
  #running = 0;

  constructor(pool: HandlerPool<Row, DB>, handler: Handler<Row, DB>) {
    this.#pool = pool;
    this.#handler = handler;
  }

  get waiting(): number {
    return this.#queue.length - this.#next;
  }

  /** How many handlers are at work. */
  get running(): number {
    return this.#running;
  }

  /** How many rows have begun and are not settled. */
  get unsettled(): number {
    return this.#begun.length;
  }

  get begun(): Claim<Row, DB>[] {
    return this.#begun.map(({ claim }) => claim);
  }

  add(claims: Claim<Row, DB>[]): void {
    this.#queue = this.waiting === 0 ? claims : [...this.takeBack(), ...claims];
    this.#next = 0;
    this.#start();
  }

  /** Takes out those that no handler has begun with. */
  takeBack(): Claim<Row, DB>[] {
    const waiting = this.#queue.slice(this.#next);
    this.#queue = [];
    this.#next = 0;
    return waiting;
  }

  /** A row that no handler has begun with was given back. */
  returned(claim: Claim<Row, DB>): void {
    this.#tellEnd(claim, this.#pool.clock.now(), undefined);
  }

  /** Counts what was completed: one look at the clock for all rows of a statement. */
  count(): void {
    const completed = this.#completed;
    this.#completed = 0;
    if (completed > 0) this.#pool.tally.count('completed', completed);
  }

  /** @internal */
  handled(place: Place<Row, DB>, work: Work<Row, DB>): void {
    const { claim } = work;
    if (claim.settled) {
      this.#settle(work, undefined, place);
      return;
    }
    const refused = claim.begin(work);
    if (refused === undefined) this.#leave(place);
    else void this.failed(work, refused, place);
  }

  /** @internal */
  async failed(work: Work<Row, DB>, error: unknown, place?: Place<Row, DB>): Promise<void> {
    try {
      await this.#pool.giveBack(work.claim, error);
    } catch (failure) {
      this.#report(failure);
    }
    this.#settle(work, error, place);
  }

  /** @internal */
  completed(work: Work<Row, DB>): void {
    this.#settle(work, undefined, undefined);
  }

  #start(): void {
    const pool = this.#pool;
    while (this.#running < pool.concurrency && !pool.stopped) {
      const claim = this.#queue[this.#next];
      if (claim === undefined) {
        // Else their rows stayed in memory until the next ones come.
        if (this.#next > 0) this.takeBack();
        return;
      }
      this.#next += 1;
      // One that waited here until it was lost is somebody else's by now.
      if (claim.state === 'lost')
        this.#tell({ type: 'stale', claim, duration: 0, error: claim.signal.reason });
      else this.#begin(claim);
    }
  }

  #begin(claim: Claim<Row, DB>): void {
    const { onEvent, clock, tally } = this.#pool;
    const work = new Work(this, claim, this.#begun.length, onEvent && clock.now());
    this.#begun.push(work);
    this.#running += 1;
    if (onEvent === undefined) tally.count('started');
    else this.#tell({ type: 'started', claim });
    const place = this.#idle.pop() ?? new Place(this);
    place.work = work;
    let handled: unknown;
    try {
      handled = this.#handler(claim);
    } catch (error) {
      handled = Promise.reject(error);
    }
    Promise.resolve(handled).then(place.returned, place.threw);
  }

  /** A handler has its place until it ends. The row is settled after that, in company. */
  #leave(place: Place<Row, DB>): void {
    place.work = undefined;
    this.#idle.push(place);
    this.#running -= 1;
    this.#start();
    this.#pool.handled();
  }

  #settle(work: Work<Row, DB>, error: unknown, place: Place<Row, DB> | undefined): void {
    this.#tellEnd(work.claim, work.started, error);
    const last = this.#begun.pop();
    if (last !== undefined && last !== work) {
      this.#begun[work.index] = last;
      last.index = work.index;
    }
    if (place !== undefined) this.#leave(place);
    this.#pool.settled();
  }

  #tellEnd(claim: Claim<Row, DB>, started: Moment | undefined, error: unknown): void {
    const { onEvent, clock } = this.#pool;
    const { outcome } = claim;
    if (outcome === 'completed' && onEvent === undefined) {
      this.#countSoon();
      return;
    }
    const duration = started === undefined ? 0 : elapsed(started, clock.now());
    const stale = error instanceof StaleTokenError || claim.state === 'lost';
    const type = outcome === 'completed' ? 'completed' : stale ? 'stale' : (outcome ?? 'failed');
    if (type === 'completed' || type === 'released') this.#tell({ type, claim, duration });
    else this.#tell({ type, claim, duration, error: error ?? claim.signal.reason });
  }

  #tell(event: WorkEvent<Row, DB>): void {
    if (event.type === 'completed') this.#countSoon();
    else this.#pool.tally.count(event.type);
    try {
      this.#pool.onEvent?.(event);
    } catch (error) {
      this.#report(error);
    }
  }

  #countSoon(): void {
    this.#completed += 1;
    if (this.#completed === 1) queueMicrotask(() => this.count());
  }

  /** What a listener of errors throws is nobody's to catch, and may not keep other rows of its statement waiting. */
  #report(error: unknown): void {
    try {
      this.#pool.onError?.(error);
    } catch (thrown) {
      void Promise.reject(thrown);
    }
  }
}

/** A row from the beginning of its handler until it is settled. */
class Work<Row, DB> extends Completion<Claim<Row, DB>> {
  readonly #handlers: Handlers<Row, DB>;
  /** Where it stands among those that have begun. */
  index: number;
  /** Known where somebody listens. */
  readonly started: Moment | undefined;

  constructor(
    handlers: Handlers<Row, DB>,
    claim: Claim<Row, DB>,
    index: number,
    started: Moment | undefined,
  ) {
    super(claim);
    this.#handlers = handlers;
    this.index = index;
    this.started = started;
  }

  protected override ended(error: unknown): void {
    if (error === undefined) this.#handlers.completed(this);
    else void this.#handlers.failed(this, error);
  }
}

/** A place for one handler after the other: what hears of their ends is made once. */
class Place<Row, DB> {
  work: Work<Row, DB> | undefined;
  readonly returned: () => void;
  readonly threw: (error: unknown) => void;

  constructor(handlers: Handlers<Row, DB>) {
    this.returned = () => {
      if (this.work !== undefined) handlers.handled(this, this.work);
    };
    this.threw = (error) => {
      if (this.work !== undefined) void handlers.failed(this.work, error, this);
    };
  }
}
