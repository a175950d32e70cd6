import { readFile } from 'node:fs/promises';

/** Whatever runs a statement in the database of a test. */
export type Query = (sql: string, values?: unknown[]) => Promise<unknown>;

/**
 * Replaces one of our functions, in the database of one test, by a variant with a bug, so that the test can show that
 * it would find that bug. Throws when the text to replace is not there: then the variant has to be made anew.
 */
export async function plant(
  query: Query,
  name: string,
  ...edits: readonly [from: string, to: string][]
): Promise<void> {
  let sql = await readFile(new URL(`../../sql/${name}.sql`, import.meta.url), 'utf8');
  for (const [from, to] of edits) {
    if (!sql.includes(from)) throw new Error(`sql/${name}.sql has no "${from}"`);
    sql = sql.replace(from, () => to);
  }
  await query(`begin; set local search_path to fencepost, pg_temp; ${sql}; commit`);
}
