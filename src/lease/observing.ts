import { pause, unlessAborted } from '../core/abort.ts';
import { type Clock, keepAlive } from '../core/clock.ts';
import { isRetriable } from '../core/errors.ts';
import type { Leader } from '../sql/leader.ts';

/** What an observer needs of its surroundings. */
export interface ObserverContext {
  readonly clock: Clock;
  /** Milliseconds between two questions. */
  readonly poll: number;
  /** Ends it. */
  readonly ended: AbortSignal;
  /** Asks the server. */
  ask(): Promise<Leader | null>;
}

/** The present state, then each change: another token, or nobody any more. */
export async function* observe(context: ObserverContext): AsyncGenerator<Leader | null, void> {
  for (let last: Leader | null | undefined; ; ) {
    last = await nextChange(context, last);
    if (last === undefined) return;
    yield last;
  }
}

/** Undefined when it was ended. */
async function nextChange(
  context: ObserverContext,
  last: Leader | null | undefined,
): Promise<Leader | null | undefined> {
  const { clock, poll, ended } = context;
  const letGo = keepAlive();
  try {
    // Without a leader there will be one soon: the first questions come faster.
    let delay = last === null ? poll / 8 : poll;
    for (let first = last === undefined; ; first = false) {
      if (!first) await pause(clock, delay * (0.9 + Math.random() / 5), ended);
      delay = Math.min(delay * 2, poll);
      const leader = await unlessAborted(ended, context.ask()).catch((error: unknown) => {
        if (ended.aborted || !isRetriable(error)) throw error;
      });
      // An outage says nothing about who leads.
      if (leader === undefined) continue;
      if (last === undefined || leader?.token !== last?.token) return leader;
    }
  } catch (error) {
    if (!ended.aborted) throw error;
    return undefined;
  } finally {
    letGo();
  }
}
