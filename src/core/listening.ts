import type { TracingChannel, TracingChannelSubscribers } from 'node:diagnostics_channel';
import { ArgumentError } from './errors.ts';
import {
  type AcquireEvent,
  type BatchEvent,
  type ClaimEvent,
  type GrantEvent,
  type GuardEvent,
  type LossEvent,
  points,
  type ReleaseEvent,
  type RenewEvent,
  type SessionEvent,
  type SettleEvent,
  spans,
  type WaitEvent,
} from './events.ts';
import { type Check, optional, validate } from './options.ts';

/**
 * What is called for something that takes time: at its `start`, at its `asyncEnd`, and before that for an `error`, each
 * with the same object, which has grown meanwhile.
 */
export type SpanListener<Event extends object> = Partial<TracingChannelSubscribers<Event>>;

/** What is called for events, by the names of their channels without `fencepost:`. */
export interface Listeners {
  readonly acquire?: SpanListener<AcquireEvent>;
  readonly wait?: SpanListener<WaitEvent>;
  readonly renew?: SpanListener<RenewEvent>;
  readonly release?: SpanListener<ReleaseEvent>;
  readonly guard?: SpanListener<GuardEvent>;
  readonly claim?: SpanListener<ClaimEvent>;
  readonly settle?: SpanListener<SettleEvent>;
  readonly batch?: SpanListener<BatchEvent>;
  /** At the moment of a grant. */
  readonly grant?: (event: GrantEvent) => void;
  /** At the moment of a loss. */
  readonly loss?: (event: LossEvent) => void;
  /** When a connection begins or ends. */
  readonly session?: (event: SessionEvent) => void;
}

/**
 * Calls back for events of every Fencepost of this process, until the answer is disposed of.
 *
 * A listener runs in the middle of what it is told of: it has to be quick. An error that it throws does not reach
 * Fencepost: Node makes an uncaught exception of it.
 *
 * @throws ArgumentError for a name that is none of a channel, and for what cannot be called
 *
 * @example
 * using listening = listen({
 *   loss: ({ key, reason }) => console.error(`${key} was lost: ${reason}`),
 *   acquire: { asyncEnd: ({ family, outcome, waited }) => console.log(family, outcome, waited) },
 * });
 */
export function listen(listeners: Listeners): Disposable {
  const checked = validate('listeners', listeners, checks);
  const stops: (() => void)[] = [];
  for (const [name, channel] of Object.entries(points)) {
    const listener = checked[name] as ((event: unknown) => void) | undefined;
    if (listener === undefined) continue;
    channel.subscribe(listener);
    stops.push(() => channel.unsubscribe(listener));
  }
  for (const [name, channel] of Object.entries(spans) as [string, TracingChannel<object, object>][]) {
    const listener = checked[name] as TracingChannelSubscribers<object> | undefined;
    if (listener === undefined) continue;
    channel.subscribe(listener);
    stops.push(() => channel.unsubscribe(listener));
  }
  return {
    [Symbol.dispose]() {
      for (const stop of stops.splice(0)) stop();
    },
  };
}

const call: Check<unknown> = (argument, value) => {
  if (typeof value === 'function') return value;
  throw new ArgumentError(argument, 'a function', value);
};

const phases = Object.fromEntries(
  ['start', 'end', 'asyncStart', 'asyncEnd', 'error'].map((phase) => [phase, optional(call)]),
);

const checks: Record<string, Check<unknown>> = {
  ...Object.fromEntries(Object.keys(points).map((name) => [name, optional(call)])),
  // Checked, and kept as it is: whoever unsubscribes names what subscribed.
  ...Object.fromEntries(
    Object.keys(spans).map((name) => [
      name,
      optional((argument, value) => validate(argument, value, phases) && value),
    ]),
  ),
};
