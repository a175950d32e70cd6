import type { ColumnFacts } from './claim-table.ts';
import { identifier } from './statement.ts';

const plain = new Set(
  'int2 int4 int8 numeric oid text varchar bpchar name citext uuid bool inet cidr macaddr macaddr8'.split(
    ' ',
  ),
);
const written = new Set(['date', 'time', 'timestamp']);

/**
 * A column as text that casts back to it, the same in every session; undefined for a type whose text depends on
 * settings in other ways than are known here.
 */
export function columnText(bare: string, name: string, facts: ColumnFacts): string | undefined {
  const column = `${bare}.${identifier(name)}`;
  const text = textOf(column, facts);
  return text === undefined ? undefined : `((${text}) collate "C")`;
}

function textOf(column: string, { base, enumerated }: ColumnFacts): string | undefined {
  if (enumerated || plain.has(base)) return `${column}::text`;
  if (written.has(base)) return `to_jsonb(${column}) #>> '{}'`;
  if (base === 'bytea') return `'\\x' || encode(${column}, 'hex')`;
  if (base !== 'timestamptz') return undefined;
  return `case when isfinite(${column}) then (to_jsonb(timezone('UTC', ${column})) #>> '{}') || '+00'
      else to_jsonb(${column}) #>> '{}' end`;
}

/** Several columns as one text: what is one column's stays that, whatever is in it. */
export function joinedText(texts: readonly string[]): string {
  return texts.length === 1 ? String(texts[0]) : `(jsonb_build_array(${texts.join(', ')})::text collate "C")`;
}

/** One of several columns out of their text, with its type. */
export function partOf(text: string, types: readonly string[], place: number): string {
  return types.length === 1
    ? `(${text})::${types[place]}`
    : `((${text})::jsonb ->> ${place})::${types[place]}`;
}
