import type { Command } from 'commander';
import { systemClock } from '../core/clock.ts';
import { integer } from '../core/options.ts';
import type { Connection } from '../session/connection.ts';
import { Database } from '../session/database.ts';
import { type PlaceFlags, placeFlags, placeOf } from './place.ts';

/** The flags of commands that list something. */
export interface ListFlags extends PlaceFlags {
  readonly json?: true;
  readonly limit: number;
}

export function listFlags(command: Command): Command {
  return placeFlags(command)
    .option('--limit <number>', 'most rows to show', readLimit, 100)
    .option('--json', 'print a JSON array');
}

function readLimit(text: string): number {
  return integer({ min: 1, max: 1_000_000 })('--limit', Number(text) || text);
}

/** A connection to a schema that fits, for as long as `look` takes. */
export async function inspecting<Found>(
  flags: PlaceFlags,
  look: (connection: Connection, schema: string) => Promise<Found>,
): Promise<Found> {
  const { connection: source, schema } = placeOf(flags);
  const database = new Database(source, schema, systemClock);
  try {
    return await look(await database.open(), schema);
  } finally {
    await database.close();
  }
}
