import type { Command } from 'commander';
import { readWaiter, waiters } from '../sql/operations.ts';
import { inspecting, type ListFlags, listFlags } from './inspection.ts';
import { print, timeOf } from './table.ts';

export function addWaiters(program: Command): void {
  const command = program
    .command('waiters')
    .description(
      'Lists who waits: for locks in the queue of the server, for leases in line. Others who wait for a lease are one row.',
    );
  listFlags(command)
    .addHelpText(
      'after',
      `
Examples:
  $ fencepost waiters
  $ fencepost waiters --json --limit 1000 | jq 'group_by(.name) | map({name: .[0].name, waiters: length})'`,
    )
    .action(run);
}

async function run(flags: ListFlags): Promise<void> {
  const found = await inspecting(flags, async (connection, schema) =>
    (await connection.query(waiters(schema, flags.limit + 1))).map(readWaiter),
  );
  print(
    flags,
    found,
    ['kind', 'tenant', 'name', 'mode', 'application', 'pid', 'waited'],
    (index) => {
      const { kind, tenant, name, key, mode, application, pid, waited } = found[
        index
      ] as (typeof found)[number];
      const who = application ?? 'one or more, not in line';
      return [kind, tenant, name ?? key, mode, who, pid ?? '', waited === null ? '' : timeOf(waited)];
    },
    'Nobody waits.',
  );
}
