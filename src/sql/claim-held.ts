import { facts, filter, rowOrder, sortColumns } from './claim.ts';
import type { Cursor, Position } from './claim-asked.ts';
import { isFair, shares } from './claim-fair.ts';
import { firstRows, positionOf } from './claim-position.ts';
import type { ClaimTable } from './claim-table.ts';
import { identifier, type Statement } from './statement.ts';

const silence = 'idle_in_transaction_session_timeout';

/**
 * Locks the first row that nobody has locked; the server ends a transaction that is then silent for longer than the ttl.
 * `from`: behind which position it looks, null for the start; then the answer says where that row stands.
 */
export function holdRow(
  table: ClaimTable,
  ttl: number,
  tenant: unknown,
  cursor: Cursor,
  from?: Position | null,
): Statement {
  if (!isFair(table, tenant)) {
    const values = tenant === undefined ? [] : [tenant];
    const statement = hold(table, ttl, first(table, filter(table, tenant, '$2'), from), values);
    if (from === undefined) return statement;
    const position = positionOf(table, 'fencepost_free', (place) => `fp_o${place + 1}`);
    return {
      ...statement,
      text: `${statement.text} union all select '=at ' || ${position}, (null::${table.rowType}).* from fencepost_free`,
    };
  }
  const free = shares(table, { columns: locked(table), free: 'true', lock, most: '1' }, cursor, 2);
  return hold(table, ttl, free, cursor === undefined ? [] : [cursor], 'json_build_array(fp_step, fp_group)');
}

/** The same for the row with this key. */
export function holdNamedRow(table: ClaimTable, ttl: number, key: readonly unknown[]): Statement {
  return hold(table, ttl, first(table, `${filter(table, undefined, '$2')} and ${keyIs(table, 2)}`), key);
}

const lock = 'for no key update skip locked';

function locked(table: ClaimTable): string {
  return `${sortColumns(table)}, (${table.bare}.*)::${table.rowType} as fp_row`;
}

function first(table: ClaimTable, condition: string, from?: Position | null): string {
  const free = { columns: locked(table), condition, order: rowOrder(table), most: '1', lock };
  return `fencepost_free as materialized (${firstRows(table, free, from)})`;
}

function hold(
  table: ClaimTable,
  ttl: number,
  free: string,
  values: readonly unknown[],
  group?: string,
): Statement {
  const answer = facts(table, {
    rank: '1',
    token: '0',
    attempts: '1',
    state: "'c'",
    group,
    key: (place) => `fencepost_free.fp_${place + 1}`,
  });
  return {
    name: 'hold_row',
    text: `with recursive ${free}, fencepost_silence as materialized (select set_config('${silence}', $1, true))
      select ${answer}, (fencepost_free.fp_row).*
      from fencepost_free, fencepost_silence`,
    values: [String(ttl), ...values],
  };
}

/** What is sent so that the transaction is not silent. */
export const stir: Statement = { name: 'stir', text: 'select 1', values: [] };

const savepoint = 'fencepost_work';

/** Before the caller's work: the row stays locked when that is undone, and silence is its own affair. */
export const beginWork = [`set local ${silence} to default`, `savepoint ${savepoint}`];

export function undoWork(ttl: number): string[] {
  return [`rollback to savepoint ${savepoint}`, `set local ${silence} to ${ttl}`];
}

/** Completes the row that the transaction has locked. */
export function completeHeld(table: ClaimTable, key: readonly string[]): Statement {
  const where = keyIs(table, 1);
  return {
    name: 'complete_held',
    text:
      table.done === 'delete'
        ? `delete from ${table.table} where ${where}`
        : `update ${table.table} set ${table.done.set} where ${where}`,
    values: key,
  };
}

function keyIs({ key, types }: ClaimTable, first: number): string {
  return key.map((name, place) => `${identifier(name)} = $${place + first}::${types[place]}`).join(' and ');
}
