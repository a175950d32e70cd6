import { type ClaimTable, nobody } from './claim-table.ts';
import { identifier, type Row, type Statement } from './statement.ts';

/** The living holder that claims. */
export interface Claimant {
  readonly id: string;
  readonly epoch: number;
}

/** A row by its key, each part of it as text, with the token of its claim. */
export interface ClaimedKey {
  readonly key: readonly string[];
  readonly token: bigint;
}

/** What the server says of a row that a claim took. */
export interface ClaimedRow extends ClaimedKey {
  readonly row: Row;
  readonly attempt: number;
  /** Its attempts were used up: it was set aside instead of claimed. */
  readonly aside: boolean;
}

/**
 * Claims at most so many rows, the first in order. What is free stands in three places: rows that nobody has, rows
 * that wait for another attempt and are due, and rows of dead holders, which are found by stepping through the holders
 * in the index. Each place is locked in the order that its index can give without a sort of all of it; of what was
 * locked the first are taken. The holders are judged before any row is locked: dead is for ever.
 */
export function claimRows(table: ClaimTable, claimant: Claimant, limit: number, tenant: unknown): Statement {
  const from = `select ${sortColumns(table)} from ${table.table} where ${filter(table, tenant)}`;
  const lock = `limit $3::integer for no key update skip locked`;
  const order = orderOf(table, (name) => `${table.bare}.${identifier(name)}`);
  return {
    name: 'claim_rows',
    text: `with recursive fencepost_holders(id) as (
        (select fencepost_holder from ${table.table} where fencepost_holder is not null
         order by fencepost_holder limit 1)
        union all
        select (select fencepost_holder from ${table.table} where fencepost_holder > h.id
                order by fencepost_holder limit 1)
        from fencepost_holders h where h.id is not null
      ), ${judged(table, 'select id from fencepost_holders where id is not null')},
      fencepost_free as materialized (
        ${from} and fencepost_holder is null and (select ids from fencepost_dead) is not null
        ${order} ${lock}
      ), fencepost_waiting as materialized (
        ${from} and fencepost_holder = ${nobody} and fencepost_due <= now()
        and (select ids from fencepost_dead) is not null
        order by fencepost_due ${lock}
      ), fencepost_left as materialized (
        ${from} and fencepost_holder = any (array_remove((select ids from fencepost_dead), ${nobody}))
        ${order} ${lock}
      ), fencepost_found as materialized (
        select * from fencepost_free union all select * from fencepost_waiting union all select * from fencepost_left
      ), ${take(table)}`,
    values: [claimant.id, claimant.epoch, limit, ...(tenant === undefined ? [] : [tenant])],
  };
}

/** Claims those of the named rows that are free. */
export function claimNamedRows(
  table: ClaimTable,
  claimant: Claimant,
  keys: readonly (readonly unknown[])[],
): Statement {
  const first = 4;
  const asked = `(${columnsOf(table)}) in (select * from ${unnest(table, first)})`;
  return {
    name: 'claim_named_rows',
    text: `with ${judged(
      table,
      `select distinct fencepost_holder from ${table.table} where ${asked} and fencepost_holder is not null`,
    )},
      fencepost_found as materialized (
        select ${sortColumns(table)} from ${table.table} where ${filter(table, undefined)} and ${asked}
        and (select ids from fencepost_dead) is not null
        and (fencepost_holder is null
          or fencepost_holder = any ((select ids from fencepost_dead)::uuid[]) and fencepost_due <= now())
        limit $3::integer for no key update skip locked
      ), ${take(table)}`,
    values: [claimant.id, claimant.epoch, keys.length, ...transposed(table, keys)],
  };
}

/** The rows that a claim took, in order. */
export function readClaimed(rows: readonly Row[]): ClaimedRow[] {
  const read = rows.map(({ fencepost, ...rest }) => {
    const [rank, token, attempt, aside, ...key] = JSON.parse((fencepost ?? '=[]').slice(1)) as [
      number,
      string,
      number,
      boolean,
      ...string[],
    ];
    return { rank, token: BigInt(token), attempt, aside, key, row: withoutOurs(rest) };
  });
  return read.sort((a, b) => a.rank - b.rank);
}

/** The row as its owner knows it. A plugin may have renamed our columns. */
export function withoutOurs(row: Row): Row {
  return Object.fromEntries(Object.entries(row).filter(([name]) => !/^fencepost(_|[A-Z]|$)/.test(name)));
}

/** Names and types of the key as the columns fp_1, fp_2 and so on of the arrays from this parameter on. */
export function unnest({ types }: ClaimTable, first: number): string {
  return `unnest(${types.map((type, place) => `$${first + place}::${type}[]`).join(', ')})`;
}

export function transposed({ key }: ClaimTable, keys: readonly (readonly unknown[])[]): unknown[] {
  return key.map((_, place) => keys.map((one) => one[place]));
}

/** A condition that a row of the table is the one that `asked` names. */
export function matches({ key, bare }: ClaimTable, asked: string): string {
  return key.map((name, place) => `${bare}.${identifier(name)} = ${asked}.fp_${place + 1}`).join(' and ');
}

export function keyNames({ key }: ClaimTable): string {
  return key.map((_, place) => `fp_${place + 1}`).join(', ');
}

function columnsOf({ key, bare }: ClaimTable): string {
  return key.map((name) => `${bare}.${identifier(name)}`).join(', ');
}

function filter({ where, tenant }: ClaimTable, value: unknown): string {
  const conditions = [
    ...(where === undefined ? [] : [`(${where})`]),
    ...(value === undefined || tenant === undefined ? [] : [`${identifier(tenant)} = $4`]),
  ];
  return conditions.length === 0 ? 'true' : conditions.join(' and ');
}

function sortColumns(table: ClaimTable): string {
  const { key, order, bare } = table;
  const column = (name: string, as: string): string => `${bare}.${identifier(name)} as ${as}`;
  return [
    ...key.map((name, place) => column(name, `fp_${place + 1}`)),
    ...order.map(({ name }, place) => column(name, `fp_o${place + 1}`)),
  ].join(', ');
}

function orderOf({ order }: ClaimTable, name: (name: string, place: number) => string): string {
  if (order.length === 0) return '';
  return `order by ${order.map((column, place) => `${name(column.name, place)}${column.direction}`).join(', ')}`;
}

function judged({ schema }: ClaimTable, holders: string): string {
  return `fencepost_dead as materialized (
        select ${identifier(schema)}.claim_dead(array(${holders})) as ids
      )`;
}

/** Takes the first of what was found and locked. The token is drawn once they are locked, and once for all of them. */
function take(table: ClaimTable): string {
  const { schema, bare, maxAttempts } = table;
  const spent = `${bare}.fencepost_attempts >= ${maxAttempts}`;
  const key = table.key.map((name) => `to_jsonb(${bare}.${identifier(name)}) #>> '{}'`).join(', ');
  return `fencepost_picked as materialized (
        select *, row_number() over (${orderOf(table, (_, place) => `fp_o${place + 1}`)}) as fp_rank
        from fencepost_found order by fp_rank limit $3::integer
      ), fencepost_grant as materialized (
        select ${identifier(schema)}.claim_token($1::uuid, $2::integer) as fp_token
        from (select count(*) as rows from fencepost_picked) p where p.rows > 0
      )
      update ${table.table} set
        fencepost_token = greatest(fp_g.fp_token, ${bare}.fencepost_token + 1),
        fencepost_holder = case when ${spent} then ${nobody} else $1::uuid end,
        fencepost_due = case when ${spent} then 'infinity'::timestamptz else '-infinity'::timestamptz end,
        fencepost_attempts = ${bare}.fencepost_attempts + case when ${spent} then 0 else 1 end
      from fencepost_picked fp_p, fencepost_grant fp_g
      where ${matches(table, 'fp_p')}
      returning '=' || json_build_array(fp_p.fp_rank, ${bare}.fencepost_token::text, ${bare}.fencepost_attempts,
        ${bare}.fencepost_holder = ${nobody}, ${key})::text as fencepost, ${bare}.*`;
}
