import type { Duration } from '../core/duration.ts';
import { duration, integer, validate, withDefault } from '../core/options.ts';
import type { Commands, Kind } from '../session/commands.ts';
import { beginning, type Place, readSwept, sweepLeases } from '../sql/sweep.ts';

/** Which leases are removed. */
export interface SweepOptions {
  /**
   * Those that nobody has held for so long: released, or left behind by a process that died. What is removed is as if
   * it had never been, so it has to be longer than anybody looks back in the view `leases`.
   */
  readonly olderThan: Duration;
  /**
   * How many leases one transaction looks at. More are done sooner and keep the batches of acquires waiting longer. 1,000
   * by default, 100,000 at most.
   */
  readonly batch?: number | undefined;
}

const aCentury = 36_525 * 86_400_000;

/** Goes through all leases in the order of their keys, one short transaction after the other. */
export async function sweep(
  commands: Commands,
  schema: string,
  options: SweepOptions,
  check: () => void,
): Promise<number> {
  const { olderThan, batch } = validate('options', options ?? {}, {
    olderThan: duration({ max: aCentury }),
    batch: withDefault(integer({ min: 1, max: 100_000 }), 1_000),
  });
  const kind: Kind<Place, ReturnType<typeof readSwept>> = {
    limit: 1,
    statement: ([after = beginning]) => sweepLeases(schema, olderThan, batch, after),
    read: ([row]) => [readSwept(row)],
  };
  let removed = 0;
  for (let after: Place | undefined = beginning; after !== undefined; ) {
    check();
    const { swept, last }: ReturnType<typeof readSwept> = await commands.submit(kind, after);
    removed += swept;
    after = last;
  }
  return removed;
}
