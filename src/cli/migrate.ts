import type { Command } from 'commander';
import { migrate, migrationSql } from '../migrate.ts';
import { type PlaceFlags, placeFlags, placeOf } from './place.ts';

interface Flags extends PlaceFlags {
  readonly grant?: string;
  readonly sql?: true;
}

export function addMigrate(program: Command): void {
  const command = program
    .command('migrate')
    .description(
      'Brings the schema up to date, and makes it when it is not there. Nothing else in the database is touched.',
    );
  placeFlags(command)
    .option('--grant <role>', 'a role that may call the functions and read the views, and touch no table')
    .option('--sql', 'print the SQL for a database without the schema instead; needs no database')
    .addHelpText(
      'after',
      `
Examples:
  $ DATABASE_URL=postgresql://owner@db.example/shop fencepost migrate --grant app
  $ fencepost migrate --connection postgresql://owner@db.example/shop --schema locks
  $ fencepost migrate --sql --grant app | psql -v ON_ERROR_STOP=1 shop`,
    )
    .action(run);
}

async function run({ grant, sql, ...place }: Flags): Promise<void> {
  if (sql) {
    process.stdout.write(await migrationSql({ schema: place.schema, grant }));
    return;
  }
  const applied = await migrate({ ...placeOf(place), grant });
  for (const name of applied) console.log(`Applied ${name} to schema "${place.schema}".`);
  if (applied.length === 0) console.log(`Nothing to do: schema "${place.schema}" is up to date.`);
  if (grant !== undefined) console.log(`Role "${grant}" may use it.`);
}
