import { cpus } from 'node:os';

/** One way to do the work that is measured. */
export interface Side {
  readonly name: string;
  /** Acquires and releases once; each caller has a number and so a key of its own. */
  pair(caller: number): Promise<void>;
  /** What lasts as long as it is measured. */
  around?(): Disposable;
}

/** Runs a side in so many loops at once for so long; pairs a second. */
export async function measure({ pair, around }: Side, callers: number, seconds: number): Promise<number> {
  using _ = around?.();
  const started = performance.now();
  const end = started + seconds * 1_000;
  let pairs = 0;
  await Promise.all(
    Array.from({ length: callers }, async (_, caller) => {
      while (performance.now() < end) {
        await pair(caller);
        pairs += 1;
      }
    }),
  );
  return pairs / ((performance.now() - started) / 1_000);
}

/** Warms every side up, then measures them in turn, round after round; the median of each, in their order. */
export async function compare(
  sides: readonly Side[],
  { callers, seconds, rounds }: { callers: number; seconds: number; rounds: number },
): Promise<number[]> {
  const figures = sides.map((): number[] => []);
  for (const side of sides) await measure(side, callers, seconds / 2);
  for (let round = 0; round < rounds; round += 1) {
    for (const [place, side] of sides.entries()) figures[place]?.push(await measure(side, callers, seconds));
  }
  return figures.map((all) => all.toSorted((a, b) => a - b)[Math.floor(all.length / 2)] ?? 0);
}

export const machine = `Node ${process.version}; ${cpus().length} x ${cpus()[0]?.model.trim()}; ${process.platform}`;
