import {
  arrays,
  type ClaimedKey,
  columnsOf,
  keyArrays,
  keyNames,
  matches,
  tokenArray,
  transposed,
  unnest,
} from './claim.ts';
import { completeBatched, pinBatched, returnBatched } from './claim-batches.ts';
import { claimsOf, entriesOf, isNamed, namesOf } from './claim-beside.ts';
import { placesOf, type Return } from './claim-columns-settle.ts';
import { type ClaimTable, nobody } from './claim-table.ts';
import { callOf, identifier, type Statement, textArray } from './statement.ts';

/** Completes rows whose claim still has the token given. The row is locked before its claim, as for a claim. */
export function completeRows(table: ClaimTable, claims: readonly ClaimedKey[], pinned = false): Statement {
  if (inBatches(claims)) return completeBatched(table, claims, pinned);
  const { tenant, source } = namesOf(table);
  const next = table.key.length + 1;
  const texts = `$${next}::bigint[], $${next + 1}::text[], $${next + 2}::text[]`;
  const completed =
    table.done === 'delete'
      ? `delete from ${table.table} using fencepost_done fp_a`
      : `update ${table.table} set ${table.done.set} from fencepost_done fp_a`;
  const { tokens, tenants, names } = named(claims);
  return {
    name: 'complete_rows',
    text: `with fencepost_asked as materialized (
        select * from unnest(${arrays(table.types, 1)}, ${texts}) with ordinality
          as fp_a(${keyNames(table)}, fp_token, fp_tenant, fp_name, fp_place) limit ${claims.length}
      ), fencepost_locked as materialized (
        select fp_a.* from fencepost_asked fp_a, ${table.table}
        where ${matches(table, 'fp_a')} and ${tenant} = fp_a.fp_tenant
        order by fp_a.fp_tenant collate "C", fp_a.fp_name collate "C" for no key update of ${table.bare}
      ), fencepost_settled as materialized (
        select fp_s.tenant, fp_s.key from (
          select array_agg(fp_tenant) as tenants, array_agg(fp_name) as names, array_agg(fp_token) as tokens
          from fencepost_locked
        ) fp_l cross join lateral
          ${identifier(table.schema)}.claim_settle(${source}, fp_l.tenants, fp_l.names, fp_l.tokens) fp_s
        where fp_l.names is not null
      ), fencepost_done as materialized (
        select fp_l.* from fencepost_locked fp_l
        join fencepost_settled fp_s on fp_s.tenant = fp_l.fp_tenant and fp_s.key = fp_l.fp_name
        limit ${claims.length}
      ), completed as (${completed} where ${matches(table, 'fp_a')} returning 1)
      ${placesOf('fencepost_done', claims.length)}`,
    values: [...keyArrays(table, claims), tokens, tenants, names],
  };
}

/** Gives back rows whose claim still has the token given. The table is left alone. */
export function returnRows(table: ClaimTable, claims: readonly (ClaimedKey & Return)[]): Statement {
  if (inBatches(claims)) return returnBatched(table, claims);
  const { tokens, tenants, names } = named(claims);
  return {
    name: 'return_rows',
    text: `with settled as materialized (
        select fp_a.fp_place
        from unnest($1::text[], $2::text[]) with ordinality as fp_a(fp_tenant, fp_name, fp_place)
        join ${identifier(table.schema)}.claim_return(
          ${namesOf(table).source}, $1::text[], $2::text[], $3::bigint[], $4::float8[], $5::text[], $6::boolean[]) fp_r
          on fp_r.tenant = fp_a.fp_tenant and fp_r.key = fp_a.fp_name
      )
      ${placesOf('settled', claims.length)}`,
    values: [
      tenants,
      names,
      tokens,
      claims.map(({ after }) => after ?? -1),
      claims.map(({ error }) => error ?? ''),
      claims.map(({ unused }) => unused),
    ],
  };
}

/** Locks the row of a claim, then the claim, for the transaction that completes it; no row when the token is stale. */
export function pinRow(table: ClaimTable, claim: ClaimedKey): Statement {
  if (inBatches([claim])) return pinBatched(table, claim);
  const { key, token, tenant, name } = claim;
  const names = namesOf(table);
  const places = table.key.map(
    (column, place) => `${identifier(column)} = $${place + 4}::${table.types[place]}`,
  );
  return {
    name: 'pin_row',
    text: `with fencepost_locked as materialized (
        select 1 from ${table.table} where ${places.join(' and ')} and ${names.tenant} = $1::text for no key update
      )
      select 1 as pinned from fencepost_locked
      where ${identifier(table.schema)}.claim_pin(${names.source}, $1::text, $2::text, $3::bigint)`,
    values: [tenant, name, String(token), ...key],
  };
}

/** Frees what a holder has and does not know of: an answer was lost. Those attempts do not count. */
export function freeUnknown(table: ClaimTable, holder: string, known: readonly ClaimedKey[]): Statement {
  const { tokens, tenants, names } = named(known);
  const places = known.map(({ place }) => place ?? 0);
  return callOf(table.schema, 'claim_free', [namesOf(table).source, holder, tenants, names, tokens, places]);
}

/** Rows that were set aside, and why. */
export function listAside(table: ClaimTable, limit: number, tenant: unknown): Statement {
  const ofTenant =
    tenant === undefined || table.tenant === undefined ? '' : ` and ${identifier(table.tenant)} = $2`;
  return {
    name: 'list_aside',
    text: `select fp_c.fencepost, fp_u.* from (
        select '=' || json_build_array(fp_c.attempts, fp_c.error)::text as fencepost, fp_c.tenant, fp_c.key
        ${entriesOf(table)} and fp_c.holder_id = ${nobody} and fp_c.due = 'infinity'
      ) fp_c cross join lateral (
        select * from ${table.table} where ${isNamed(table)}${ofTenant} limit 1
      ) fp_u limit $1::integer`,
    values: [limit, ...(ofTenant === '' ? [] : [tenant])],
  };
}

/** Lets rows that were set aside, or wait, be claimed again at once, with all their attempts. */
export function retryRows(table: ClaimTable, keys: readonly (readonly unknown[])[]): Statement {
  const { source, tenant, key } = namesOf(table);
  return {
    name: 'retry_rows',
    text: `select ${identifier(table.schema)}.claim_retry(${source}, array_agg(${tenant}), array_agg(${key}))::text
        as answer
      from ${table.table} where (${columnsOf(table)}) in (select * from ${unnest(table, 1)})`,
    values: transposed(table, keys),
  };
}

/**
 * Forgets claims of rows that are gone, of those that claims look at each time: the dead have them, or they are due. Or
 * of all of them that nobody has. Answers how many, at most a thousand.
 */
export function forgetRows(table: ClaimTable, all: boolean): Statement {
  const { schema } = table;
  const living = `exists (select from ${identifier(schema)}.holders fp_h where fp_h.id = fp_c.holder_id)`;
  const which = all ? 'true' : `fp_c.holder_id is not null and fp_c.due <= now()`;
  return {
    name: 'forget_rows',
    text: `select ${identifier(schema)}.claim_forget(
        ${namesOf(table).source}, array_agg(fp_g.tenant), array_agg(fp_g.key), array_agg(fp_g.token))::text as answer
      from (
        select fp_c.* from (select fp_c.* ${claimsOf(table)} and ${which} and not ${living}) fp_c
        left join lateral (select true as there from ${table.table} where ${isNamed(table)} limit 1) fp_u on true
        where fp_u.there is null limit 1000
      ) fp_g`,
    values: [],
  };
}

function inBatches([claim]: readonly ClaimedKey[]): boolean {
  return claim !== undefined && claim.place !== null;
}

function named(claims: readonly ClaimedKey[]) {
  return {
    tokens: tokenArray(claims),
    tenants: textArray(claims.map(({ tenant }) => tenant ?? '')),
    names: textArray(claims.map(({ name }) => name ?? '')),
  };
}
