import { pause, unlessAborted } from '../core/abort.ts';
import { type Clock, keepAlive } from '../core/clock.ts';
import { isRetriable } from '../core/errors.ts';

/** What an observer needs of its surroundings. */
export interface ObserverContext<State> {
  readonly clock: Clock;
  /** Milliseconds between two questions. */
  readonly poll: number;
  /** Ends it. */
  readonly ended: AbortSignal;
  /** Asks the server. */
  ask(): Promise<State>;
  /** Whether that is worth telling. */
  differs(last: State, now: State): boolean;
  /** Whether another state will follow soon: then the first questions come faster. */
  passing(state: State): boolean;
}

/** The present state, then each change. */
export async function* observe<State extends object | null>(
  context: ObserverContext<State>,
): AsyncGenerator<State, void> {
  for (let last: State | undefined; ; ) {
    last = await nextChange(context, last);
    if (last === undefined) return;
    yield last;
  }
}

/** Undefined when it was ended. */
async function nextChange<State extends object | null>(
  context: ObserverContext<State>,
  last: State | undefined,
): Promise<State | undefined> {
  const { clock, poll, ended } = context;
  const letGo = keepAlive();
  try {
    let delay = last !== undefined && context.passing(last) ? poll / 8 : poll;
    for (let first = last === undefined; ; first = false) {
      if (!first) await pause(clock, delay * (0.9 + Math.random() / 5), ended);
      delay = Math.min(delay * 2, poll);
      const state = await unlessAborted(ended, context.ask()).catch((error: unknown) => {
        if (ended.aborted || !isRetriable(error)) throw error;
      });
      // An outage says nothing.
      if (state === undefined) continue;
      if (last === undefined || context.differs(last, state)) return state;
    }
  } catch (error) {
    if (!ended.aborted) throw error;
    return undefined;
  } finally {
    letGo();
  }
}
