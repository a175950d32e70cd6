import { type ClaimedKey, columnsOf, tokenArray } from './claim.ts';
import { namesOf } from './claim-beside.ts';
import { placesOf, type Return } from './claim-columns-settle.ts';
import { partOf } from './claim-names.ts';
import type { ClaimTable } from './claim-table.ts';
import { identifier, plainArray, type Row, type Statement } from './statement.ts';

/**
 * Completes rows whose claims are in batches and not settled. That is settled first, under the lock of the batch. The
 * answer names those whose row was there; of a `pinned` one it is not asked: only the work itself can have removed it.
 */
export function completeBatched(
  table: ClaimTable,
  claims: readonly ClaimedKey[],
  pinned: boolean,
): Statement {
  const { bare, table: relation, types } = table;
  const { source, key: name } = namesOf(table);
  const completed =
    table.done === 'delete' ? `delete from ${relation}` : `update ${relation} set ${table.done.set}`;
  const keys = '(select keys from fencepost_settled)';
  const parts = types.map((_, place) => partOf('fp_k.key', types, place));
  // Of an array that it does not know Postgres expects ten elements, so it looks the rows up by their keys.
  const where =
    types.length === 1
      ? `${columnsOf(table)} = any (${keys}::${types[0]}[])`
      : `(${columnsOf(table)}) in (select ${parts.join(', ')} from unnest(${keys}) fp_k(key))`;
  const all = pinned ? 'cardinality(keys)' : '(select count(*) from completed)';
  const { tokens, masks } = masksOf(claims);
  return {
    name: 'complete_rows',
    text: `with fencepost_settled as materialized (
        select * from ${identifier(table.schema)}.claim_complete_batch(${source}, $1::bigint[], $2::bit varying[])
      ), completed as (${completed} where ${where} returning ${columnsOf(table)})
      select case when ${all} = ${claims.length} then '=all' else '=' || json_build_array(
        array(select fp_e::text from unnest(ended) fp_e),
        ${pinned ? 'keys' : `array(select ${name} from completed ${bare})`})::text end as completed
      from fencepost_settled`,
    values: [plainArray(tokens), plainArray(masks)],
  };
}

/** Which of the claims were completed, as the answer says. */
export function readCompleted([row]: readonly Row[], claims: readonly ClaimedKey[]): boolean[] {
  const answer = row?.completed;
  if (answer == null || answer === '=all') return claims.map(() => answer != null);
  const [ended, names] = JSON.parse(answer.slice(1)) as [(string | null)[], string[]];
  const { tokens } = masksOf(claims);
  const masks = new Map(tokens.map((token, at) => [token, ended[at] ?? '']));
  const there = new Set(names);
  return claims.map(
    ({ token, place, name, key }) =>
      masks.get(token)?.[(place ?? 0) - 1] === '1' && there.has(name ?? key[0] ?? ''),
  );
}

/** The places of the claims in each batch, as bits. */
function masksOf(claims: readonly ClaimedKey[]): { readonly tokens: bigint[]; readonly masks: string[] } {
  const places = new Map<bigint, number[]>();
  let last: { readonly token: bigint; readonly places: number[] } | undefined;
  for (const { token, place } of claims) {
    if (last?.token !== token) {
      last = { token, places: places.get(token) ?? [] };
      places.set(token, last.places);
    }
    last.places.push(place ?? 0);
  }
  const masks = [...places.values()].map((set) => {
    const bits = Buffer.alloc(Math.max(...set), '0');
    for (const place of set) bits[place - 1] = 0x31;
    return bits.toString('latin1');
  });
  return { tokens: [...places.keys()], masks };
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
