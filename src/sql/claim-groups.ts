import { type Claimant, type ClaimedRow, dead, filter, foundOrder } from './claim.ts';
import type { Asked, Cursor } from './claim-asked.ts';
import type { ClaimTable } from './claim-table.ts';
import { identifier, literal } from './statement.ts';

/** The cursor after a claim: at the group that it visited last. */
export function cursorAfter(claimed: readonly ClaimedRow[], cursor: Cursor): Cursor {
  const groups = claimed.flatMap(({ group }) => (group === null || group[0] === 0 ? [] : [group]));
  return groups.toSorted(([one], [other]) => one - other).at(-1)?.[1] ?? cursor;
}

/** What there is of rows that belong together by these columns. */
export interface Groups {
  readonly columns: readonly string[];
  readonly types: readonly string[];
  /** What a row has to be for its group to be visited. */
  readonly condition: string;
}

/**
 * One group after the other, found by stepping from each to the next in the index, from the cursor to the end. Nothing
 * is looked for before it is asked for.
 */
export function steps(
  table: ClaimTable,
  groups: Groups,
  cursor: Cursor,
  parameter: number,
  as = 'fencepost_groups',
): string {
  const { columns, types, condition } = groups;
  const own = columns.map((name) => `${table.bare}.${identifier(name)}`);
  const names = columns.map((_, place) => `fp_g${place + 1}`);
  const next = (after: readonly string[]): string => {
    const later = after.length === 0 ? '' : ` and (${own.join(', ')}) > (${after.join(', ')})`;
    return `select ${own.join(', ')} from ${table.table} where ${condition}${later}
          order by ${own.join(', ')} limit 1`;
  };
  const start =
    cursor === undefined ? [] : types.map((type, place) => `($${parameter}::jsonb ->> ${place})::${type}`);
  return `${as}(${names.join(', ')}) as (
        (${next(start)})
        union all
        select fp_n.* from ${as} fp_g cross join lateral (
          ${next(names.map((name) => `fp_g.${name}`))}
        ) fp_n
      )`;
}

/**
 * That a row belongs to the group fp_g, as a range of one, and in order by the group first: only the index of groups fits
 * both. By an equality Postgres would take another index that has the order, and read past all other groups, when it
 * knows of no group but a great one.
 */
export function inGroup({ bare }: ClaimTable, { columns }: Groups): string {
  const own = columns.map((name) => `${bare}.${identifier(name)}`).join(', ');
  const group = columns.map((_, place) => `fp_g.fp_g${place + 1}`).join(', ');
  return `(${own}) >= (${group}) and (${own}) <= (${group})`;
}

export function groupOrder(
  { bare, order }: ClaimTable,
  { columns }: Groups,
  last: readonly string[],
): string {
  const column = (name: string): string => `${bare}.${identifier(name)}`;
  const sorted = order.map(({ name, direction }) => `${column(name)}${direction}`);
  return `order by ${[...columns.map(column), ...sorted, ...last.map(column)].join(', ')}`;
}

/** A group as text, by the columns of the table. */
export function groupOf({ bare }: ClaimTable, columns: readonly string[]): string {
  return `jsonb_build_array(${columns.map((name) => `${bare}.${identifier(name)}`).join(', ')})::text`;
}

/** How many more rows of a key may be claimed now, by its text. */
export function roomOf({ perKey }: ClaimTable, group: string): string {
  return `greatest(0, ${perKey?.limit} - coalesce(((select live from fencepost_live) ->> ${group})::integer, 0))`;
}

/** Waits for this claim's turn, before it looks at anything that another could change. */
export function turnOf({ schema, oid }: ClaimTable): string {
  return `fencepost_turn as materialized (select ${identifier(schema)}.claim_turn(${oid}) as turn)`;
}

/** In this claim's turn: what the living have of each key. `count` is a query of the key as fp_by, and how many. */
export function liveOf({ schema }: ClaimTable, count: string): string {
  const query = `select coalesce(jsonb_object_agg(fp_by, fp_rows), '{}') from (${count}) fp_l`;
  return `fencepost_live as materialized (
        select ${identifier(schema)}.claim_live(${literal(query)}, ${dead}) as live
      )`;
}

/** What a claim of rows is given. */
export function claimValues(
  table: ClaimTable,
  { id, epoch }: Claimant,
  { limit, tenant, cursor }: Asked,
): unknown[] {
  const round = table.perKey !== undefined || tenant === undefined ? cursor : undefined;
  return [id, epoch, limit, ...[tenant, round].filter((value) => value !== undefined)];
}

/** Everything that claims of keyed rows are made of, wherever claims are kept. */
export interface Keyed {
  /** What is selected of a row that is locked. */
  readonly columns: string;
  /** That nobody who lives has the row. */
  readonly takeable: string;
  /** That it was not set aside. */
  readonly unfinished: string;
  readonly lock: string;
}

/**
 * Rows of one key after the other, of each in order and as many as there is room for. With a limit of one it is the
 * first that is not done, or none: those behind it wait until it is done or set aside.
 */
export function keyedRows(
  table: ClaimTable,
  { columns, takeable, unfinished, lock }: Keyed,
  tenant: unknown,
  cursor: Cursor,
): string {
  const groups = groupsOf(table, `${filter(table, tenant)} and ${unfinished}`);
  const key = table.key.map((name) => `${table.bare}.${identifier(name)}`).join(', ');
  const order = groupOrder(table, groups, table.key);
  const first = `(${key}) = (
            select ${key} from ${table.table} where ${groups.condition} and ${inGroup(table, groups)} ${order} limit 1
          ) and `;
  const group = `jsonb_build_array(${groups.columns.map((_, place) => `fp_g.fp_g${place + 1}`).join(', ')})::text`;
  return `${steps(table, groups, cursor, tenant === undefined ? 4 : 5)},
      fencepost_found as materialized (
        select fp_u.*, ${group} as fp_group, row_number() over () as fp_step
        from fencepost_groups fp_g cross join lateral (
          select ${columns} from ${table.table}
          where ${table.perKey?.limit === 1 ? first : ''}${groups.condition} and ${inGroup(table, groups)} and ${takeable}
          ${order} limit ${roomOf(table, group)} ${lock}
        ) fp_u limit $3::integer
      )`;
}

export function groupsOf(table: ClaimTable, condition: string): Groups {
  return { columns: table.groups, types: table.groupTypes, condition };
}

/** The key of a named row, where claims count by keys. */
export function groupColumn(table: ClaimTable): string {
  return table.perKey === undefined ? '' : `, ${groupOf(table, table.groups)} as fp_group, 0 as fp_step`;
}

/** Named rows that were locked, of each key no more than there is room for. */
export function found(table: ClaimTable, locked: string): string {
  if (table.perKey === undefined) return `fencepost_found as materialized (${locked})`;
  return `fencepost_named as materialized (${locked}), fencepost_found as materialized (
        select * from (
          select *, row_number() over (partition by fp_group ${foundOrder(table)}) as fp_place from fencepost_named
        ) fp_u where fp_place <= ${roomOf(table, 'fp_group')}
      )`;
}
