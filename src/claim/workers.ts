import { pause, within } from '../core/abort.ts';
import type { Clock } from '../core/clock.ts';
import type { Duration } from '../core/duration.ts';
import { ArgumentError, FencepostError } from '../core/errors.ts';
import { largeClaim } from '../sql/claim-fresh.ts';
import type { Claim } from './claim.ts';
import { type Handler, Handlers } from './handlers.ts';
import { Tally, type WorkStats } from './tally.ts';
import type { Waking } from './waking.ts';
import { type WorkOptions, workOptions } from './work-options.ts';

/** What the workers need of the claims they work for. */
export interface WorkSource<Row, DB> {
  readonly clock: Clock;
  claim(limits: { limit: number; tenant: WorkOptions['tenant'] }): Promise<Claim<Row, DB>[]>;
  /** Most claims that can be held at one time; then none is made before there is room for it. */
  readonly most: number;
  /** Whether a row that was settled makes room for another one that could not be claimed before. */
  readonly keyed: boolean;
  /** Whether a second claim that is sent before the answer to the first gets the rows behind those. */
  readonly queues: boolean;
  /** In how many milliseconds a claim sees the rows that the last ones may have missed; Infinity when there are none. */
  readonly looksAgain: number;
  /** Aborts the signal of a claim that is still held and gives its row back. */
  abandon(claim: Claim<Row, DB>): void;
  /** An attempt has failed; the next one comes so much later. */
  giveBack(claim: Claim<Row, DB>, after: Duration, error: unknown, signal: AbortSignal): Promise<void>;
  waking(): Waking;
}

/** A claim whose answer is not here yet. */
interface UnderWay<Row, DB> {
  readonly limit: number;
  readonly answer: Promise<Claim<Row, DB>[]>;
}

const longestPause = 30_000;

/**
 * Works on rows as they come, several at one time, until it is stopped. A handler that returns has completed its row,
 * unless it settled it itself; one that throws gives it back for a later attempt.
 */
export class Workers<Row, DB> implements AsyncDisposable {
  readonly #source: WorkSource<Row, DB>;
  readonly #handlers: Handlers<Row, DB>;
  readonly #options: ReturnType<typeof workOptions<Row, DB>>;
  readonly #tally: Tally;
  /** How many handlers have ended since the last claim. */
  #handledSince = 0;
  /** How many rows were settled. */
  #ended = 0;
  readonly #idle = Promise.withResolvers<void>();
  readonly #stopping = new AbortController();
  readonly #fetching: Promise<void>;
  #waking: Waking | undefined;
  /** Waited for until there is room for rows. Not there else: to resolve one again costs 0.6 us, and each row would. */
  #room: PromiseWithResolvers<void> | undefined;
  #stopped: Promise<void> | undefined;

  /** @internal */
  constructor(source: WorkSource<Row, DB>, options: unknown, handler: Handler<Row, DB>) {
    this.#source = source;
    this.#options = workOptions<Row, DB>(options, source.most);
    this.#tally = new Tally(source.clock);
    if (typeof handler !== 'function') throw new ArgumentError('handler', 'a function', handler);
    this.#handlers = this.#handlersOf(handler);
    this.#fetching = this.#fetch();
    // Whoever stops it hears of it, and whoever listens to `finished`.
    this.#fetching.catch(() => this.#stopping.abort());
    const { signal: given } = this.#options;
    if (given?.aborted === true) this.stop().catch(() => {});
    given?.addEventListener('abort', () => this.stop().catch(() => {}), { once: true });
  }

  /** How many rows handlers work on at the moment, and how many are claimed for them. */
  get load(): { readonly running: number; readonly waiting: number } {
    const { running, waiting } = this.#handlers;
    return { running, waiting };
  }

  /** What it has done so far, and does at the moment. */
  stats(): WorkStats {
    this.#handlers.count();
    return this.#tally.stats(this.load);
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

  /** The end of an `await using` block: `stop()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #handlersOf(handler: Handler<Row, DB>): Handlers<Row, DB> {
    const { concurrency, backoff, onEvent, onError } = this.#options;
    const { signal } = this.#stopping;
    const pool = {
      ...{ clock: this.#source.clock, tally: this.#tally, concurrency, onEvent, onError },
      get stopped() {
        return signal.aborted;
      },
      giveBack: async (claim: Claim<Row, DB>, error: unknown) => {
        const after = backoff(claim.attempt);
        if (!claim.settled) await this.#source.giveBack(claim, after, error, signal);
      },
      handled: () => this.#handled(),
      settled: () => this.#settled(),
    };
    return new Handlers(pool, handler);
  }

  async #fetch(): Promise<void> {
    const { wake } = this.#options;
    this.#waking = wake ? this.#source.waking() : undefined;
    try {
      await this.#fetchUntilStopped(this.#waking);
    } finally {
      this.#waking?.rest();
    }
  }

  async #fetchUntilStopped(waking: Waking | undefined): Promise<void> {
    const underWay: UnderWay<Row, DB>[] = [];
    try {
      await this.#fetchInOrder(underWay, waking);
    } finally {
      for (const { answer } of underWay) {
        await answer.then(
          (claims) => this.#receive(claims),
          (error: unknown) => this.#options.onError?.(error),
        );
      }
    }
  }

  #receive(claims: Claim<Row, DB>[]): void {
    this.#tally.count('claimed', claims.length);
    this.#handlers.add(claims);
  }

  async #fetchInOrder(underWay: UnderWay<Row, DB>[], waking: Waking | undefined): Promise<void> {
    const { batch, poll } = this.#options;
    const { signal: stopping } = this.#stopping;
    let brisk = false;
    for (let failures = 0; !stopping.aborted; ) {
      // The server is at work on the second one while this process is at work on the answer to the first.
      const most: number = brisk && failures === 0 && batch >= largeClaim && this.#source.queues ? 2 : 1;
      while (underWay.length < most && this.#send(underWay, brisk));
      const next = underWay[0];
      if (next === undefined) {
        await this.#roomMade();
        continue;
      }
      let found = 0;
      const ended = this.#ended;
      try {
        const claims = await next.answer;
        found = claims.length;
        failures = 0;
        brisk = this.#handledSince >= batch / most;
        this.#handledSince = 0;
        underWay.shift();
        this.#receive(claims);
        if (found === next.limit) waking?.rest();
        else if (underWay.length === 0) await waking?.wait(found, this.#patience(poll), stopping);
      } catch (error) {
        if (underWay[0] === next) underWay.shift();
        if (error === stopping.reason) return;
        failures += 1;
        this.#options.onError?.(error);
        if (error instanceof FencepostError && !error.retriable) throw error;
      }
      if (underWay.length > 0 || (failures === 0 && (found === next.limit || waking !== undefined))) continue;
      if (failures > 0) {
        await this.#wait(jittered(Math.min(poll * 2 ** (failures - 1), Math.max(poll, longestPause))));
        continue;
      }
      // What was settled while the claim was under way may have made room for more.
      if (!this.#source.keyed || ended === this.#ended) await this.#wait(this.#patience(poll));
    }
  }

  /** Sends a claim for the rows that there is room for; not for every single one: it costs a round trip. */
  #send(underWay: UnderWay<Row, DB>[], brisk: boolean): boolean {
    const { concurrency, batch, tenant } = this.#options;
    const { running, waiting, unsettled } = this.#handlers;
    // A claim that is kept on a connection has none to be made ahead with, and frees it when it is settled.
    const keeps = this.#source.most !== Infinity;
    const least = Math.ceil((keeps ? Math.min(batch, concurrency) : batch) / 2);
    // Handlers that are done with a batch before the next one is here can begin with twice as many soon.
    const ahead = keeps ? 0 : brisk ? 2 * batch : batch;
    const settling = unsettled - running;
    const busy = running + (keeps ? settling : Math.max(0, settling - 2 * batch));
    const asked = underWay.reduce((sum, one) => sum + one.limit, 0);
    const limit = Math.min(batch, concurrency + ahead - busy - waiting - asked);
    if (limit < least) return false;
    const answer = this.#source.claim({ limit, tenant });
    // Awaited in turn; until then nobody may be told that nobody does.
    answer.catch(() => {});
    underWay.push({ limit, answer });
    return true;
  }

  /** How long it waits for rows: until it can see those that the last claims may have missed. */
  #patience(longest: number): number {
    return Math.min(jittered(longest), this.#source.looksAgain);
  }

  async #wait(time: number): Promise<void> {
    const over = new AbortController();
    const signal = AbortSignal.any([over.signal, this.#stopping.signal]);
    const waited = pause(this.#source.clock, time, signal).catch(() => {});
    if (this.#source.keyed) {
      await Promise.race([waited, this.#roomMade()]);
    } else await waited;
    over.abort();
  }

  #roomMade(): Promise<void> {
    this.#room ??= Promise.withResolvers();
    return this.#room.promise;
  }

  #makeRoom(): void {
    this.#room?.resolve();
    this.#room = undefined;
  }

  #handled(): void {
    this.#handledSince += 1;
    if (!this.#source.keyed) this.#makeRoom();
  }

  #settled(): void {
    this.#ended += 1;
    this.#makeRoom();
    if (this.#source.keyed) this.#waking?.ring();
    if (this.#handlers.unsettled === 0 && this.#stopping.signal.aborted) this.#idle.resolve();
  }

  async #giveBack(claim: Claim<Row, DB>): Promise<void> {
    await claim.release();
    this.#handlers.returned(claim);
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    this.#makeRoom();
    await this.#fetching.catch(() => {});
    const unstarted = this.#handlers.takeBack().map((claim) => this.#giveBack(claim));
    if (this.#handlers.unsettled === 0) this.#idle.resolve();
    const handlers = this.#idle.promise.then(() => true);
    const ended = await within(this.#source.clock, this.#options.grace, handlers);
    if (ended === undefined) {
      for (const claim of this.#handlers.begun) this.#source.abandon(claim);
      await handlers;
    }
    await Promise.allSettled(unstarted);
    await this.#fetching;
  }
}

function jittered(milliseconds: number): number {
  return milliseconds * (0.5 + Math.random() / 2);
}
