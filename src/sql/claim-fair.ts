import { filter, rowOrder } from './claim.ts';
import type { Cursor } from './claim-asked.ts';
import { type Groups, groupOf, groupOrder, inGroup, steps } from './claim-groups.ts';
import type { ClaimTable } from './claim-table.ts';
import { identifier } from './statement.ts';

/** Most tenants that one claim looks at. */
const mostTenants = 64;

/** Whether this claim goes round the tenants. */
export function isFair({ fair }: ClaimTable, tenant: unknown): boolean {
  return fair && tenant === undefined;
}

/** What a claim that may be fair selects of each row besides: its tenant, and the place of that in the round. */
export function owner(table: ClaimTable, tenant: unknown, step = '0'): string {
  return isFair(table, tenant) ? `, ${groupOf(table, table.groups)} as fp_group, ${step} as fp_step` : '';
}

/**
 * Rows that are free, as `fencepost_free`: of each of the next tenants an equal share, in order, and then whatever comes
 * first, as many as asked for together. `columns` are selected, `free` is what a row has to be, `most` how many.
 */
export function shares(
  table: ClaimTable,
  { columns, free, lock, most }: { columns: string; free: string; lock: string; most: string },
  cursor: Cursor,
  parameter: number,
): string {
  const condition = `${filter(table, undefined)} and ${free}`;
  const groups: Groups = { columns: table.groups, types: table.groupTypes, condition };
  const again =
    cursor === undefined
      ? ''
      : ` union all select * from fencepost_again fp_g
        where fp_g.fp_g1 <= ($${parameter}::jsonb ->> 0)::${table.groupTypes[0]}`;
  const keys = table.key.map((name) => `${table.bare}.${identifier(name)}`).join(', ');
  const taken = `select ${table.key.map((_, place) => `fp_${place + 1}`).join(', ')} from fencepost_shares`;
  return `${steps(table, groups, cursor, parameter, 'fencepost_groups')},
      ${cursor === undefined ? '' : `${steps(table, groups, undefined, parameter, 'fencepost_again')},`}
      fencepost_round as materialized (
        select fp_g.*, row_number() over () as fp_step
        from (select * from fencepost_groups${again}) fp_g limit least(${most}, ${mostTenants})
      ), fencepost_shares as materialized (
        select fp_u.* from fencepost_round fp_g cross join lateral (
          select ${columns}${owner(table, undefined, 'fp_g.fp_step')} from ${table.table}
          where ${condition} and ${inGroup(table, groups)}
          ${groupOrder(table, groups, [])} limit ${most} / (select count(*) from fencepost_round) ${lock}
        ) fp_u limit ${most}
      ), fencepost_rest as materialized (
        select ${columns}${owner(table, undefined)} from ${table.table}
        where ${condition} and (${keys}) not in (${taken})
        ${rowOrder(table)} limit ${most} - (select count(*) from fencepost_shares) ${lock}
      ), fencepost_free as materialized (
        select * from fencepost_shares union all select * from fencepost_rest
      )`;
}
