import type { ClaimShape } from './claim-table.ts';
import { callOf, identifier, type Statement } from './statement.ts';

export const wakeTrigger = 'fencepost_wake';

/** The trigger that tells of rows that come: by an insert, or by an update of one of these columns. */
export function createWakeTrigger({ schema, table }: ClaimShape, updateOf: readonly string[]): string {
  const update = updateOf.length === 0 ? '' : ` or update of ${updateOf.map(identifier).join(', ')}`;
  return `create or replace trigger ${wakeTrigger} after insert${update} on ${table}
  for each statement execute function ${identifier(schema)}.claim_wake()`;
}

/** Whether the table has that trigger, for the same columns. */
export function findWakeTrigger({ schema, table }: ClaimShape, updateOf: readonly string[]): Statement {
  return {
    name: 'find_wake_trigger',
    text: `select count(*)::text as answer from pg_catalog.pg_trigger t
      where t.tgrelid = pg_catalog.to_regclass($1) and t.tgname = '${wakeTrigger}' and t.tgenabled in ('O', 'A')
        and t.tgfoid = pg_catalog.to_regprocedure($2)
        and array(select a.attname::text from pg_catalog.pg_attribute a
                  where a.attrelid = t.tgrelid and a.attnum = any (t.tgattr) order by 1) = $3::text[]`,
    values: [table, `${identifier(schema)}.claim_wake()`, [...updateOf].sort()],
  };
}

/** Asks to be told of rows that come; answers in how many milliseconds that begins, or null without the trigger. */
export function wantRows(schema: string, oid: string): Statement {
  return callOf(schema, 'claim_wanted', [oid]);
}

/** The message by which waiting workers are told of rows, as `claim_wake` in SQL sends it. */
export function rowsCame(oid: string): string {
  return `claim:${oid}`;
}
