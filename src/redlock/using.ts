import { pause } from '../core/abort.ts';
import { type Clock, elapsed } from '../core/clock.ts';
import { ArgumentError } from '../core/errors.ts';
import type { Settings } from './settings.ts';

/** The signal that a routine gets: `error` is why it has aborted. */
export type RedlockAbortSignal = AbortSignal & { error?: Error };

/** A lock that can be extended, whoever made it. */
export interface Extendable<Extended> {
  readonly expiration: number;
  extend(duration: number): Promise<Extended>;
  release(): Promise<unknown>;
}

/** What goes on under a lock. */
export interface Use<Held extends Extendable<Held>, Result> {
  readonly clock: Clock;
  readonly duration: number;
  readonly settings: Settings;
  acquire(): Promise<Held>;
  routine(signal: RedlockAbortSignal): Promise<Result>;
}

/** Runs a routine under a lock that extends itself, and releases it whatever happened. */
export async function useLock<Held extends Extendable<Held>, Result>(
  use: Use<Held, Result>,
): Promise<Result> {
  const { clock, duration, settings, acquire, routine } = use;
  if (typeof routine !== 'function') throw new ArgumentError('routine', 'a function', routine);
  const { automaticExtensionThreshold: threshold } = settings;
  if (threshold > duration - 100) {
    const least = `at least 100 ms more than automaticExtensionThreshold (${threshold})`;
    throw new ArgumentError('duration', least, duration);
  }
  let lock = await acquire();
  const controller = new AbortController();
  const signal: RedlockAbortSignal = controller.signal;
  const over = new AbortController();
  const left = (): number => lock.expiration - clock.now().wall;

  const keepExtending = async (): Promise<void> => {
    while (!over.signal.aborted) {
      await pause(clock, Math.max(1, left() - threshold), over.signal);
      for (let pausing = 10; ; pausing = Math.min(pausing * 2, 200)) {
        const started = clock.now();
        try {
          lock = await lock.extend(duration);
          break;
        } catch (error) {
          // While it is valid another attempt may succeed. What took long itself needs no pause.
          if (left() <= 0 || !isRetriable(error)) throw error;
          await pause(
            clock,
            Math.max(1, Math.min(pausing - elapsed(started, clock.now()), left())),
            over.signal,
          );
        }
      }
    }
  };
  const extending = keepExtending().catch((error: unknown) => {
    if (over.signal.aborted) return;
    signal.error = error instanceof Error ? error : new Error(String(error));
    controller.abort(signal.error);
  });
  let result: Result;
  try {
    result = await routine(signal);
  } catch (error) {
    over.abort();
    await extending;
    await lock.release().catch(() => {});
    throw error;
  }
  over.abort();
  await extending;
  await lock.release();
  return result;
}

/** Errors of other lock libraries do not say: those are tried again. */
function isRetriable(error: unknown): boolean {
  return !(error instanceof Error && 'retriable' in error && error.retriable === false);
}
