import { arrays, type ClaimedKey, keyArrays, keyNames, matches, tokenArray } from './claim.ts';
import { placesOf, type Return } from './claim-columns-settle.ts';
import { namesOf } from './claim-sidecar.ts';
import type { ClaimTable } from './claim-table.ts';
import { identifier, plainArray, type Statement } from './statement.ts';

/**
 * Completes rows whose claims are in batches and not settled. That is settled first, under the lock of the batch. The
 * answer names those whose row was there; of a `pinned` one it is not asked: only the work itself can have removed it.
 */
export function completeBatched(
  table: ClaimTable,
  claims: readonly ClaimedKey[],
  pinned: boolean,
): Statement {
  const next = table.key.length + 1;
  const settled = `${identifier(table.schema)}.claim_settle_batch(
          ${namesOf(table).source}, $${next}::bigint[], $${next + 1}::integer[])`;
  const completed =
    table.done === 'delete'
      ? `delete from ${table.table} using fencepost_asked fp_a`
      : `update ${table.table} set ${table.done.set} from fencepost_asked fp_a`;
  // Of an equality Postgres expects that it holds for few, so it looks the rows up by their keys.
  return {
    name: 'complete_rows',
    text: `with fencepost_asked as materialized (
        select * from unnest(${arrays(table.types, 1)}, ${settled})
          with ordinality as fp_a(${keyNames(table)}, fp_settled, fp_place) where fp_settled = 1
      ), completed as (${completed} where ${matches(table, 'fp_a')} returning fp_a.fp_place)
      ${placesOf(pinned ? 'fencepost_asked' : 'completed', claims.length)}`,
    values: [...keyArrays(table, claims), ...namedPlaces(claims)],
  };
}

/** Gives back rows whose claims are in batches and not settled. The table is left alone. */
export function returnBatched(table: ClaimTable, claims: readonly (ClaimedKey & Return)[]): Statement {
  return {
    name: 'return_rows',
    text: `with settled as materialized (
        select fp_a.fp_place from unnest(${identifier(table.schema)}.claim_return_batch(
          ${namesOf(table).source}, $1::bigint[], $2::integer[], $3::float8[], $4::text[], $5::boolean[]))
          with ordinality as fp_a(fp_settled, fp_place) where fp_a.fp_settled = 1
      )
      ${placesOf('settled', claims.length)}`,
    values: [
      ...namedPlaces(claims),
      claims.map(({ after }) => after ?? -1),
      claims.map(({ error }) => error ?? ''),
      claims.map(({ unused }) => unused),
    ],
  };
}

/**
 * Locks the row of a claim in a batch for the transaction that completes it; no row when it is settled. The batch is
 * not locked: that would keep the others in it waiting. Who takes over a row locks that first.
 */
export function pinBatched(table: ClaimTable, { key, token, place }: ClaimedKey): Statement {
  const places = table.key.map((column, at) => `${identifier(column)} = $${at + 3}::${table.types[at]}`);
  return {
    name: 'pin_row',
    text: `with fencepost_locked as materialized (
        select 1 from ${table.table} where ${places.join(' and ')} for no key update
      )
      select 1 as pinned from fencepost_locked
      where ${identifier(table.schema)}.claim_pin_batch(${namesOf(table).source}, $1::bigint, $2::integer)`,
    values: [String(token), place, ...key],
  };
}

function namedPlaces(claims: readonly ClaimedKey[]): string[] {
  return [tokenArray(claims), plainArray(claims.map(({ place }) => place ?? 0))];
}
