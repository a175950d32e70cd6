import { within } from '../core/abort.ts';
import type { Clock } from '../core/clock.ts';

const firstPause = 20;
const longestPause = 1_000;

/**
 * What the work ends with, unless the signal aborts meanwhile: then `cancel` is called, again and again until the work
 * has ended, because a cancel that comes too early is lost. Rejects with the reason of the signal after the work has
 * ended, however it did, and after the last cancel was answered: no cancel can hit what comes next.
 */
export async function untilAborted<T>(
  clock: Clock,
  work: Promise<T>,
  signal: AbortSignal,
  cancel: () => Promise<unknown>,
): Promise<T> {
  let working = true;
  const end = (): void => {
    working = false;
  };
  const ended = work.then(end, end);
  let cancelling: Promise<void> | undefined;
  const abort = (): void => {
    cancelling = (async () => {
      for (let pause = firstPause; working; pause = Math.min(pause * 2, longestPause)) {
        await cancel().catch(() => {});
        if (working) await within(clock, pause, ended);
      }
    })();
  };
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort, { once: true });
  await ended;
  signal.removeEventListener('abort', abort);
  await cancelling;
  signal.throwIfAborted();
  return work;
}
