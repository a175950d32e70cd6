import type { Command } from 'commander';
import { claimantsOf, claimedTables, claimsOf, readClaimedTable } from '../sql/operations.ts';
import { inspecting, type ListFlags, listFlags } from './inspection.ts';
import { print } from './table.ts';

interface Flags extends ListFlags {
  readonly holders?: true;
}

/** Rows counted in one table at most. */
const counted = 100_000;

export function addClaimsList(claims: Command): void {
  const command = claims
    .command('list', { isDefault: true })
    .description(
      'Lists the tables with claims in this database: rows claimed, left by dead workers, waiting, set aside.',
    );
  listFlags(command)
    .option('--holders', 'by the process that has them')
    .addHelpText(
      'after',
      `
At most ${counted} rows of a table are counted, and none that nobody has. In storage 'sidecar' a table is listed while
something is kept of its rows. Claims in storage 'held' are locks of rows, of which Postgres keeps no list.

Examples:
  $ fencepost claims
  $ fencepost claims list --holders`,
    )
    .action(run);
}

async function run(flags: Flags): Promise<void> {
  const found = await inspecting(flags, async (connection, schema) => {
    const lines: Record<string, string | number>[] = [];
    for (const found of (await connection.query(claimedTables(schema))).map(readClaimedTable)) {
      const table = found.name;
      const statement = (flags.holders ? claimantsOf : claimsOf)(schema, found, counted);
      for (const row of await connection.query(statement)) {
        if (flags.holders) {
          const state = row.alive === 't' ? 'alive' : 'dead';
          lines.push({
            table,
            holder: row.holder ?? '',
            application: row.application ?? '',
            state,
            claimed: Number(row.claimed),
          });
        } else {
          const { claimed, left_behind, waiting, aside } = row;
          lines.push({
            table,
            claimed: Number(claimed),
            leftBehind: Number(left_behind),
            waiting: Number(waiting),
            aside: Number(aside),
          });
        }
      }
    }
    return lines;
  });
  const columns = Object.keys(found[0] ?? {});
  const rowOf = (index: number) => Object.values(found[index] ?? {});
  print(flags, found, columns, rowOf, flags.holders ? 'No row is claimed.' : 'No table has claims.');
}
