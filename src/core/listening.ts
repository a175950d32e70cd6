import type { Channel, TracingChannel, TracingChannelSubscribers } from 'node:diagnostics_channel';
import { points, spans } from './events.ts';

type SpanOf<Of> = Of extends TracingChannel<infer Event, infer _> ? Event : never;
type PointOf<Of> = Of extends Channel<infer Event> ? Event : never;

/**
 * What is called for events. For what takes time: at its `start`, at its `asyncEnd`, and before that for an `error`,
 * each with the same object, which has grown meanwhile.
 */
export type Listeners = {
  readonly [Name in keyof typeof spans]?: Partial<TracingChannelSubscribers<SpanOf<(typeof spans)[Name]>>>;
} & {
  readonly [Name in keyof typeof points]?: (event: PointOf<(typeof points)[Name]>) => void;
};

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
