import type { Command } from 'commander';
import { integer } from '../core/options.ts';
import { databaseFailure } from '../core/sqlstate.ts';
import { migrationStatus, rollback } from '../migrate.ts';
import { withClient } from '../session/client.ts';
import { identifier } from '../sql/statement.ts';
import { allowed } from './confirm.ts';
import { type Place, type PlaceFlags, placeFlags, placeOf } from './place.ts';

interface Flags extends PlaceFlags {
  readonly count: number;
  readonly yes?: true;
}

export function addRollback(program: Command): void {
  const command = program
    .command('rollback')
    .description('Undoes the newest migrations. What their tables hold is lost; the schema itself stays.');
  placeFlags(command)
    .option('--count <number>', 'how many of them', readCount, 1)
    .option('--yes', 'do it without a question')
    .addHelpText(
      'after',
      `
Examples:
  $ fencepost rollback --connection postgresql://owner@db.example/shop
  $ fencepost rollback --count 2 --yes`,
    )
    .action(run);
}

function readCount(text: string): number {
  return integer({ min: 1 })('--count', Number(text) || text);
}

async function run({ count, yes, ...flags }: Flags, command: Command): Promise<void> {
  const place = placeOf(flags);
  const { applied } = await migrationStatus(place);
  if (applied.length === 0) {
    console.log(`Nothing to undo: schema "${place.schema}" has no migrations.`);
    return;
  }
  const what = [
    `This undoes ${applied.toReversed().slice(0, count).join(', ')} in schema "${place.schema}".`,
    ...(yes ? [] : [await lossOf(place, count >= applied.length)]),
  ];
  if (!(await allowed(command, what, yes))) return;
  for (const name of await rollback({ ...place, count })) {
    console.log(`Undid ${name} in schema "${place.schema}".`);
  }
}

async function lossOf({ connection, schema }: Place, all: boolean): Promise<string> {
  if (!all) return 'What their tables hold will be lost.';
  const leases = `${identifier(schema)}.leases`;
  return withClient(connection, async (client) => {
    try {
      const { rows } = await client.query(
        `select count(*) as known, count(*) filter (where held) as held from ${leases}`,
      );
      return (
        `Everything will be lost: ${rows[0]?.known} leases, ${rows[0]?.held} of them held now. ` +
        'Tokens begin anew, and roles have to be granted access again.'
      );
    } catch (cause) {
      throw databaseFailure(`count the leases of schema "${schema}"`, cause);
    }
  });
}
