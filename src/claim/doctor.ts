import { within } from '../core/abort.ts';
import type { Clock } from '../core/clock.ts';
import type { Notifications } from '../session/notifications.ts';
import { explainClaim, planOfFree, readSurroundings, surroundings } from '../sql/claim-doctor.ts';
import type { ClaimTable } from '../sql/claim-table.ts';
import { type ClaimFinding, checks, connectionFindings, planFindings } from './findings.ts';
import type { UserDatabase } from './user-database.ts';

/** How long a pool may take for its second connection, in milliseconds. */
const patience = 2_000;

/** Looks at the table as it is, at how the server would run a claim on it, and at what stands between. */
export async function examine(
  { clock, notifications }: { readonly clock: Clock; readonly notifications: Notifications },
  database: UserDatabase,
  table: ClaimTable,
  missing: Readonly<Record<string, string>>,
): Promise<ClaimFinding[]> {
  const facts = readSurroundings(await database.query(surroundings(table)));
  const plan = planOfFree(await database.query(explainClaim(table, undefined)));
  return [
    ...checks.flatMap((check) => check(facts, table, missing)),
    ...planFindings(plan, facts, table),
    ...connectionFindings(await notifications.pooled(), await hasSecond(database, clock)),
  ];
}

/** Whether the pool gives a connection while another one is out. */
async function hasSecond(database: UserDatabase, clock: Clock): Promise<boolean> {
  let second: Promise<boolean> | undefined;
  const came = await database.db.connection().execute(async () => {
    // A pool with a limit of its own for waiting rejects.
    second = database.query({ name: 'second_connection', text: 'select 1', values: [] }).then(
      () => true,
      () => false,
    );
    return within(clock, patience, second);
  });
  await second;
  return came === true;
}
