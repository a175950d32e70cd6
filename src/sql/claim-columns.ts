import {
  buried,
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
  matches,
  picked,
  rowOrder,
  sortColumns,
  transposed,
  unnest,
} from './claim.ts';
import type { Asked } from './claim-asked.ts';
import { isFair, owner, shares } from './claim-fair.ts';
import { claimValues, found, groupColumn, groupOf, keyedRows, liveOf, turnOf } from './claim-groups.ts';
import { firstRows, positionOf } from './claim-position.ts';
import { type ClaimTable, nobody } from './claim-table.ts';
import { identifier, type Statement } from './statement.ts';

/**
 * Claims at most so many rows, the first in order. What is free stands in three places: rows that nobody has, rows
 * that wait for another attempt and are due, and rows of dead holders, which are found by stepping through the holders
 * in the index. Each place is locked in the order that its index can give without a sort of all of it; of what was
 * locked the first are taken. The holders are judged before any row is locked: dead is for ever.
 */
export function claimRows(table: ClaimTable, claimant: Claimant, asked: Asked): Statement {
  if (table.perKey !== undefined) return claimKeyed(table, claimant, asked);
  if (asked.from != null) return claimBehind(table, claimant, asked);
  const { tenant, cursor } = asked;
  const fair = isFair(table, tenant);
  const columns = `${sortColumns(table)}${owner(table, tenant)}`;
  const from = `select ${columns} from ${table.table} where ${filter(table, tenant)}`;
  const order = rowOrder(table);
  const nobodys = `fencepost_holder is null and ${dead} is not null`;
  const shared = { columns: sortColumns(table), free: nobodys, most: '$3::integer', lock: skipLocked };
  return {
    name: 'claim_rows',
    text: `with recursive ${holdersOf(`from ${table.table} where true`, 'fencepost_holder')},
      ${judged(table, holders)},
      ${fair ? shares(table, shared, cursor, 4) : `fencepost_free as materialized (${from} and ${nobodys} ${order} limit $3::integer ${skipLocked})`},
      fencepost_waiting as materialized (
        ${from} and fencepost_holder = ${nobody} and fencepost_due <= now() and ${dead} is not null
        order by fencepost_due limit $3::integer ${skipLocked}
      ), fencepost_left as materialized (
        select fp_u.* from (
          select fp_v.* from ${eachBuried} cross join lateral (
            select ${sortColumns(table)} from ${table.table}
            where ${filter(table, tenant)} and fencepost_holder = fp_d.id offset 0
          ) fp_v ${foundOrder(table)}
        ) fp_c cross join lateral (
          ${from} and ${table.bare}.ctid = fp_c.fp_ctid and fencepost_holder = any (${buried}) ${skipLocked}
        ) fp_u limit $3::integer
      ), fencepost_found as materialized (
        select * from fencepost_free union all select * from fencepost_waiting union all select * from fencepost_left
      ), ${picked(table, fair)}, ${take(table, fair)}${asked.from === undefined ? '' : ended(table)}`,
    values: claimValues(table, claimant, asked),
  };
}

const skipLocked = 'for no key update skip locked';
const holders = 'select id from fencepost_holders where id is not null';

/**
 * The same of rows behind a position that nobody has. Those that somebody has had are left to the next look from the
 * start: in their index, too, what is done and not vacuumed yet comes first.
 */
function claimBehind(table: ClaimTable, claimant: Claimant, asked: Asked): Statement {
  const free = {
    columns: sortColumns(table),
    condition: `${filter(table, asked.tenant)} and fencepost_holder is null and ${dead} is not null`,
    order: rowOrder(table),
    most: '$3::integer',
    lock: skipLocked,
  };
  return {
    name: 'claim_rows_behind',
    text: `with ${judged(table, 'select null::uuid where false')},
      fencepost_found as materialized (${firstRows(table, free, asked.from)}),
      ${picked(table)}, ${take(table, false)}${ended(table)}`,
    values: claimValues(table, claimant, asked),
  };
}

/** Where in the order it ended, after the rows. */
function ended(table: ClaimTable): string {
  const position = positionOf(table, 'fp_p', (place) => `fp_o${place + 1}`);
  return ` union all (select '=at ' || ${position}, (null::${table.rowType}).*
      from fencepost_picked fp_p order by fp_rank desc limit 1)`;
}

/** The same where there is a limit for each key. */
function claimKeyed(table: ClaimTable, claimant: Claimant, asked: Asked): Statement {
  const { tenant, cursor } = asked;
  const keyed = {
    columns: sortColumns(table),
    takeable: `${takeable} and ${dead} is not null`,
    unfinished: `fencepost_due < 'infinity'`,
    lock: skipLocked,
  };
  return {
    name: 'claim_keyed_rows',
    text: `with recursive ${turnOf(table)},
      ${holdersOf(`from ${table.table} where true`, 'fencepost_holder')},
      ${judged(table, holders)}, ${liveOf(table, liveRows(table))},
      ${keyedRows(table, keyed, tenant, cursor)}, ${picked(table)}, ${take(table, true)}`,
    values: claimValues(table, claimant, asked),
  };
}

/** Nobody who lives has it. */
const takeable = `(fencepost_holder is null or fencepost_holder = any (${dead}::uuid[]) and fencepost_due <= now())`;

/** How many rows of each key somebody has who lives. */
function liveRows(table: ClaimTable): string {
  return `select ${groupOf(table, table.groups)} as fp_by, count(*) as fp_rows from ${table.table}
    where fencepost_holder > ${nobody} and fencepost_holder <> all ($1) group by 1`;
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
    `select distinct fencepost_holder from ${table.table} where ${asked} and fencepost_holder is not null`,
  );
  return {
    name: 'claim_named_rows',
    text: `with ${grouped ? `${turnOf(table)}, ${judging}, ${liveOf(table, liveRows(table))}` : judging},
      ${found(
        table,
        `select ${sortColumns(table)}${groupColumn(table)} from ${table.table}
        where ${filter(table, undefined)} and ${asked} and ${dead} is not null and ${takeable}
        limit $3::integer for no key update skip locked`,
      )}, ${picked(table)}, ${take(table, grouped)}`,
    values: [claimant.id, claimant.epoch, keys.length, ...transposed(table, keys)],
  };
}

/** A row that changed between the moment of the statement and its lock is locked as it is now, and written by no statement of that moment. */
const refused = '=0 0 0 r';

/** Takes what was picked. The token is drawn once it is locked, and once for all of it. */
function take(table: ClaimTable, grouped: boolean): string {
  const { schema, bare, maxAttempts } = table;
  const spent = `${bare}.fencepost_attempts >= ${maxAttempts}`;
  const answer = facts(table, {
    rank: 'fp_p.fp_rank',
    token: `${bare}.fencepost_token`,
    attempts: `${bare}.fencepost_attempts`,
    state: `case when ${bare}.fencepost_holder = ${nobody} then 'a' else 'c' end`,
    group: groupFact(grouped),
    key: (place) => `${bare}.${identifier(String(table.key[place]))}`,
  });
  return `fencepost_grant as materialized (
        select ${identifier(schema)}.claim_token($1::uuid, $2::integer) as fp_token
        from (select count(*) as rows from fencepost_picked) p where p.rows > 0
      ), fencepost_taken as (
        update ${table.table} set
          fencepost_token = greatest((select fp_token from fencepost_grant), ${bare}.fencepost_token + 1),
          fencepost_holder = case when ${spent} then ${nobody} else $1::uuid end,
          fencepost_due = case when ${spent} then 'infinity'::timestamptz else '-infinity'::timestamptz end,
          fencepost_attempts = ${bare}.fencepost_attempts + case when ${spent} then 0 else 1 end
        from fencepost_picked fp_p
        where ${bare}.ctid = any (array(select fp_ctid from fencepost_picked)) and ${matches(table, 'fp_p')}
        returning ${answer}, ${bare}.*
      )
      select * from fencepost_taken union all select '${refused}', (null::${table.rowType}).*
      where (select count(*) from fencepost_picked) > (select count(*) from fencepost_taken)`;
}
