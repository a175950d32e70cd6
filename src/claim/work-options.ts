import type { Duration } from '../core/duration.ts';
import { ArgumentError } from '../core/errors.ts';
import { boolean, duration, integer, optional, signal, validate, withDefault } from '../core/options.ts';
import type { WorkEvent } from './tally.ts';

/** How rows are worked on. */
export interface WorkOptions<Row = unknown, DB = unknown> {
  /** How many rows at one time. 10 by default; in storage `held` at most `connections`, which is its default there. */
  readonly concurrency?: number | undefined;
  /**
   * Most rows in one claim, and most that are claimed before there is room for them. A greater one saves round trips,
   * and keeps rows from other workers that might have begun with them sooner. As `concurrency` by default. In storage
   * `sidecar`, from 100 on, the next claim is sent before the answer to the last while rows flow: that takes one more
   * connection of your pool, and of two such claims either can get the rows that come first.
   */
  readonly batch?: number | undefined;
  /** How long after a claim that found too little it is tried again. 1 second by default; half of it is at random. */
  readonly poll?: Duration | undefined;
  /**
   * Whether workers without work are told of rows as they come, by the trigger of `ensure({ wake: true })`, instead of
   * at the next poll. The poll goes on, for what no message tells of: rows whose wait for another attempt is over, and
   * all of them behind a pooler. At the price of a connection that listens, the one of the heartbeats. False by default.
   */
  readonly wake?: boolean | undefined;
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
  /** Hears what becomes of each row, right after. What it throws goes to `onError`. */
  readonly onEvent?: ((event: WorkEvent<Row, DB>) => void) | undefined;
}

/** What the options come to. */
export function workOptions<Row, DB>(given: unknown, most: number) {
  const { concurrency, batch, ...rest } = validate('options', given, {
    concurrency: withDefault(integer({ min: 1, max: Math.min(10_000, most) }), Math.min(10, most)),
    batch: optional(integer({ min: 1, max: 10_000 })),
    poll: withDefault(duration({ min: 1 }), 1_000),
    wake: withDefault(boolean(), false),
    tenant: optional((_, value) => value as string | number | bigint),
    backoff: withDefault(callback<(attempt: number) => Duration>, defaultBackoff),
    grace: withDefault(duration(), 30_000),
    signal: optional(signal()),
    onError: optional(callback<(error: unknown) => void>),
    onEvent: optional(callback<(event: WorkEvent<Row, DB>) => void>),
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
