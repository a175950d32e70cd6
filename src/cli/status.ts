import type { Command } from 'commander';
import { migrationStatus } from '../migrate.ts';
import { type PlaceFlags, placeFlags, placeOf } from './place.ts';

export function addStatus(program: Command): void {
  const command = program
    .command('status')
    .description('Shows the version of the schema and which migrations were applied or wait.');
  placeFlags(command)
    .addHelpText(
      'after',
      `
Examples:
  $ fencepost status
  $ fencepost status --connection postgresql://owner@db.example/shop --schema locks`,
    )
    .action(run);
}

async function run(flags: PlaceFlags): Promise<void> {
  const { version, applied, waiting } = await migrationStatus(placeOf(flags));
  console.log(`schema   ${flags.schema}`);
  console.log(`version  ${version ?? 'none'}`);
  console.log(`applied  ${applied.join(', ') || 'none'}`);
  console.log(`waiting  ${waiting.join(', ') || 'none'}`);
}
