import type { Position } from './claim-asked.ts';
import { columnText } from './claim-names.ts';
import { type ClaimTable, valueLiteral } from './claim-table.ts';
import { identifier } from './statement.ts';

/** Whether a claim can begin anywhere but at the start: null has no place that a comparison finds. */
export function hasPositions({ bare, order, orderFacts }: ClaimTable): boolean {
  return (
    order.length > 0 &&
    orderFacts.every((facts, place) => {
      const text = columnText(bare, order[place]?.name ?? '', facts);
      return !facts.nullable && text !== undefined;
    })
  );
}

/**
 * Up to which token claims have hardly any rows behind the position: those came in order. Rows that are equal to it may
 * be any claim's.
 */
export function tokenBefore(table: ClaimTable, from: Position | null | undefined): bigint {
  return from != null && isTotal(table) ? from.token : 0n;
}

/** Whether no two rows are equal in the order. */
function isTotal({ key, order }: ClaimTable): boolean {
  return key.every((name) => order.some((column) => column.name === name));
}

/** The values of a row in the columns of the order, as JSON. `row` is what stands before a column. */
export function positionOf({ orderFacts }: ClaimTable, row: string, name: (place: number) => string) {
  const texts = orderFacts.map((facts, place) => columnText(row, name(place), facts));
  return `json_build_array(${texts.join(', ')})`;
}

/** What is asked of the rows that nobody has. */
export interface Free {
  readonly columns: string;
  readonly condition: string;
  readonly order: string;
  /** How many at most. */
  readonly most: string;
  readonly lock: string;
}

/** The first of the free rows, in order and locked: all of them, or those behind a position. */
export function firstRows(table: ClaimTable, free: Free, from: Position | null | undefined): string {
  if (from == null) return rowsOf(table, free);
  const { orderFacts } = table;
  return rowsBehind(
    table,
    free,
    (place) => `${valueLiteral(from.values[place])}::${orderFacts[place]?.type}`,
  );
}

export function rowsOf(table: ClaimTable, free: Free, more = ''): string {
  const { columns, condition, order, most, lock } = free;
  return `select ${columns} from ${table.table} where ${condition}${more} ${order} limit ${most} ${lock}`;
}

/**
 * Behind these values of the columns of the order rows are looked for in pieces, each of them a range of the index:
 * equal in all columns but the last, and so on to those that differ in the first. Where rows can be equal in all of
 * them, those that are equal to the values are looked at again.
 */
export function rowsBehind(table: ClaimTable, free: Free, value: (place: number) => string): string {
  const pieces = table.order.map(
    (_, differs) => `select * from (${rowsOf(table, free, behind(table, value, differs))}) fp_u`,
  );
  return `select * from (${pieces.reverse().join(' union all ')}) fp_u limit ${free.most}`;
}

/** Equal to the values in the columns before this one, and behind them in this one. */
function behind(table: ClaimTable, value: (place: number) => string, differs: number): string {
  const { bare, order } = table;
  const conditions = order.slice(0, differs + 1).map(({ name, direction }, place) => {
    const further = /\bdesc\b/.test(direction) ? '<' : '>';
    const again = place === order.length - 1 && !isTotal(table);
    const operator = place < differs ? '=' : again ? `${further}=` : further;
    return ` and ${bare}.${identifier(name)} ${operator} ${value(place)}`;
  });
  return conditions.join('');
}
