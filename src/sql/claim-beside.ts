import { partOf } from './claim-names.ts';
import type { ClaimTable, RowNames } from './claim-table.ts';
import { identifier } from './statement.ts';

/** How the claims of the table name its rows. */
export function namesOf({ table, names }: ClaimTable): RowNames {
  if (names === undefined) throw new Error(`no claims are kept beside ${table}`);
  return names;
}

/** All claims that have an entry. */
export function entries({ schema }: ClaimTable): string {
  return `${identifier(schema)}.claim_entries`;
}

/** The claims of the table, as fp_c. */
export function claimsOf(table: ClaimTable): string {
  return `from ${identifier(table.schema)}.claims fp_c where fp_c.source_id = ${namesOf(table).source}`;
}

/** Those of them that have an entry. */
export function entriesOf(table: ClaimTable): string {
  return `from ${entries(table)} fp_c where fp_c.source_id = ${namesOf(table).source}`;
}

/** What was claimed together, as fp_b. */
export function batchesOf(table: ClaimTable): string {
  return `${identifier(table.schema)}.claim_batches fp_b where fp_b.source_id = ${namesOf(table).source}`;
}

/** That fp_c is the entry of the row: looks it up by the row. */
export function isOf(table: ClaimTable): string {
  const { source, tenant, key } = namesOf(table);
  return `fp_c.tenant = ${tenant} and fp_c.source_id = ${source} and fp_c.key = ${key}`;
}

/** Looked up for each row, as the limit has it: what Postgres expects of a table that was empty a moment ago is wrong. */
export function hasEntry(table: ClaimTable, condition: string): string {
  return `coalesce((select true from ${entries(table)} fp_c where ${isOf(table)} and ${condition} limit 1), false)`;
}

/** That the row is the one of the claim fp_c: looks it up by the claim. */
export function isNamed(table: ClaimTable): string {
  const { key, types, bare } = table;
  const columns = key.map(
    (name, place) => `${bare}.${identifier(name)} = ${partOf('fp_c.key', types, place)}`,
  );
  return [...columns, `${namesOf(table).tenant} = fp_c.tenant`].join(' and ');
}
