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

/**
 * The first of the free rows, in order and locked. Behind a position they are looked for in pieces, each of
 * them a range of the index: equal in all columns of the order but the last, and so on to those that differ in the
 * first. Where rows can be equal in all of them, those that are equal to the position are looked at again.
 */
export function firstRows(table: ClaimTable, free: Free, from: Position | null | undefined): string {
  const { columns, condition, order, most, lock } = free;
  const rows = (more: string): string =>
    `select ${columns} from ${table.table} where ${condition}${more} ${order} limit ${most} ${lock}`;
  if (from == null) return rows('');
  const pieces = table.order.map(
    (_, differs) => `select * from (${rows(behind(table, from, differs))}) fp_u`,
  );
  return `select * from (${pieces.reverse().join(' union all ')}) fp_u limit ${most}`;
}

/** Equal to the position in the columns before this one, and behind it in this one. */
function behind(table: ClaimTable, { values }: Position, differs: number): string {
  const { bare, order, orderFacts } = table;
  const conditions = order.slice(0, differs + 1).map(({ name, direction }, place) => {
    const further = /\bdesc\b/.test(direction) ? '<' : '>';
    const again = place === order.length - 1 && !isTotal(table);
    const operator = place < differs ? '=' : again ? `${further}=` : further;
    const value = `${valueLiteral(values[place])}::${orderFacts[place]?.type}`;
    return ` and ${bare}.${identifier(name)} ${operator} ${value}`;
  });
  return conditions.join('');
}
