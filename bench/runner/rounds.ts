import type { SideRow } from '../reporting/report.ts';

/** One way to do a work. */
export interface Side {
  readonly name: string;
  /** The same statements without anything around them: what a side can reach at most. */
  readonly limit?: boolean;
  /** The largest point that it can do, and why it cannot do more. */
  readonly most?: { readonly point: number; readonly why: string };
  /** A figure, measured for so long at a point. */
  measure(point: number, seconds: number): Promise<number>;
}

/**
 * Measures the sides in turn, round after round, after one short round that does not count, at each of the points.
 * A row for each side; what it cannot do stays empty.
 */
export async function interleave(
  sides: readonly Side[],
  points: readonly number[],
  { rounds, seconds, log }: { rounds: number; seconds: number; log(text: string): void },
): Promise<SideRow[]> {
  const rows = sides.map(({ name, limit, most }) => ({
    name,
    ...(limit ? { limit } : {}),
    ...(most ? { note: most.why } : {}),
    figures: [] as number[][],
  }));
  for (const [place, point] of points.entries()) {
    log(String(point));
    for (const row of rows) row.figures.push([]);
    for (let round = 0; round <= rounds; round += 1) {
      for (const [index, side] of sides.entries()) {
        if (point > (side.most?.point ?? Infinity)) continue;
        const figure = await side.measure(point, round === 0 ? seconds / 2 : seconds);
        if (round > 0) rows[index]?.figures[place]?.push(figure);
      }
    }
  }
  return rows;
}

/** Does a thing in so many loops at once for so long; how often a second. */
export async function rate(
  callers: number,
  seconds: number,
  once: (caller: number) => Promise<unknown>,
): Promise<number> {
  const started = performance.now();
  const end = started + seconds * 1_000;
  let done = 0;
  await Promise.all(
    Array.from({ length: callers }, async (_, caller) => {
      while (performance.now() < end) {
        await once(caller);
        done += 1;
      }
    }),
  );
  return done / ((performance.now() - started) / 1_000);
}
