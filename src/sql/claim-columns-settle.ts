import {
  arrays,
  type ClaimedKey,
  keyArrays,
  keyNames,
  matches,
  tokenArray,
  transposed,
  unnest,
} from './claim.ts';
import { type ClaimTable, nobody } from './claim-table.ts';
import { identifier, type Row, type Statement } from './statement.ts';

/** What becomes of a row that is given back. */
export interface Return {
  /** Milliseconds until it may be claimed again; undefined sets it aside. */
  readonly after: number | undefined;
  readonly error: string | undefined;
  /** The attempt was not made: it does not count. */
  readonly unused: boolean;
}

/** Completes rows whose token is still the one given: deletes them, or sets what completion sets. */
export function completeRows(table: ClaimTable, claims: readonly ClaimedKey[]): Statement {
  const where = `${matches(table, 'fp_a')} and ${claimed(table)}`;
  const completed =
    table.done === 'delete'
      ? `delete from ${table.table} using fencepost_asked fp_a where ${where}`
      : `update ${table.table} set ${table.done.set}, fencepost_holder = null, fencepost_due = '-infinity',
          fencepost_attempts = 0, fencepost_error = null
        from fencepost_asked fp_a where ${where}`;
  return {
    name: 'complete_rows',
    text: `with ${asked(table, claims)}, settled as (${completed} returning fp_a.fp_place)
      ${placesOf('settled', claims.length)}`,
    values: valuesOf(table, claims),
  };
}

/** Gives back rows whose token is still the one given. */
export function returnRows(table: ClaimTable, claims: readonly (ClaimedKey & Return)[]): Statement {
  const next = table.key.length + 2;
  const texts = `unnest($${next}::float8[], $${next + 1}::text[], $${next + 2}::boolean[])`;
  return {
    name: 'return_rows',
    text: `with ${asked(table, claims)},
      fencepost_ways as materialized (
        select * from ${texts} with ordinality as fp_w(fp_after, fp_error, fp_unused, fp_place)
      ), settled as (
        update ${table.table} set
          fencepost_holder = case when fp_w.fp_after = 0 then null else ${nobody} end,
          fencepost_due = case when fp_w.fp_after < 0 then 'infinity'
            else clock_timestamp() + fp_w.fp_after * interval '1 millisecond' end,
          fencepost_attempts = ${table.bare}.fencepost_attempts - fp_w.fp_unused::integer,
          fencepost_error = coalesce(nullif(fp_w.fp_error, ''), fencepost_error)
        from fencepost_asked fp_a join fencepost_ways fp_w using (fp_place) where ${matches(table, 'fp_a')} and ${claimed(table)}
        returning fp_place
      )
      ${placesOf('settled', claims.length)}`,
    values: [
      ...valuesOf(table, claims),
      // No nulls: in an array their spelling depends on a setting.
      claims.map(({ after }) => after ?? -1),
      claims.map(({ error }) => error ?? ''),
      claims.map(({ unused }) => unused),
    ],
  };
}

/** The places of the claims that were settled, in one row: a row for each would cost more than to settle it. */
export function placesOf(settled: string, count: number): string {
  return `select case when (select count(*) from ${settled}) = ${count} then '=all'
        else '=' || array_to_string(array(select fp_place from ${settled}), ',') end as places`;
}

/** Which of the claims the server found their row for. */
export function readSettled([row]: readonly Row[], count: number): boolean[] {
  const places = row?.places;
  const found = new Array<boolean>(count).fill(places === '=all');
  if (places == null || places === '=all' || places === '=') return found;
  for (const place of places.slice(1).split(',')) found[Number(place) - 1] = true;
  return found;
}

/** Locks the row of a claim for the transaction that completes it; no row when the token is stale. */
export function pinRow(table: ClaimTable, claim: ClaimedKey): Statement {
  const places = table.key.map((name, place) => `${identifier(name)} = $${place + 1}::${table.types[place]}`);
  const token = `fencepost_token = $${table.key.length + 1}::bigint`;
  return {
    name: 'pin_row',
    text: `select 1 as pinned from ${table.table}
      where ${places.join(' and ')} and ${token} and fencepost_holder <> ${nobody} for no key update`,
    values: [...claim.key, String(claim.token)],
  };
}

/** Frees what a holder has and does not know of: an answer was lost. Those attempts do not count. */
export function freeUnknown(table: ClaimTable, holder: string, known: readonly ClaimedKey[]): Statement {
  const next = table.key.length + 1;
  return {
    name: 'free_unknown_rows',
    text: `update ${table.table} set fencepost_holder = null, fencepost_attempts = fencepost_attempts - 1
      where fencepost_holder = $${next + 1}::uuid and not exists (
        select from unnest(${arrays(table.types, 1)}, $${next}::bigint[]) as fp_a(${keyNames(table)}, fp_token)
        where ${matches(table, 'fp_a')} and fp_a.fp_token = ${table.bare}.fencepost_token)`,
    values: [...valuesOf(table, known), holder],
  };
}

/** Rows that were set aside, and why. */
export function listAside(table: ClaimTable, limit: number, tenant: unknown): Statement {
  const ofTenant =
    tenant === undefined || table.tenant === undefined ? '' : ` and ${identifier(table.tenant)} = $2`;
  return {
    name: 'list_aside',
    text: `select '=' || json_build_array(fencepost_attempts, fencepost_error)::text as fencepost, ${table.bare}.*
      from ${table.table} where fencepost_holder = ${nobody} and fencepost_due = 'infinity'${ofTenant}
      limit $1::integer`,
    values: [limit, ...(ofTenant === '' ? [] : [tenant])],
  };
}

/** Lets rows that were set aside, or wait, be claimed again at once, with all their attempts. */
export function retryRows(table: ClaimTable, keys: readonly (readonly unknown[])[]): Statement {
  return {
    name: 'retry_rows',
    text: `with retried as (
        update ${table.table} set fencepost_holder = null, fencepost_due = '-infinity', fencepost_attempts = 0,
          fencepost_error = null
        from ${unnest(table, 1)} as fp_a(${keyNames(table)})
        where ${matches(table, 'fp_a')} and fencepost_holder = ${nobody} returning 1
      )
      select count(*)::text as answer from retried`,
    values: transposed(table, keys),
  };
}

/** Somebody has it, under the token that was given. */
function claimed({ bare }: ClaimTable): string {
  return `${bare}.fencepost_token = fp_a.fp_token and ${bare}.fencepost_holder <> ${nobody}`;
}

function asked(table: ClaimTable, claims: readonly ClaimedKey[]): string {
  return `fencepost_asked as materialized (
        select * from unnest(${arrays(table.types, 1)}, $${table.key.length + 1}::bigint[]) with ordinality
          as fp_a(${keyNames(table)}, fp_token, fp_place) limit ${claims.length}
      )`;
}

function valuesOf(table: ClaimTable, claims: readonly ClaimedKey[]): unknown[] {
  return [...keyArrays(table, claims), tokenArray(claims)];
}
