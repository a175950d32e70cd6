import { type ClaimTable, nobody } from './claim-table.ts';
import { identifier, plainArray, type Row, textArray } from './statement.ts';

/** The living holder that claims. */
export interface Claimant {
  readonly id: string;
  readonly epoch: number;
}

/** A row by its key, each part of it as text, with the token of its claim. */
export interface ClaimedKey {
  readonly key: readonly string[];
  readonly token: bigint;
  /** Under which tenant and name its claim is kept beside the table; null where it is not. */
  readonly tenant: string | null;
  readonly name: string | null;
  /** Its place in the batch that was claimed under the token; null where it is in none. */
  readonly place: number | null;
}

/**
 * What a claim made of a row: it set it aside, because its attempts were used up, or somebody else got it meanwhile. Or
 * it is none: there are others to look at before fresh ones.
 */
export type ClaimedState = 'claimed' | 'aside' | 'refused' | 'others';

/** What the server says of a row that a claim took. */
export interface ClaimedRow extends ClaimedKey {
  readonly row: Row;
  readonly attempt: number;
  readonly state: ClaimedState;
  /** Its group, and how many were visited before; null for a claim that goes round no groups. */
  readonly group: readonly [step: number, group: string] | null;
}

/** What a claim says of a row besides the row: of what is null, nothing came. */
export interface FactTexts {
  readonly rank: string;
  readonly token: string;
  readonly attempts: string;
  /** One of the letters; null when somebody else got it. */
  readonly state: string;
  /** Tenant and name of the claim beside the table. */
  readonly names?: readonly [tenant: string, name: string];
  /** Its step and its group, as JSON. */
  readonly group: string | undefined;
  key(place: number): string;
}

/**
 * The part of a row's answer that is not the row: rank, token, attempt, a letter, and the rest. It begins with a sign,
 * so that no parser takes it for something else. JSON for each row would be a fifth of what a claim costs. The letter
 * says what became of it: claimed, in a batch at the place of its rank, set aside, refused; or that it is no row, and
 * others are to be looked at.
 */
export function facts(table: ClaimTable, texts: FactTexts): string {
  const { rank, token, attempts, state, names, group, key: textOf } = texts;
  const { key, types } = table;
  const keys = key.map((_, place) => textOf(place));
  const parts = [
    ...(names ?? ['null', 'null']),
    group ?? 'null',
    ...keys.map((one) => `to_jsonb(${one}) #>> '{}'`),
  ];
  const full = `json_build_array(${parts.join(', ')})::text`;
  const bare = keys.length === 1 && group === undefined && bareTypes.test(types[0] ?? '');
  const plain = `'=' || ${keys[0]}`;
  const short = names === undefined ? plain : `case when ${state} = 'b' then ${plain} else ${full} end`;
  return `'=' || ${rank} || ' ' || coalesce(${token}, 0) || ' ' || coalesce(${attempts}, 0) || ' '
          || coalesce(${state}, 'r') || ${bare ? short : full} as fencepost`;
}

/** The group of what was picked, where it has one. */
export function groupFact(grouped: boolean): string | undefined {
  return grouped ? 'json_build_array(fp_p.fp_step, fp_p.fp_group)' : undefined;
}

/** Types whose text is the same in JSON and out of it. */
const bareTypes = /^(smallint|integer|bigint|uuid|text|character varying)$/;

/** Names and types of the key as the columns fp_1, fp_2 and so on of the arrays from this parameter on. */
export function unnest({ types }: ClaimTable, first: number): string {
  return `unnest(${arrays(types, first)})`;
}

export function arrays(types: readonly string[], first: number): string {
  return types.map((type, place) => `$${first + place}::${type}[]`).join(', ');
}

export function transposed({ key }: ClaimTable, keys: readonly (readonly unknown[])[]): unknown[] {
  return key.map((_, place) => keys.map((one) => one[place]));
}

/** Types whose values mean nothing in an array. */
const plainTypes = /^(smallint|integer|bigint|uuid)$/;

/** The keys of claims as one array for each column, written here: the driver takes three times as long for it. */
export function keyArrays({ types }: ClaimTable, claims: readonly ClaimedKey[]): string[] {
  return types.map((type, place) => {
    const parts = claims.map(({ key }) => key[place] ?? '');
    return plainTypes.test(type) ? plainArray(parts) : textArray(parts);
  });
}

/** Their tokens; claims that were made together have the same one. */
export function tokenArray(claims: readonly ClaimedKey[]): string {
  let last: bigint | undefined;
  let text = '';
  return plainArray(
    claims.map(({ token }) => {
      if (token !== last) text = String(token);
      last = token;
      return text;
    }),
  );
}

/** A condition that a row of the table is the one that `asked` names. */
export function matches({ key, bare }: ClaimTable, asked: string): string {
  return key.map((name, place) => `${bare}.${identifier(name)} = ${asked}.fp_${place + 1}`).join(' and ');
}

export function keyNames({ key }: ClaimTable): string {
  return key.map((_, place) => `fp_${place + 1}`).join(', ');
}

export function columnsOf({ key, bare }: ClaimTable): string {
  return key.map((name) => `${bare}.${identifier(name)}`).join(', ');
}

/** What a row has to be to be claimed, whoever has it. The tenant, where there is one, is this parameter. */
export function filter({ where, tenant }: ClaimTable, value: unknown, parameter = '$4'): string {
  const conditions = [
    ...(where === undefined ? [] : [`(${where})`]),
    ...(value === undefined || tenant === undefined ? [] : [`${identifier(tenant)} = ${parameter}`]),
  ];
  return conditions.length === 0 ? 'true' : conditions.join(' and ');
}

export function sortColumns(table: ClaimTable): string {
  const { key, order, bare } = table;
  const column = (name: string, as: string): string => `${bare}.${identifier(name)} as ${as}`;
  return [
    `${bare}.ctid as fp_ctid`,
    ...key.map((name, place) => column(name, `fp_${place + 1}`)),
    ...order.map(({ name }, place) => column(name, `fp_o${place + 1}`)),
  ].join(', ');
}

/** The order of the rows, by the columns of the table. */
export function rowOrder(table: ClaimTable): string {
  return orderOf(table, (name) => `${table.bare}.${identifier(name)}`);
}

/** The order of what was found, by the names that `sortColumns` gives. */
export function foundOrder(table: ClaimTable): string {
  return orderOf(table, (_, place) => `fp_o${place + 1}`);
}

function orderOf({ order }: ClaimTable, name: (name: string, place: number) => string): string {
  if (order.length === 0) return '';
  return `order by ${order.map((column, place) => `${name(column.name, place)}${column.direction}`).join(', ')}`;
}

/** All who have rows, found by stepping from one to the next in the index: `from` with a condition, and the holder. */
export function holdersOf(from: string, holder: string): string {
  return `fencepost_holders(id) as (
        (select ${holder} ${from} and ${holder} is not null order by ${holder} limit 1)
        union all
        select (select ${holder} ${from} and ${holder} > fp_h.id order by ${holder} limit 1)
        from fencepost_holders fp_h where fp_h.id is not null
      )`;
}

/** Who of these holders is dead. No row is locked before that is known, and it stays true. */
export function judged({ schema, perKey }: ClaimTable, holders: string): string {
  const turn = perKey === undefined ? '' : 'case when (select turn from fencepost_turn) then ';
  return `fencepost_dead as materialized (
        select ${identifier(schema)}.claim_dead(${turn}array(${holders})${turn && ' end'}) as ids
      )`;
}

export const dead = `(select ids from fencepost_dead)`;
/** The dead but for nobody. */
export const buried = `array_remove(${dead}, ${nobody})`;
/**
 * The same one by one, as fp_d: where there are none, nothing is read. As one condition Postgres expects that it is true
 * of most rows where few holders have many, and reads the whole table for it.
 */
export const eachBuried = `unnest(${buried}) fp_d(id)`;

/** The first of what was found and locked; in rounds, it is the first of each tenant, then the second of each. */
export function picked(table: ClaimTable, inRounds = false): string {
  const order = foundOrder(table);
  const found = inRounds
    ? `(select *, row_number() over (partition by fp_group ${order}) as fp_round from fencepost_found) fp_u`
    : 'fencepost_found';
  const rank = inRounds ? `order by fp_round${order.replace('order by', ',')}` : order;
  return `fencepost_picked as materialized (
        select *, row_number() over (${rank}) as fp_rank from ${found} order by fp_rank limit $3::integer
      )`;
}
