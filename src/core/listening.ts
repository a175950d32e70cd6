import type { TracingChannel, TracingChannelSubscribers } from 'node:diagnostics_channel';
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
 * @example
 * using listening = listen({
 *   loss: ({ key, reason }) => console.error(`${key} was lost: ${reason}`),
 *   acquire: { asyncEnd: ({ family, outcome, waited }) => console.log(family, outcome, waited) },
 * });
 */
export function listen(listeners: Listeners): Disposable {
  const stops: (() => void)[] = [];
  for (const [name, listener] of Object.entries(listeners)) {
    if (listener === undefined) continue;
    if (name in points) {
      const channel = points[name as keyof typeof points];
      const call = listener as (event: unknown) => void;
      channel.subscribe(call);
      stops.push(() => channel.unsubscribe(call));
    } else {
      const channel = spans[name as keyof typeof spans] as TracingChannel<object, object>;
      const calls = listener as TracingChannelSubscribers<object>;
      channel.subscribe(calls);
      stops.push(() => channel.unsubscribe(calls));
    }
  }
  return {
    [Symbol.dispose]() {
      for (const stop of stops.splice(0)) stop();
    },
  };
}
