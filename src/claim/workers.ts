import { pause, within } from '../core/abort.ts';
import type { Clock } from '../core/clock.ts';
import type { Duration } from '../core/duration.ts';
import { ArgumentError, FencepostError } from '../core/errors.ts';
import { duration, integer, optional, signal, validate, withDefault } from '../core/options.ts';
import type { Claim } from './claim.ts';

/** How rows are worked on. */
export interface WorkOptions {
  /** How many rows at one time. 10 by default; in storage `held` at most `connections`, which is its default there. */
  readonly concurrency?: number | undefined;
  /**
   * Most rows in one claim, and most that are claimed before there is room for them. A greater one saves round trips,
   * and keeps rows from other workers that might have begun with them sooner. As `concurrency` by default.
   */
  readonly batch?: number | undefined;
  /** How long after a claim that found too little it is tried again. 1 second by default; half of it is at random. */
  readonly poll?: Duration | undefined;
  /** Only rows whose `tenant` column has this value. */
  readonly tenant?: string | number | bigint | undefined;
  /**
   * How long after a failed attempt the next one comes, by the number of the one that failed. By default 1 second,
   * doubled each time, to 5 minutes, and half of it at random. In storage `held`, where nobody counts, the row stays
   * locked for that time, and its place taken.
   */
  readonly backoff?: ((attempt: number) => Duration) | undefined;
  /** How long `stop()` waits for handlers before it aborts their signals. 30 seconds by default. */
  readonly grace?: Duration | undefined;
  /** Stops it, as `stop()` does. */
  readonly signal?: AbortSignal | undefined;
  /** Hears of claims and settlements that failed. They are tried again where that can help. */
  readonly onError?: ((error: unknown) => void) | undefined;
}

/** What the workers need of the claims they work for. */
export interface WorkSource<Row, DB> {
  readonly clock: Clock;
  claim(limits: { limit: number; tenant: WorkOptions['tenant'] }): Promise<Claim<Row, DB>[]>;
  /** Most claims that can be held at one time; then none is made before there is room for it. */
  readonly most: number;
  /** Whether a row that was settled makes room for another one that could not be claimed before. */
  readonly keyed: boolean;
  /** Aborts the signal of a claim that is still held and gives its row back. */
  abandon(claim: Claim<Row, DB>): void;
  /** An attempt has failed; the next one comes so much later. */
  giveBack(claim: Claim<Row, DB>, after: Duration, error: unknown, signal: AbortSignal): Promise<void>;
}

export type Handler<Row, DB> = (claim: Claim<Row, DB>) => Promise<unknown>;

const longestPause = 30_000;

/**
 * Works on rows as they come, several at one time, until it is stopped. A handler that returns has completed its row,
 * unless it settled it itself; one that throws gives it back for a later attempt.
 */
export class Workers<Row, DB> implements AsyncDisposable {
  readonly #source: WorkSource<Row, DB>;
  readonly #handler: Handler<Row, DB>;
  readonly #options: ReturnType<typeof workOptions>;
  readonly #queue: Claim<Row, DB>[] = [];
  readonly #running = new Map<Claim<Row, DB>, Promise<void>>();
  readonly #stopping = new AbortController();
  readonly #fetching: Promise<void>;
  #room = Promise.withResolvers<void>();
  #stopped: Promise<void> | undefined;

  /** @internal */
  constructor(source: WorkSource<Row, DB>, options: unknown, handler: Handler<Row, DB>) {
    this.#source = source;
    this.#options = workOptions(options, source.most);
    if (typeof handler !== 'function') throw new ArgumentError('handler', 'a function', handler);
    this.#handler = handler;
    this.#fetching = this.#fetch();
    // Whoever stops it hears of it, and whoever listens to `finished`.
    this.#fetching.catch(() => this.#stopping.abort());
    const { signal: given } = this.#options;
    if (given?.aborted === true) this.stop().catch(() => {});
    given?.addEventListener('abort', () => this.stop().catch(() => {}), { once: true });
  }

  /** How many rows handlers work on at the moment, and how many are claimed for them. */
  get load(): { readonly running: number; readonly waiting: number } {
    return { running: this.#running.size, waiting: this.#queue.length };
  }

  /** Ends when it claims no more: after a stop, or with an error that trying again cannot mend. */
  get finished(): Promise<void> {
    return this.#fetching;
  }

  /**
   * Claims no more, gives back what no handler has begun with, and waits for the handlers; after `grace` it aborts their
   * signals and gives their rows back. Ends when all of it is done; rejects
   * as `finished` does.
   */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #fetch(): Promise<void> {
    const { concurrency, batch, poll, tenant } = this.#options;
    const { most } = this.#source;
    const ahead = most === Infinity ? batch : 0;
    for (let failures = 0; !this.#stopping.signal.aborted; ) {
      const limit = Math.min(batch, concurrency + ahead - this.#running.size - this.#queue.length);
      // Not for every single place: a claim costs a round trip.
      if (limit < Math.ceil(Math.min(batch, concurrency) / 2)) {
        this.#room = Promise.withResolvers();
        await this.#room.promise;
        continue;
      }
      let found = 0;
      try {
        const claims = await this.#source.claim({ limit, tenant });
        found = claims.length;
        failures = 0;
        this.#queue.push(...claims);
        this.#start();
      } catch (error) {
        failures += 1;
        this.#options.onError?.(error);
        if (error instanceof FencepostError && !error.retriable) throw error;
      }
      if (found === limit) continue;
      const wait = Math.min(poll * 2 ** Math.max(0, failures - 1), Math.max(poll, longestPause));
      await this.#wait(wait * (0.5 + Math.random() / 2));
    }
  }

  async #wait(time: number): Promise<void> {
    const over = new AbortController();
    const signal = AbortSignal.any([over.signal, this.#stopping.signal]);
    const waited = pause(this.#source.clock, time, signal).catch(() => {});
    if (this.#source.keyed) {
      this.#room = Promise.withResolvers();
      await Promise.race([waited, this.#room.promise]);
    } else await waited;
    over.abort();
  }

  #start(): void {
    while (this.#running.size < this.#options.concurrency && !this.#stopping.signal.aborted) {
      const claim = this.#queue.shift();
      if (claim === undefined) return;
      // One that waited here until it was lost is somebody else's by now.
      if (claim.state === 'lost') continue;
      const running = this.#run(claim).finally(() => {
        this.#running.delete(claim);
        this.#start();
        this.#room.resolve();
      });
      this.#running.set(claim, running);
    }
  }

  async #run(claim: Claim<Row, DB>): Promise<void> {
    try {
      await this.#handler(claim);
      if (!claim.settled) await claim.complete();
    } catch (error) {
      try {
        const after = this.#options.backoff(claim.attempt);
        if (!claim.settled) await this.#source.giveBack(claim, after, error, this.#stopping.signal);
      } catch (failure) {
        this.#options.onError?.(failure);
      }
    }
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    this.#room.resolve();
    await this.#fetching.catch(() => {});
    const unstarted = this.#queue.splice(0).map((claim) => claim.release());
    const handlers = Promise.all(this.#running.values());
    const ended = await within(this.#source.clock, this.#options.grace, handlers);
    if (ended === undefined) {
      for (const claim of this.#running.keys()) this.#source.abandon(claim);
      await handlers;
    }
    await Promise.allSettled(unstarted);
    await this.#fetching;
  }
}

function workOptions(given: unknown, most: number) {
  const { concurrency, batch, ...rest } = validate('options', given, {
    concurrency: withDefault(integer({ min: 1, max: Math.min(10_000, most) }), Math.min(10, most)),
    batch: optional(integer({ min: 1, max: 10_000 })),
    poll: withDefault(duration({ min: 1 }), 1_000),
    tenant: optional((_, value) => value as string | number | bigint),
    backoff: withDefault(callback<(attempt: number) => Duration>, defaultBackoff),
    grace: withDefault(duration(), 30_000),
    signal: optional(signal()),
    onError: optional(callback<(error: unknown) => void>),
  });
  return { concurrency, batch: batch ?? concurrency, ...rest };
}

function callback<Callback>(argument: string, value: unknown): Callback {
  if (typeof value === 'function') return value as Callback;
  throw new ArgumentError(argument, 'a function', value);
}

function defaultBackoff(attempt: number): Duration {
  return Math.round(Math.min(1_000 * 2 ** (attempt - 1), 300_000) * (0.5 + Math.random() / 2));
}
