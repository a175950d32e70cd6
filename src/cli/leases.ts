import type { Command } from 'commander';
import { systemClock } from '../core/clock.ts';
import { ArgumentError } from '../core/errors.ts';
import { readLeases } from '../sql/inspect.ts';
import { findLeases } from '../sql/operations.ts';
import { inspecting, type ListFlags, listFlags } from './inspection.ts';
import { print, timeOf } from './table.ts';

interface Flags extends ListFlags {
  readonly tenant?: string;
  readonly name: string;
  readonly after?: string;
}

export function addLeases(program: Command): void {
  const command = program
    .command('leases')
    .description('Lists the leases that are held, in the order of tenant, name and slot.');
  listFlags(command)
    .option('--tenant <name>', 'only those of this tenant')
    .option('--name <prefix>', 'only those whose name begins so', '')
    .option('--after <json>', 'go on behind a lease: [tenant, name, slot], as --json shows the last one')
    .addHelpText(
      'after',
      `
Examples:
  $ fencepost leases
  $ fencepost leases --tenant t1 --name import --limit 20
  $ fencepost leases --json | jq '.[] | select(.revoked)'`,
    )
    .action(run);
}

async function run(flags: Flags): Promise<void> {
  const { tenant, name: prefix, limit } = flags;
  const filter = { tenant, prefix, limit: limit + 1, after: readAfter(flags.after) };
  const found = await inspecting(flags, async (connection, schema) =>
    readLeases(await connection.query(findLeases(schema, filter))),
  );
  const now = systemClock.now().wall;
  const columns = ['tenant', 'name', 'slot', 'token', 'mode', 'holder', 'held for', 'expires in', ''];
  print(
    flags,
    found,
    columns,
    (index) => {
      const lease = found[index] as (typeof found)[number];
      return [
        ...[lease.tenant, lease.name, lease.slot, lease.token, lease.mode, lease.application],
        ...[timeOf(now - lease.acquiredAt.getTime()), timeOf(lease.expiresAt.getTime() - now)],
        lease.revoked ? 'revoked' : '',
      ];
    },
    'No lease is held.',
  );
}

function readAfter(text: string | undefined) {
  if (text === undefined) return undefined;
  try {
    const [tenant, name, slot] = JSON.parse(text) as unknown[];
    if (typeof tenant === 'string' && typeof name === 'string' && Number.isSafeInteger(slot))
      return { tenant, name, slot: slot as number };
  } catch {
    // said below
  }
  throw new ArgumentError('--after', 'a JSON array of tenant, name and slot', text);
}
