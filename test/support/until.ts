import { setTimeout as delay } from 'node:timers/promises';

/** Asks again until the answer is neither false nor empty, and gives it. Throws after so many milliseconds without one. */
export async function until<T>(
  what: string,
  ask: () => Promise<T> | T,
  limit = 30_000,
): Promise<Exclude<T, false | undefined | null>> {
  const started = performance.now();
  for (;;) {
    const answer = await ask();
    if (answer !== false && answer !== undefined && answer !== null) {
      return answer as Exclude<T, false | undefined | null>;
    }
    if (performance.now() - started > limit) throw new Error(`not within ${limit} ms: ${what}`);
    await delay(5);
  }
}
