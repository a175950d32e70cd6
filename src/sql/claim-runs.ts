import { rowOrder } from './claim.ts';
import { type Free, hasPositions, rowsBehind, rowsOf } from './claim-position.ts';
import type { ClaimTable } from './claim-table.ts';
import { identifier } from './statement.ts';

/** Whether the keys are whole numbers: neighbours are known by the first and the last one then. */
export function hasNumbers({ types }: ClaimTable): boolean {
  return types.length === 1 && /^(smallint|integer|bigint)$/.test(types[0] ?? '');
}

/**
 * Whether runs of keys can be stepped over. Where the order ends with the key, the rows between two that are equal in
 * its other columns have keys between theirs: of a run that somebody has, none of them is free.
 */
export function hasSteps(table: ClaimTable): boolean {
  return hasNumbers(table) && hasPositions(table) && table.order.at(-1)?.name === table.key[0];
}

/** Steps from the start over runs to the first row that is in none, or nearly: more than these cost more than they spare. */
const mostSteps = 1_000;

/**
 * The first of the free rows, in order and locked, by steps over these runs. `condition`: of rows that may be free.
 * Each step is one look into the index, where it would be one for each row of the run.
 */
export function rowsOverRuns(
  table: ClaimTable,
  free: Free,
  condition: string,
  runs: string,
): { readonly steps: string; readonly rows: string } {
  const { bare, order } = table;
  const columns = order.map(({ name }, place) => `${bare}.${identifier(name)} as fp_${place + 1}`).join(', ');
  const first = { columns, condition, order: rowOrder(table), most: '1', lock: '' };
  const here = (place: number): string => `fp_s.fp_${place + 1}`;
  const there = (place: number): string => `(select fp_${place + 1} from fencepost_start)`;
  const nowhere = ' and not exists (select from fencepost_start)';
  return {
    steps: `fencepost_steps as (
        select 1 as fp_step, ${endOfRun(table, rowsOf(table, first), runs)}
        union all
        select fp_s.fp_step + 1, fp_e.* from fencepost_steps fp_s cross join lateral (
          select ${endOfRun(table, rowsBehind(table, first, here), runs)}
        ) fp_e where fp_s.fp_step < ${mostSteps}
      ), fencepost_start as materialized (
        select * from fencepost_steps order by fp_step desc limit 1
      )`,
    rows: `select * from (
          select * from (${rowsOf(table, free, nowhere)}) fp_u
          union all select * from (${rowsBehind(table, free, there)}) fp_u
        ) fp_u limit ${free.most}`,
  };
}

/** Where in the order the run ends in which this row is; nothing, when it is in none. */
function endOfRun({ order, orderFacts }: ClaimTable, row: string, runs: string): string {
  const last = order.length - 1;
  const end = /\bdesc\b/.test(order[last]?.direction ?? '') ? 'lower(fp_r)' : 'upper(fp_r) - 1';
  const columns = order.map((_, place) =>
    place < last ? `fp_f.fp_${place + 1}` : `(${end})::${orderFacts[place]?.type} as fp_${place + 1}`,
  );
  return `${columns.join(', ')} from (${row}) fp_f
          join unnest(${runs}) fp_r on fp_r @> fp_f.fp_${last + 1}::bigint`;
}
