import {
  type Claimant,
  columnsOf,
  dead,
  eachBuried,
  facts,
  filter,
  foundOrder,
  groupFact,
  holdersOf,
  judged,
  picked,
  rowOrder,
  sortColumns,
  transposed,
  unnest,
} from './claim.ts';
import type { Asked } from './claim-asked.ts';
import { batchesOf, claimsOf, entries, entriesOf, hasEntry, isNamed, isOf, namesOf } from './claim-beside.ts';
import { isFair, owner, shares } from './claim-fair.ts';
import { claimFresh } from './claim-fresh.ts';
import { claimValues, found, groupColumn, groupOf, keyedRows, liveOf, turnOf } from './claim-groups.ts';
import { partOf } from './claim-names.ts';
import { type ClaimTable, nobody } from './claim-table.ts';
import { identifier, type Statement } from './statement.ts';

/**
 * Claims at most so many rows, the first in order; it leaves the table as it is. The rows are locked while their claims
 * are taken, so that no two look at one row at one time. Who looked before another was done may have seen the row free:
 * the claim itself is refused then, and the row comes back as such.
 */
export function claimRows(table: ClaimTable, claimant: Claimant, asked: Asked): Statement {
  if (table.perKey !== undefined) return claimKeyed(table, claimant, asked);
  const { tenant, cursor, fresh = false } = asked;
  if (fresh && !table.fair) return claimFresh(table, claimant, asked);
  const fair = isFair(table, tenant);
  const columns = `${locked(table)}${owner(table, tenant)}`;
  const from = `select ${columns} from ${table.table} where ${filter(table, tenant)}`;
  const lock = `for no key update of ${table.bare} skip locked`;
  const claims = claimsOf(table);
  const entries = entriesOf(table);
  const free = `${dead} is not null and ${unkept(table)}`;
  const shared = { columns: locked(table), free, most: '$3::integer', lock };
  // What is known by its claim is looked up row by row: a join could read the whole table.
  return {
    name: 'claim_rows',
    text: `with recursive ${holdersOf(entries, 'fp_c.holder_id')},
      ${judged(table, holders(table))},
      ${
        fair
          ? shares(table, shared, cursor, 4)
          : `fencepost_free as materialized (${from} and ${free} ${rowOrder(table)} limit $3::integer ${lock})`
      },
      fencepost_waiting as materialized (
        select fp_u.* from (
          select fp_c.tenant, fp_c.key ${entries} and fp_c.holder_id = ${nobody} and fp_c.due <= now()
          and ${dead} is not null order by fp_c.due
        ) fp_c cross join lateral (${from} and ${isNamed(table)} ${lock}) fp_u limit $3::integer
      ), fencepost_left as materialized (
        select fp_u.* from (
          select fp_v.* from ${eachBuried} cross join lateral (
            select fp_c.tenant, fp_c.key ${claims} and fp_c.holder_id = fp_d.id offset 0
          ) fp_c cross join lateral (
            select fp_c.tenant, fp_c.key, ${sortColumns(table)} from ${table.table} where ${isNamed(table)} limit 1
          ) fp_v ${foundOrder(table)}
        ) fp_c cross join lateral (${from} and ${isNamed(table)} ${lock}) fp_u limit $3::integer
      ), fencepost_found as materialized (
        select * from fencepost_free union all select * from fencepost_waiting union all select * from fencepost_left
      ), ${picked(table, fair)}, ${take(table, fair)}`,
    values: claimValues(table, claimant, asked),
  };
}

/**
 * Nobody has it. Rows in flight come first in the order: to look each of them up would cost more than to read them all
 * once. With the limit Postgres expects few enough entries to keep them hashed; the others are looked up. By the key
 * alone: a row whose tenant was changed since is the same row.
 */
function unkept(table: ClaimTable): string {
  return `(${columnsOf(table)}) not in (${batchedOf(table)})
        and (not exists (select ${entriesOf(table)} and fp_c.holder_id is not null)
          or (${columnsOf(table)}) not in (${flightOf(table)} limit 20000)
            and not ${hasEntry(table, 'fp_c.holder_id is not null')})`;
}

/** All who have entries or batches. */
function holders(table: ClaimTable): string {
  return `select id from fencepost_holders where id is not null union ${batchHolders(table)}`;
}

function batchHolders(table: ClaimTable): string {
  return `select fp_b.holder_id from ${batchesOf(table)}`;
}

/** The same where there is a limit for each key. */
function claimKeyed(table: ClaimTable, claimant: Claimant, asked: Asked): Statement {
  const { tenant, cursor } = asked;
  const keyed = {
    columns: locked(table),
    takeable: `${takeable(table)} and ${dead} is not null`,
    unfinished: `not ${hasEntry(table, `fp_c.holder_id = ${nobody} and fp_c.due = 'infinity'`)}`,
    lock: `for no key update of ${table.bare} skip locked`,
  };
  return {
    name: 'claim_keyed_rows',
    text: `with recursive ${turnOf(table)}, ${holdersOf(entriesOf(table), 'fp_c.holder_id')},
      ${judged(table, holders(table))}, ${liveOf(table, liveRows(table))},
      ${keyedRows(table, keyed, tenant, cursor)}, ${picked(table)}, ${take(table, true)}`,
    values: claimValues(table, claimant, asked),
  };
}

/** Nobody who lives has it, under this tenant or the one that it had when it was claimed. */
function takeable(table: ClaimTable): string {
  const free = `(fp_c.holder_id = any (${dead}::uuid[]) and fp_c.due <= now())`;
  const unclaimed = `not ${hasEntry(table, `fp_c.holder_id is not null and not ${free}`)}
        and (${columnsOf(table)}) not in (${batchedOf(table)} and fp_b.holder_id <> all (${dead}::uuid[]))`;
  if (table.tenant === undefined) return unclaimed;
  return `${unclaimed} and (${columnsOf(table)}) not in (${flightOf(table)} and fp_c.holder_id <> all (${dead}::uuid[]))`;
}

/** The keys of the rows that somebody has, by their entries. */
function flightOf(table: ClaimTable): string {
  const parts = table.types.map((_, place) => partOf('fp_c.key', table.types, place));
  return `select ${parts.join(', ')} ${entriesOf(table)} and fp_c.holder_id > ${nobody}`;
}

/** The keys of the rows that somebody has in a batch. */
function batchedOf(table: ClaimTable): string {
  const parts = table.types.map((_, place) => partOf('fp_b.key', table.types, place));
  return `select ${parts.join(', ')} from ${identifier(table.schema)}.claim_batch_rows fp_b
          where fp_b.source_id = ${namesOf(table).source}`;
}

/** How many rows of each key somebody has who lives. */
function liveRows(table: ClaimTable): string {
  return `select fp_u.fp_by, count(*) as fp_rows from (
      select fp_c.tenant, fp_c.key ${claimsOf(table)} and fp_c.holder_id > ${nobody} and fp_c.holder_id <> all ($1)
    ) fp_c cross join lateral (
      select ${groupOf(table, table.groups)} as fp_by from ${table.table} where ${isNamed(table)} limit 1
    ) fp_u group by 1`;
}

/** Claims those of the named rows that are free. */
export function claimNamedRows(
  table: ClaimTable,
  claimant: Claimant,
  keys: readonly (readonly unknown[])[],
): Statement {
  const asked = `(${columnsOf(table)}) in (select * from ${unnest(table, 4)})`;
  const grouped = table.perKey !== undefined;
  const judging = judged(
    table,
    `select fp_c.holder_id from ${table.table}, ${entries(table)} fp_c
         where ${asked} and ${isOf(table)} and fp_c.holder_id is not null union ${batchHolders(table)}`,
  );
  return {
    name: 'claim_named_rows',
    text: `with ${grouped ? `${turnOf(table)}, ${judging}, ${liveOf(table, liveRows(table))}` : judging},
      ${found(
        table,
        `select ${locked(table)}${groupColumn(table)} from ${table.table}
        where ${filter(table, undefined)} and ${asked} and ${dead} is not null and ${takeable(table)}
        limit $3::integer for no key update of ${table.bare} skip locked`,
      )}, ${picked(table)}, ${take(table, grouped)}`,
    values: [claimant.id, claimant.epoch, keys.length, ...transposed(table, keys)],
  };
}

/** Takes the claims of what was picked, and gives the rows as they were locked. */
function take(table: ClaimTable, grouped: boolean): string {
  const { schema, maxAttempts } = table;
  const { source } = namesOf(table);
  const answer = facts(table, {
    rank: 'fp_p.fp_rank',
    token: 'fp_t.token',
    attempts: 'fp_t.attempts',
    state: 'fp_t.kind',
    names: ['fp_p.fp_tenant', 'fp_p.fp_name'],
    group: groupFact(grouped),
    key: (place) => `fp_p.fp_${place + 1}`,
  });
  return `fencepost_taken as materialized (
        select fp_t.* from (
          select array_agg(fp_tenant order by fp_rank) as tenants, array_agg(fp_name order by fp_rank) as names
          from fencepost_picked
        ) fp_n cross join lateral ${identifier(schema)}.claim_take(
          $1::uuid, $2::integer, ${source}, ${maxAttempts}, ${dead}, array(select fp_b.token from ${batchesOf(table)}),
          fp_n.tenants, fp_n.names) fp_t
        where fp_n.names is not null
      )
      select ${answer}, (fp_p.fp_row).*
      from fencepost_picked fp_p
      left join fencepost_taken fp_t on fp_t.place = fp_p.fp_rank`;
}

/** What is needed of a row once it is locked, and the row itself as it is then. */
function locked(table: ClaimTable): string {
  const { tenant, key } = namesOf(table);
  return `${sortColumns(table)}, ${tenant} as fp_tenant, ${key} as fp_name, (${table.bare}.*)::${table.rowType} as fp_row`;
}
