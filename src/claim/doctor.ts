import { explainClaim, planOfFree, surroundings } from '../sql/claim-doctor.ts';
import type { ClaimTable } from '../sql/claim-table.ts';
import type { UserDatabase } from './user-database.ts';

/** What makes claims slow, and how to mend it. */
export interface ClaimFinding {
  readonly code: 'index' | 'plan' | 'isolation' | 'vacuum' | 'transaction';
  readonly problem: string;
  readonly remedy: string;
}

/** Below this a scan of the whole table costs nothing that anybody would notice. */
const fewRows = 1_000;
/** A transaction that is open for so many seconds keeps vacuum from what became garbage meanwhile. */
const longOpen = 300;

/** Looks at the table as it is, and at how the server would run a claim on it. */
export async function examine(
  database: UserDatabase,
  table: ClaimTable,
  missing: Readonly<Record<string, string>>,
): Promise<ClaimFinding[]> {
  const findings: ClaimFinding[] = Object.entries(missing).map(([index, statement]) => ({
    code: 'index',
    problem: `index ${index} is missing or invalid: claims cost more the more rows there are`,
    remedy: `${statement}; where an invalid one has its name, drop that first`,
  }));
  const [facts] = await database.query(surroundings(table));
  const rows = Number(facts?.rows);
  const plan = planOfFree(await database.query(explainClaim(table, undefined)));
  if (rows > fewRows && /\b(Seq Scan|Sort|Bitmap Heap Scan)\b/.test(plan)) {
    findings.push({
      code: 'plan',
      problem: `a claim reads and sorts rows instead of walking an index in order:\n${plan}`,
      remedy: `run "analyze ${table.table}", and see whether planner settings forbid index scans`,
    });
  }
  if (facts?.isolation !== 'read committed') {
    findings.push({
      code: 'isolation',
      problem: `transactions are ${facts?.isolation} by default: each claim takes three round trips instead of one`,
      remedy: "set default_transaction_isolation to 'read committed' for the role of this pool",
    });
  }
  const dead = Number(facts?.dead);
  if (dead > Math.max(10_000, rows / 2)) {
    findings.push({
      code: 'vacuum',
      problem: `${dead} dead rows: claims step over them`,
      remedy: `alter table ${table.table} set (autovacuum_vacuum_scale_factor = 0.01)`,
    });
  }
  if (Number(facts?.oldest) > longOpen) {
    findings.push({
      code: 'transaction',
      problem: `a transaction is open for ${facts?.oldest} seconds: rows that are done cannot be cleaned up`,
      remedy: 'find it in pg_stat_activity by its backend_xmin, and end it',
    });
  }
  return findings;
}
