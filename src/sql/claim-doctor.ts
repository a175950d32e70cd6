import { holdRow } from './claim-held.ts';
import { statementsOf } from './claim-statements.ts';
import type { ClaimTable } from './claim-table.ts';
import type { Row, Statement } from './statement.ts';

const someone = { id: '00000000-0000-0000-0000-000000000001', epoch: 0 };

/** How the server would run a claim. It does not run it. */
export function explainClaim(table: ClaimTable, tenant: unknown): Statement {
  const { text, values } =
    table.storage === 'held'
      ? holdRow(table, 1, tenant, undefined)
      : statementsOf(table).claimRows(table, someone, 10, tenant, undefined);
  return { name: 'explain_claim', text: `explain (format text) ${text}`, values };
}

/** The part of the plan that finds the rows that nobody has: those of each key, where there is a limit for it. */
export function planOfFree(rows: readonly Row[]): string {
  // A plugin may have renamed the column.
  const lines = rows.map((row) => Object.values(row)[0] ?? '');
  const free = lines.findIndex((line) => line.includes('CTE fencepost_free'));
  const start = free === -1 ? lines.findIndex((line) => line.includes('CTE fencepost_found')) : free;
  const depth = (line: string): number => line.length - line.trimStart().length;
  const length = lines.slice(start + 1).findIndex((line) => depth(line) <= depth(lines[start] ?? ''));
  return lines.slice(start + 1, length === -1 ? undefined : start + 1 + length).join('\n');
}

/** What surrounds the table: settings and the work of vacuum. */
export function surroundings(table: ClaimTable): Statement {
  return {
    name: 'claim_surroundings',
    text: `select pg_catalog.current_setting('default_transaction_isolation') as isolation,
      greatest(c.reltuples, 0)::bigint::text as rows, coalesce(s.n_dead_tup, 0)::text as dead,
      coalesce((select extract(epoch from clock_timestamp() - min(a.xact_start))::bigint
        from pg_catalog.pg_stat_activity a
        where a.datname = current_database() and a.backend_xmin is not null and a.pid <> pg_backend_pid()), 0)::text
        as oldest
      from pg_catalog.pg_class c left join pg_catalog.pg_stat_all_tables s on s.relid = c.oid
      where c.oid = $1::oid`,
    values: [table.oid],
  };
}
