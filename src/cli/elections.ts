import type { Command } from 'commander';
import { systemClock } from '../core/clock.ts';
import { leadersOf, readLeader } from '../sql/leader.ts';
import { inspecting } from './inspection.ts';
import { type PlaceFlags, placeFlags } from './place.ts';
import { print, timeOf } from './table.ts';

interface Flags extends PlaceFlags {
  readonly tenant: string;
  readonly json?: true;
}

export function addElections(program: Command): void {
  const command = program
    .command('elections')
    .description('Says who leads. An election is the lease of the same name, so it has to be named.')
    .argument('<name...>', 'the elections');
  placeFlags(command)
    .option('--tenant <name>', 'the tenant of these elections', '')
    .option('--json', 'print a JSON array')
    .addHelpText(
      'after',
      `
Examples:
  $ fencepost elections scheduler mailer
  $ fencepost elections scheduler --json | jq -r '.[0].leader.application'`,
    )
    .action(run);
}

async function run(names: string[], flags: Flags): Promise<void> {
  const elections = names.map((name) => ({ tenant: flags.tenant, name }));
  const leaders = await inspecting(flags, async (connection, schema) =>
    (await connection.query(leadersOf(schema, elections))).map(readLeader),
  );
  const found = names.map((name, place) => ({ tenant: flags.tenant, name, leader: leaders[place] ?? null }));
  print(
    flags,
    found,
    ['tenant', 'name', 'leader', 'token', 'for'],
    (index) => {
      const { tenant, name, leader } = found[index] as (typeof found)[number];
      if (leader === null) return [tenant, name, 'nobody'];
      return [
        tenant,
        name,
        leader.application,
        leader.token,
        timeOf(systemClock.now().wall - leader.since.getTime()),
      ];
    },
    'No election was named.',
  );
}
