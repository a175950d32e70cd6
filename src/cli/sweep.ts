import type { Command } from 'commander';
import type { Duration } from '../core/duration.ts';
import { Fencepost } from '../fencepost.ts';
import { allowed } from './confirm.ts';
import { type PlaceFlags, placeFlags, placeOf } from './place.ts';

interface Flags extends PlaceFlags {
  readonly olderThan: Duration;
  readonly yes?: true;
}

export function addSweep(program: Command): void {
  const command = program
    .command('sweep')
    .description(
      'Removes the rows of leases that nobody has held for long. Later leases of these keys get greater tokens all the same.',
    );
  placeFlags(command)
    .requiredOption('--older-than <duration>', 'for how long nobody has held them')
    .option('--yes', 'do it without a question')
    .addHelpText(
      'after',
      `
Examples:
  $ fencepost sweep --older-than 30d
  $ fencepost sweep --older-than 7d --yes`,
    )
    .action(run);
}

async function run({ olderThan, yes, ...place }: Flags, command: Command): Promise<void> {
  const what = [
    `This removes all leases that nobody has held for ${olderThan} from schema "${place.schema}".`,
  ];
  if (!(await allowed(command, what, yes))) return;
  await using fencepost = new Fencepost(placeOf(place));
  console.log(`Removed ${await fencepost.leases.sweep({ olderThan })}.`);
}
