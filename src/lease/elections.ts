import { pause } from '../core/abort.ts';
import { type Clock, elapsed, keepAlive } from '../core/clock.ts';
import type { Duration } from '../core/duration.ts';
import { isRetriable } from '../core/errors.ts';
import { signal as abortSignal, duration, optional, validate, withDefault } from '../core/options.ts';
import type { Commands, Kind } from '../session/commands.ts';
import { closedError } from '../session/database.ts';
import { type Leader, leadersOf, readLeader } from '../sql/leader.ts';
import type { Resource } from '../sql/lease.ts';
import type { Lease } from './lease.ts';
import type { Leases } from './leases.ts';
import { observe } from './observing.ts';
import { type LeaseKey, resourceOf } from './resource.ts';
import { Term } from './term.ts';

/** How a process stands for election. */
export interface CampaignOptions {
  /**
   * How long a term outlives its process: the longest time without a leader after a crash. A shorter ttl elects sooner
   * after a crash, and loses the term sooner when the process or the network pauses. The same for all who stand, best
   * of all. From 50 ms to 24 days; 30 seconds by default.
   */
  readonly ttl?: Duration | undefined;
  /** Calls the campaign off: a leader resigns at once. Without it the campaign ends only by an error or by `close()`. */
  readonly signal?: AbortSignal | undefined;
}

/** How an election is observed. */
export interface ObserveOptions {
  /**
   * Time between two looks at the server, give or take a tenth: the longest time until a change is seen. Each look is
   * one small statement, shared by all observers of the process that look at once. While there is no leader the first
   * looks come sooner. From 10 ms; one second by default.
   */
  readonly poll?: Duration | undefined;
  /** Ends the iteration, without an error. */
  readonly signal?: AbortSignal | undefined;
}

/** What elections need of their surroundings. */
export interface ElectionsContext {
  readonly schema: string;
  readonly clock: Clock;
  readonly commands: Commands;
  readonly leases: Leases;
}

const shortestTtl = 50;
/** Between two terms, and between two tries that failed, in milliseconds. */
const firstPause = 100;
const longestPause = 1_000;

/**
 * One leader among many processes. An election is the lease of the same key: whoever holds that leads, be it by a
 * campaign or by `leases.acquire`.
 */
export class Elections {
  readonly #context: ElectionsContext;
  readonly #leaders: Kind<Resource, Leader | null>;
  readonly #closing = new AbortController();

  /** @internal */
  constructor(context: ElectionsContext) {
    this.#context = context;
    this.#leaders = {
      limit: 512,
      statement: (elections) => leadersOf(context.schema, elections),
      read: (rows) => rows.map(readLeader),
    };
  }

  /**
   * Stands for election for ever: waits until it leads, runs `run` for that term, resigns when `run` ends, and stands
   * again after a short pause that grows, up to a second, while terms are short or the database cannot be reached.
   *
   * When `signal` aborts, `term.signal` aborts and the campaign resigns at once, whether `run` has ended or not: the
   * guard refuses its writes from then on. The call resolves once the resignation is confirmed and `run` has ended.
   *
   * A term that is lost leads to the next one, after `run` has ended: one that does not listen to `term.signal` keeps
   * its process from standing again. So does an error that says no more than that: the reason of `term.signal`, an
   * `AbortError` after it, or the `StaleTokenError` of `term.guard`. Any other error of `run` ends the campaign: catch
   * inside of `run` what another term may mend.
   *
   * A leader whose term was revoked (`leases.revoke`) stands back for one ttl, so that another one leads, if there is one.
   *
   * While a transaction with `term.guard` is open nobody else is elected, even when its leader is frozen: give the
   * sessions of such transactions an `idle_in_transaction_session_timeout`.
   *
   * @throws what `run` rejected with, after the resignation; StateError when `fencepost.close()` ended the campaign;
   * SchemaError, ArgumentError and whatever else does not go away by itself
   *
   * @example
   * await fencepost.elections.campaign('scheduler', { ttl: '15s', signal }, async (term) => {
   *   while (!term.signal.aborted) await scheduleNext(term);
   * });
   */
  async campaign(
    name: LeaseKey,
    options: CampaignOptions,
    run: (term: Term) => Promise<void>,
  ): Promise<void> {
    resourceOf('name', name);
    const { ttl, signal } = validate('options', options, {
      ttl: withDefault(duration({ min: shortestTtl }), 30_000),
      signal: optional(abortSignal()),
    });
    const letGo = keepAlive();
    try {
      await this.#campaign(name, ttl, this.#endOf(signal), run);
    } finally {
      letGo();
    }
    if (signal?.aborted !== true) throw closedError();
  }

  /**
   * Who leads: the present state first, then each change, a new term or nobody (`null`). A term counts as over once the
   * server says so. A state that ends before the next look is not seen. While the database cannot be reached nothing
   * is said. Ends with `break`, with `signal`, and with `fencepost.close()`.
   *
   * @throws SchemaError when it has not been migrated, and whatever else does not go away by itself
   *
   * @example
   * for await (const leader of fencepost.elections.observe('scheduler', { signal })) {
   *   console.log(leader?.application ?? 'nobody');
   * }
   */
  observe(name: LeaseKey, options?: ObserveOptions): AsyncIterable<Leader | null> {
    const { clock, commands } = this.#context;
    const resource = resourceOf('name', name);
    const { poll, signal } = validate('options', options, {
      poll: withDefault(duration({ min: 10 }), 1_000),
      signal: optional(abortSignal()),
    });
    const ask = (): Promise<Leader | null> => commands.submit(this.#leaders, resource);
    return observe<Leader | null>({
      clock,
      poll,
      ended: this.#endOf(signal),
      ask,
      differs: (last, now) => last?.token !== now?.token,
      // Without a leader there will be one soon.
      passing: (leader) => leader === null,
    });
  }

  /** Ends campaigns and observers. Whoever closes the leases waits for the resignations. @internal */
  close(): void {
    this.#closing.abort(closedError());
  }

  #endOf(signal: AbortSignal | undefined): AbortSignal {
    const closing = this.#closing.signal;
    if (closing.aborted) throw closedError();
    return signal === undefined ? closing : AbortSignal.any([signal, closing]);
  }

  async #campaign(
    name: LeaseKey,
    ttl: number,
    ended: AbortSignal,
    run: (term: Term) => Promise<void>,
  ): Promise<void> {
    const { clock } = this.#context;
    const longest = Math.max(firstPause, Math.min(longestPause, ttl / 3));
    for (let pausing = firstPause; !ended.aborted; pausing = Math.min(pausing * 2, longest)) {
      const started = clock.now();
      const lease = await this.#elect(name, ttl, ended);
      const term = lease === undefined ? undefined : new Term(lease, ended);
      if (term !== undefined) await serve(term, run);
      if (elapsed(started, clock.now()) > longest) pausing = firstPause;
      // Half of it at random, so that those who lost the same server do not come in step.
      const rest = term?.revoked === true ? ttl : pausing * (0.5 + Math.random() / 2);
      if (!ended.aborted) await pause(clock, rest, ended).catch(() => {});
    }
  }

  /** Waits until it leads; undefined when that failed and may succeed later, or when the campaign has ended. */
  async #elect(name: LeaseKey, ttl: number, ended: AbortSignal): Promise<Lease | undefined> {
    try {
      return await this.#context.leases.elect(name, { ttl, signal: ended });
    } catch (error) {
      if (ended.aborted || isRetriable(error)) return undefined;
      throw error;
    }
  }
}

/** One term, and the resignation whatever happened. */
async function serve(term: Term, run: (term: Term) => Promise<void>): Promise<void> {
  try {
    if (!term.signal.aborted) await run(term);
  } catch (error) {
    if (!term.endedBy(error)) {
      // What went wrong first is what the caller has to hear of.
      await term.resign().catch(() => {});
      throw error;
    }
  }
  await term.resign();
}
